import type { Cancellable } from '../credential/ports.ts';

/**
 * Does `work` for everybody who asks, one at a time: who comes while it is done waits for the next time, and all who wait share
 * that. So no answer is older than its question, and a thousand questions at once cost as much as two. It stops when all have left.
 */
export function singleFlight<T>(work: (options: Cancellable) => Promise<T>): (options: Cancellable) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  let next: Turn<T> | undefined;

  const begin = (): Turn<T> => {
    const nobody = new AbortController();
    const result = last.then(async () => {
      if (next === turn) next = undefined;
      return await work({ signal: nobody.signal });
    });
    last = result.catch(() => {}); // who asked has the error
    const turn: Turn<T> = { result, nobody, waiting: new Set() };
    return turn;
  };

  return async ({ signal }) => {
    const turn = (next ??= begin());
    const { nobody, result, waiting } = turn;
    const leave = (): void => {
      waiting.delete(signal);
      if (waiting.size > 0) return;
      if (next === turn) next = undefined; // whoever comes now must not find it stopped
      nobody.abort(signal.reason);
    };
    waiting.add(signal);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await result;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  };
}

interface Turn<T> {
  readonly result: Promise<T>;
  readonly waiting: Set<AbortSignal>;
  readonly nobody: AbortController;
}
