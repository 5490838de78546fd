/**
 * Who deletes a Secret may be about to take away the rights to it, too, as Helm does one after the other with what is
 * configured no longer. What is made again in between would stay behind, and nobody would keep it fresh.
 */
const PAUSE_MS = 1_000;

/** How long what has been deleted stays so; all times are readings of the monotonic clock, in milliseconds. */
export class Deletion {
  #seenAt: number | undefined;

  /** Told at each look that finds nothing. */
  seen(now: number): void {
    this.#seenAt ??= now;
  }

  over(): void {
    this.#seenAt = undefined;
  }

  /** Until it may be made again, in whole milliseconds; 0 when it may be. */
  waitMs(now: number): number {
    return this.#seenAt === undefined ? 0 : Math.max(0, Math.ceil(this.#seenAt + PAUSE_MS - now));
  }
}
