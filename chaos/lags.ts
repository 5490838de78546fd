const KEPT_MS = 60_000;

/** Delays of those who observe: what was seen late is not held against the sidecar. */
export class Lags {
  worstMs = 0;
  #noted: { readonly at: number; readonly ms: number }[] = [];
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  note(ms: number): void {
    const now = this.#now();
    this.worstMs = Math.max(this.worstMs, ms);
    this.#noted = this.#noted.filter(({ at }) => at > now - KEPT_MS);
    this.#noted.push({ at: now, ms });
  }

  /** The longest, in milliseconds. */
  since(from: number): number {
    return Math.max(0, ...this.#noted.filter(({ at }) => at >= from).map(({ ms }) => ms));
  }
}
