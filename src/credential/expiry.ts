import type { Cancellable, Credential } from './ports.ts';
import { remainingMs } from './schedule.ts';
import { Alarm, type Ticker } from './ticker.ts';

/** Tells that what is held has expired without a successor, once and when it happens, whatever else is under way. */
export class Expiry {
  readonly #ticker: Ticker;
  readonly #alarm: Alarm;
  readonly #onExpired: () => void;
  #held: Credential | undefined;

  constructor(ticker: Ticker, onExpired: () => void) {
    this.#ticker = ticker;
    this.#alarm = new Alarm(ticker);
    this.#onExpired = onExpired;
  }

  hold(credential: Credential): void {
    this.#held = credential;
    this.#alarm.ring();
  }

  async run({ signal }: Cancellable): Promise<never> {
    const { clock } = this.#ticker;
    for (;;) {
      const leftMs = this.#held === undefined ? Infinity : remainingMs(this.#held, clock);
      if (leftMs > 0) {
        await this.#alarm.until(clock.now() + Math.ceil(leftMs), { signal });
      } else {
        this.#held = undefined;
        this.#onExpired();
      }
    }
  }
}
