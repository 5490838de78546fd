import type { Cancellable, Clock } from './ports.ts';

/** A machine that was suspended is noticed within this time. */
const TICK_MS = 1_000;
/** Time servers slew smaller differences away; a larger one between two ticks is a suspended machine or a set clock. */
const JUMP_MS = 5_000;

/**
 * The one timer of the process: rings alarms whose wall-clock instant has come, by looking at the clock once a second,
 * because a timer alone knows nothing of a suspended machine or of a clock that was set.
 */
export class Ticker {
  readonly clock: Clock;
  readonly #onJump: (byMs: number) => void;
  readonly #alarms = new Set<Alarm>();
  #sleep = new AbortController();
  #beatAt: number;

  constructor(clock: Clock, onJump: (byMs: number) => void) {
    this.clock = clock;
    this.#onJump = onJump;
    this.#beatAt = clock.monotonic();
  }

  /** When it last turned, by the monotonic clock: the heartbeat. */
  get beatAt(): number {
    return this.#beatAt;
  }

  async run({ signal }: Cancellable): Promise<never> {
    signal.addEventListener('abort', () => this.#sleep.abort(), { once: true });
    let offsetMs = this.clock.now() - this.clock.monotonic();
    for (;;) {
      signal.throwIfAborted();
      this.#beatAt = this.clock.monotonic();
      const now = this.clock.now();
      const jumpMs = now - this.#beatAt - offsetMs;
      offsetMs += jumpMs;
      if (Math.abs(jumpMs) > JUMP_MS) {
        this.#onJump(jumpMs);
        // If the clock was set back, every instant has moved away: whoever waits for one has to look at the clock again.
        for (const alarm of this.#alarms) alarm.ring();
      }
      await this.#sleepUntilNext(now);
    }
  }

  add(alarm: Alarm): void {
    this.#alarms.add(alarm);
  }

  remove(alarm: Alarm): void {
    this.#alarms.delete(alarm);
  }

  /** An alarm was set to less than a tick from now. */
  hasten(): void {
    this.#sleep.abort();
  }

  async #sleepUntilNext(now: number): Promise<void> {
    let nextAt = now + TICK_MS;
    for (const alarm of this.#alarms) {
      if (alarm.at <= now) alarm.ring();
      else nextAt = Math.min(nextAt, alarm.at);
    }
    this.#sleep = new AbortController();
    await this.clock.sleep(nextAt - now, this.#sleep).catch(() => {
      // Hastened or stopped: the loop looks at the clock and at its own signal either way.
    });
  }
}

/** What one task waits for: an instant of the wall clock, or somebody who rings. A ring before the wait is not lost. */
export class Alarm {
  readonly #ticker: Ticker;
  #at = Infinity;
  #hasRung = false;
  #wake: (() => void) | undefined;

  constructor(ticker: Ticker) {
    this.#ticker = ticker;
  }

  get at(): number {
    return this.#at;
  }

  ring(): void {
    this.#hasRung = true;
    this.#wake?.();
  }

  async until(at: number, { signal }: Cancellable): Promise<void> {
    signal.throwIfAborted();
    if (!this.#hasRung) {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      this.#wake = (): void => resolve(undefined);
      this.#at = at;
      this.#ticker.add(this);
      signal.addEventListener('abort', resolve, { once: true });
      if (at - this.#ticker.clock.now() < TICK_MS) this.#ticker.hasten();
      await promise;
      signal.removeEventListener('abort', resolve);
      this.#ticker.remove(this);
      this.#at = Infinity;
      this.#wake = undefined;
    }
    this.#hasRung = false;
    signal.throwIfAborted();
  }
}
