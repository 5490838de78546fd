/** Two writers of one path must not fight for ever. */
const REPAIRS_A_MINUTE = 3;
const MINUTE_MS = 60_000;

/** How often a sink may be repaired; all times are readings of the monotonic clock, in milliseconds. */
export class RepairLimit {
  readonly #repairedAt: number[] = [];
  #toldAt = -Infinity;

  repaired(now: number): void {
    this.#repairedAt.push(now);
  }

  /** How long the next one has to wait, or 0. */
  waitMs(now: number): number {
    while (this.#repairedAt[0] !== undefined && now - this.#repairedAt[0] >= MINUTE_MS) this.#repairedAt.shift();
    const [oldest] = this.#repairedAt;
    if (oldest === undefined || this.#repairedAt.length < REPAIRS_A_MINUTE) return 0;
    return MINUTE_MS - (now - oldest);
  }

  /** Whether to tell of it: once a minute is enough. */
  isNews(now: number): boolean {
    if (now - this.#toldAt < MINUTE_MS) return false;
    this.#toldAt = now;
    return true;
  }
}
