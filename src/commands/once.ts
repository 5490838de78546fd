import { tmpdir } from 'node:os';
import { App } from '../app.ts';
import { parseDuration } from '../config/duration.ts';
import type { Config } from '../config/load.ts';
import { SinkError, SinksError, StartupError, UsageError, withRemedy } from '../credential/errors.ts';
import type { Cancellable } from '../credential/ports.ts';
import type { CredentialStatus } from '../credential/status.ts';
import { runAll } from '../credential/tasks.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { findCommand } from '../platform/find-command.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createObserver } from '../telemetry/observer.ts';
import { startLog } from './start-log.ts';

const TIMEOUT = '60s';

/** Settled for everything is what ends it well. */
class Done extends Error {}

export interface OnceOptions extends Cancellable {
  readonly config: Config;
  readonly timeout: string | undefined;
}

/** Mints and writes every credential once. @throws StartupError or SinksError when that takes too long */
export async function once({ config, timeout = TIMEOUT, signal }: OnceOptions): Promise<void> {
  const timeoutMs = parseDuration(timeout);
  if (timeoutMs === undefined) throw new UsageError(`--timeout "${timeout}" is no duration such as 90s, 15m or 1h`);
  findCommand(config.minter.cli.command, config.childEnvironment['PATH'] ?? '');
  const observer = createObserver({
    log: startLog(config),
    metrics: createMetrics(clock),
    clock,
    refreshes: false,
  });
  // A token that is left over may be nearly dead, and what comes after this run wants a whole lifetime.
  const app = new App({ clock, observer, temporaryDirectory: tmpdir(), adopts: false });
  await app.configure(config, { signal });
  const finish = async (options: Cancellable): Promise<never> => {
    const published = app.published().then(() => true);
    if (await Promise.race([published, clock.sleep(timeoutMs, options).then(() => false)])) throw new Done();
    throw whyUnfinished(await app.statuses(options), timeout) ?? new Done();
  };
  await runAll([(options) => app.run(options), finish], { signal }).catch((error: unknown) => {
    if (!(error instanceof Done)) throw error;
  });
}

/** Undefined where the last sink was written just now. */
export function whyUnfinished(
  statuses: readonly CredentialStatus[],
  timeout: string,
): StartupError | SinksError | undefined {
  const unpublished = statuses.flatMap(({ current, sinks }) =>
    current === undefined
      ? []
      : sinks.flatMap(({ name, failure, holding }) => {
          if (failure !== undefined) return [failure.error]; // says more than what it lacks
          if (holding.state === 'lacks') return [holding.problem];
          return holding.credential.fingerprint === current.fingerprint ? [] : [tooSlow(name, timeout)];
        }),
  );
  if (unpublished.length > 0) return new SinksError(unpublished);
  const missing = statuses.filter(({ current }) => current === undefined);
  if (missing.length === 0) return undefined;
  const reasons = missing.map(({ name, lastFailure }) =>
    lastFailure === undefined ? `${name}: no answer` : withRemedy(`${name}: ${lastFailure.code}`, lastFailure.remedy),
  );
  return new StartupError(`not every credential was minted within ${timeout}\n${reasons.join('\n')}`);
}

function tooSlow(sink: string, timeout: string): SinkError {
  const remedy = 'give it longer with --timeout';
  return new SinkError('unknown', `${sink} was not written within ${timeout}`, { remedy });
}
