import type { Cancellable, Clock } from './ports.ts';

export type Task = (options: Cancellable) => Promise<unknown>;

/** Runs all until one fails or the signal fires, then aborts the others and waits for them; throws the first reason. */
export async function runAll(tasks: readonly Task[], { signal }: Cancellable): Promise<void> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    const running = tasks.map(async (task) => {
      try {
        await task({ signal: stop.signal });
      } catch (error) {
        stop.abort(error);
      }
    });
    await Promise.all(running);
    stop.signal.throwIfAborted();
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** What comes of `promise`, or the signal's reason if that fires first. */
export async function unlessAborted<T>(promise: Promise<T>, { signal }: Cancellable): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) reject(signal.reason as Error);
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** What comes of `promise`, or undefined where that takes longer. */
export async function within<T>(
  ms: number,
  promise: Promise<T>,
  { signal, clock }: Cancellable & { readonly clock: Clock },
): Promise<T | undefined> {
  const settled = new AbortController();
  const late = clock.sleep(ms, settled).then(() => undefined);
  try {
    return await unlessAborted(Promise.race([promise, late]), { signal });
  } finally {
    settled.abort();
  }
}
