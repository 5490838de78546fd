import { App } from '../app.ts';
import { parseDuration } from '../config/duration.ts';
import type { Config } from '../config/load.ts';
import { SinksError, StartupError, UsageError, withRemedy } from '../credential/errors.ts';
import { MINT_REMEDIES, type SinkFailure } from '../credential/failures.ts';
import type { Cancellable } from '../credential/ports.ts';
import type { CredentialStatus } from '../credential/status.ts';
import { within } from '../credential/tasks.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { runAllUnlessHanging } from '../platform/leave.ts';
import { clearTerminationLog, writeTerminationLog } from '../platform/termination-log.ts';
import { createObserver } from '../telemetry/observer.ts';
import { startLog } from './start-log.ts';

/** The help tells it, too. */
export const DEFAULT_TIMEOUT = '60s';

const MORE_TIME = 'allow more time with --timeout';

/** The CLI's own time is not over, so nobody knows whether it hangs. */
const NO_ANSWER_REMEDY = `${MINT_REMEDIES.timeout}; or ${MORE_TIME}`;

/** What a write puts right that is under way: who is to blame for it is not the question then. */
const UNWRITTEN = new Set<SinkFailure>(['missing', 'foreign_content', 'wrong_mode']);

/** Ends it well: every sink holds its credential. */
class Done extends Error {}

export interface OnceOptions extends Cancellable {
  readonly load: () => Promise<Config>;
  readonly timeout: string | undefined;
}

/** Mints and writes every credential once. @throws StartupError or SinksError when that takes too long */
export async function once({ load, timeout = DEFAULT_TIMEOUT, signal }: OnceOptions): Promise<void> {
  const timeoutMs = parseDuration(timeout);
  if (timeoutMs === undefined) throw new UsageError(`--timeout "${timeout}" is not a duration such as 90s, 15m or 1h`);
  if (timeoutMs === 0) throw new UsageError(`--timeout "${timeout}" leaves no time to mint`);
  const config = await load();
  const observer = createObserver({ log: startLog(config), clock, onProblem: writeTerminationLog, refreshes: false });
  // A token that is left over may be nearly dead, and what comes after this run wants a whole lifetime.
  const app = new App({ observer, adopts: false });
  await app.configure(config, { signal });
  const finish = async (options: Cancellable): Promise<never> => {
    const published = app.published().then(() => true);
    const isDone = (await within(timeoutMs, published, { ...options, clock })) === true;
    throw (isDone ? undefined : whyUnfinished(await app.statuses(options), timeout)) ?? new Done();
  };
  await runAllUnlessHanging([(options) => app.run(options), finish], { signal }).catch((error: unknown) => {
    if (!(error instanceof Done)) throw error;
    clearTerminationLog();
  });
}

/** A sink that cannot be written says more than what has had too little time. Undefined where the last was written just now. */
export function whyUnfinished(
  statuses: readonly CredentialStatus[],
  timeout: string,
): StartupError | SinksError | undefined {
  const missing = statuses.filter(({ current }) => current === undefined);
  const sinks = statuses.flatMap(({ current, sinks }) =>
    current === undefined ? [] : sinks.map((sink) => ({ ...sink, wanted: current.fingerprint })),
  );
  const failures = sinks.flatMap(({ failure }) => (failure === undefined ? [] : [failure.error]));
  const others = sinks.filter(({ failure }) => failure === undefined);
  const reasons = [
    ...missing.map(whyNotMinted),
    ...others.flatMap(({ name, wanted, holding }) => {
      if (holding.state === 'lacks') {
        const { failure, message, remedy } = holding.problem;
        return [withRemedy(message, UNWRITTEN.has(failure) ? MORE_TIME : remedy)];
      }
      const isWritten = holding.credential.fingerprint === wanted;
      return isWritten ? [] : [withRemedy(`${name} still holds another token`, MORE_TIME)];
    }),
  ];
  if (failures.length > 0) return new SinksError(failures, reasons);
  if (reasons.length === 0) return undefined;
  const done = missing.length > 0 ? 'credential was minted' : 'sink was written';
  return new StartupError(`not every ${done} within ${timeout}\n${reasons.join('\n')}`);
}

function whyNotMinted({ name, lastAttemptAt, lastFailure }: CredentialStatus): string {
  if (lastFailure !== undefined)
    return withRemedy(`${name}: ${lastFailure.message} (${lastFailure.code})`, lastFailure.remedy);
  // It waits for the commands of others: nobody has asked the workspace on its behalf.
  if (lastAttemptAt === undefined)
    return withRemedy(`${name}: its turn to be minted has not come`, `${MORE_TIME}, or raise minter.cli.concurrency`);
  return withRemedy(`${name}: no answer`, NO_ANSWER_REMEDY);
}
