import type { SinkError } from './errors.ts';

/** Two writers of one path must not fight for ever. */
const REPAIRS_A_MINUTE = 3;
const MINUTE_MS = 60_000;

/**
 * When a sink may be repaired: not too often, and not while it says that it is to be left as others have made it. All times
 * are readings of the monotonic clock, in milliseconds.
 */
export class RepairLimit {
  #repairs: readonly { readonly at: number; readonly wasLacking: boolean }[] = [];
  #problem: { readonly failure: string; readonly seenAt: number } | undefined;
  #toldAt = -Infinity;

  /** `wasLacking`: readers did not get the token. */
  repaired(now: number, wasLacking: boolean): void {
    this.#repairs = [...this.#repairs.filter(({ at }) => now - at < MINUTE_MS), { at: now, wasLacking }];
  }

  /** The sink is as it should be. */
  over(): void {
    this.#problem = undefined;
  }

  /**
   * How long the next one has to wait, or 0. Told of each look, with the problem where readers do not get the token: that does
   * not wait for repairs of what they do not miss.
   */
  waitMs(problem: SinkError | undefined, now: number): number {
    if (problem === undefined) return this.#limitMs(this.#repairs, now);
    const comparable = this.#repairs.filter(({ wasLacking }) => wasLacking);
    return Math.max(this.#limitMs(comparable, now), this.#pauseMs(problem, now));
  }

  /** Whether to tell of it: once a minute is enough. */
  isNews(now: number): boolean {
    if (now - this.#toldAt < MINUTE_MS) return false;
    this.#toldAt = now;
    return true;
  }

  #limitMs(repairs: readonly { readonly at: number }[], now: number): number {
    const oldest = repairs.at(-REPAIRS_A_MINUTE);
    return oldest === undefined ? 0 : Math.max(0, MINUTE_MS - (now - oldest.at));
  }

  #pauseMs({ failure, retryAfterMs }: SinkError, now: number): number {
    if (this.#problem?.failure !== failure) this.#problem = { failure, seenAt: now };
    return this.#problem.seenAt + retryAfterMs - now;
  }
}
