import type { SinkError } from './errors.ts';

/** How long a sink says that it is to be left as others have made it; all times are readings of the monotonic clock, in milliseconds. */
export class RepairPause {
  #problem: { readonly failure: string; readonly seenAt: number } | undefined;

  /** Told of each look, by how much longer; not above 0 when it may be repaired. */
  waitMs({ failure, retryAfterMs }: SinkError, now: number): number {
    if (this.#problem?.failure !== failure) this.#problem = { failure, seenAt: now };
    return this.#problem.seenAt + retryAfterMs - now;
  }

  over(): void {
    this.#problem = undefined;
  }
}
