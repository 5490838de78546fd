import { SinkError } from '../credential/errors.ts';
import { recordOf } from '../credential/json.ts';
import type { Cancellable, Clock } from '../credential/ports.ts';
import { retryDelayMs } from '../credential/schedule.ts';
import type { ApiAnswer } from './answer.ts';
import type { ApiServer, Query, WatchEvent } from './api-server.ts';

export interface Watcher {
  /**
   * Looks at everything afresh: something may have happened between two watches, or while there is none. Rejects for a
   * bug, or with the reason of the signal.
   */
  readonly catchUp: () => Promise<void>;
  readonly take: (event: WatchEvent) => void;
  readonly explain: (answer: ApiAnswer) => SinkError;
  /** Nothing is seen at once any more; undefined when that is over. */
  readonly onTrouble: (problem: SinkError | undefined) => void;
}

const BACKOFF = { initialMs: 1_000, maxMs: 15_000 };
/** Between a watch that the server ended in good order and the next one. */
const PAUSE_MS = 200;
/** One that ends sooner has not shown that watching works: some proxies answer a watch and end it at once. */
const PROOF_MS = 2_000;
/** The first failure may be a restart of the server. */
const TROUBLE = 2;

/**
 * Watches over and over; rejects for a bug, or with the reason of the signal. Each watch begins with what is there and
 * never where the last one ended: so nothing that the server has forgotten (410) is ever asked for.
 */
export async function watchForEver(
  api: Pick<ApiServer, 'watch'>,
  { path, query }: { readonly path: string; readonly query: Query },
  { catchUp, take, explain, onTrouble }: Watcher,
  { signal, clock }: Cancellable & { readonly clock: Clock },
): Promise<never> {
  let failures = 0;
  const onEvent = (event: WatchEvent): void => {
    if (event.type === 'ERROR')
      throw explain({ status: statusCodeOf(event.object), body: event.object, retryAfterMs: 0 });
    take(event);
  };
  for (;;) {
    const ended = new AbortController();
    const bug = Promise.withResolvers<never>();
    let look: Promise<void> | undefined;
    let isProven = false;
    const prove = (): void => {
      if (failures >= TROUBLE) onTrouble(undefined);
      failures = 0;
      isProven = true;
    };
    const onOpen = (): void => {
      void clock.sleep(PROOF_MS, ended).then(prove, () => {}); // it ended sooner
      look = catchUp();
      look.catch(bug.reject);
    };
    let delayMs = PAUSE_MS;
    try {
      const refusal = await Promise.race([api.watch(path, query, { onOpen, onEvent }, { signal }), bug.promise]);
      if (refusal !== undefined) throw explain(refusal);
      if (!isProven) throw endedAtOnce();
    } catch (error) {
      ended.abort(); // what follows takes time, and proves nothing
      signal.throwIfAborted();
      if (!(error instanceof SinkError)) throw error;
      failures += 1;
      if (failures === TROUBLE) onTrouble(error);
      // Whatever life a credential has left: no write waits for a watch.
      delayMs = Math.max(0, retryDelayMs(failures, BACKOFF, Infinity, Math.random) - error.retryAfterMs);
      // What the server has asked for counts for each request, not for watches only.
      await clock.sleep(error.retryAfterMs, { signal });
      await catchUp(); // seen late is better than not at all
    }
    await look; // a bug in it ends this also where the watch was over sooner
    await clock.sleep(delayMs, { signal });
  }
}

/** Of the status that an event says the watch failed with. */
function statusCodeOf(status: unknown): number {
  const { code } = recordOf(status);
  return typeof code === 'number' ? code : 410;
}

function endedAtOnce(): SinkError {
  return new SinkError('unreachable', 'the API server ends each watch as soon as it begins', {
    remedy: 'look for a proxy or load balancer in front of the API server that does not support watches',
  });
}
