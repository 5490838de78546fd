import type { Cancellable, Clock } from '../../src/credential/ports.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** What waits again without any time passing, this often, would spin for ever. */
const MAX_ROUNDS_AT_ONE_INSTANT = 1_000;

/** Time that passes only when a test says so. The wall clock can be set apart from the monotonic one. */
export class FakeClock implements Clock {
  #monotonic = 1_000;
  #offset: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(now = Date.UTC(2030, 0, 1)) {
    this.#offset = now - this.#monotonic;
  }

  now(): number {
    return this.#monotonic + this.#offset;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  async sleep(ms: number, { signal }: Cancellable): Promise<void> {
    signal.throwIfAborted();
    if (!Number.isFinite(ms)) throw new Error(`cannot sleep for ${ms} ms`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { at: this.#monotonic + Math.max(0, ms), wake: resolve };
    const onAbort = (): void => reject(signal.reason as Error);
    this.#sleepers.add(sleeper);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#sleepers.delete(sleeper);
    }
  }

  /** Lets everything run that can run without time passing: promises alone, so one turn is enough. */
  async idle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets time pass, waking sleepers in their order. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    let rounds = 0;
    await this.idle();
    for (;;) {
      const next = [...this.#sleepers].reduce((earliest, { at }) => Math.min(earliest, at), Infinity);
      if (next > end) break;
      rounds = next > this.#monotonic ? 0 : rounds + 1;
      if (rounds > MAX_ROUNDS_AT_ONE_INSTANT) throw new Error('a loop turns without waiting');
      this.#monotonic = Math.max(this.#monotonic, next);
      for (const sleeper of this.#sleepers) if (sleeper.at <= this.#monotonic) sleeper.wake();
      await this.idle();
    }
    this.#monotonic = end;
    await this.idle();
  }

  /** What waits now: 0 once everything has stopped. */
  get sleepers(): number {
    return this.#sleepers.size;
  }

  /** The wall clock is set, or the machine was suspended for that long (the monotonic clock stands still). */
  setWallClock(byMs: number): void {
    this.#offset += byMs;
  }
}
