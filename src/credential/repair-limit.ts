import type { SinkError } from './errors.ts';
import type { Clock } from './ports.ts';

/** Two writers of one path must not fight for ever. */
const REPAIRS_A_MINUTE = 3;
const MINUTE_MS = 60_000;

/**
 * When a sink may be repaired: not too often, and not while it says that it is to be left as others have made it. By the
 * monotonic clock.
 */
export class RepairLimit {
  readonly #clock: Clock;
  #repairs: readonly { readonly at: number; readonly wasLacking: boolean }[] = [];
  #problem: { readonly failure: string; readonly seenAt: number } | undefined;
  #toldAt = -Infinity;
  #wasGood = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `wasLacking`: readers did not get the token. */
  repaired({ wasLacking }: { readonly wasLacking: boolean }): void {
    const now = this.#clock.monotonic();
    this.#repairs = [...this.#repairs.filter(({ at }) => now - at < MINUTE_MS), { at: now, wasLacking }];
  }

  /** The sink is as it should be, or was for a moment. */
  notNeeded(): void {
    this.#wasGood = true;
    this.#problem = undefined;
  }

  /**
   * How long the next write has to wait; 0 or less: not at all. To be asked at each look, because it remembers how long a
   * problem has lasted. `problem` says why readers do not get the token, if they do not; then only those earlier repairs count
   * that gave it back to them. A new credential (`isRepair` false) is not limited, and at the start waits for nothing: nobody
   * has taken anything away yet.
   */
  waitMs(problem: SinkError | undefined, { isRepair }: { readonly isRepair: boolean }): number {
    if (!isRepair) return problem !== undefined && this.#wasGood ? this.#pauseMs(problem) : 0;
    if (problem === undefined) return this.#limitMs(this.#repairs);
    const comparable = this.#repairs.filter(({ wasLacking }) => wasLacking);
    return Math.max(this.#limitMs(comparable), this.#pauseMs(problem));
  }

  /** Whether to tell of it: once a minute is enough. */
  isNews(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#toldAt < MINUTE_MS) return false;
    this.#toldAt = now;
    return true;
  }

  #limitMs(repairs: readonly { readonly at: number }[]): number {
    const oldest = repairs.at(-REPAIRS_A_MINUTE);
    return oldest === undefined ? 0 : Math.max(0, oldest.at + MINUTE_MS - this.#clock.monotonic());
  }

  #pauseMs({ failure, retryAfterMs }: SinkError): number {
    const now = this.#clock.monotonic();
    if (this.#problem?.failure !== failure) this.#problem = { failure, seenAt: now };
    return this.#problem.seenAt + retryAfterMs - now;
  }
}
