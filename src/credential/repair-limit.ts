import type { SinkError } from './errors.ts';

/** Two writers of one path must not fight for ever. */
const REPAIRS_A_MINUTE = 3;
const MINUTE_MS = 60_000;

/**
 * When a sink may be repaired: not too often, and not while it says that it is to be left as others have made it. All times
 * are readings of the monotonic clock, in milliseconds.
 */
export class RepairLimit {
  readonly #repairedAt: number[] = [];
  #problem: { readonly failure: string; readonly seenAt: number } | undefined;
  #toldAt = -Infinity;

  repaired(now: number): void {
    this.#repairedAt.push(now);
  }

  /** The sink is as it should be. */
  over(): void {
    this.#problem = undefined;
  }

  /** How long the next one has to wait, or 0. Told of each look that finds a problem. */
  waitMs(problem: SinkError | undefined, now: number): number {
    return Math.max(this.#limitMs(now), problem === undefined ? 0 : this.#pauseMs(problem, now));
  }

  /** Whether to tell of it: once a minute is enough. */
  isNews(now: number): boolean {
    if (now - this.#toldAt < MINUTE_MS) return false;
    this.#toldAt = now;
    return true;
  }

  #limitMs(now: number): number {
    while (this.#repairedAt[0] !== undefined && now - this.#repairedAt[0] >= MINUTE_MS) this.#repairedAt.shift();
    const [oldest] = this.#repairedAt;
    if (oldest === undefined || this.#repairedAt.length < REPAIRS_A_MINUTE) return 0;
    return MINUTE_MS - (now - oldest);
  }

  #pauseMs({ failure, retryAfterMs }: SinkError, now: number): number {
    if (this.#problem?.failure !== failure) this.#problem = { failure, seenAt: now };
    return this.#problem.seenAt + retryAfterMs - now;
  }
}
