import type { SinkError } from './errors.ts';
import type { Clock, Credential } from './ports.ts';
import { type BackoffPolicy, type Random, remainingMs, retryDelayMs } from './schedule.ts';
import type { SinkStatus } from './status.ts';

/** No sink is tried more often, however many changes are reported. */
const LEAST_MS = 1_000;

/**
 * When to write a sink again that could not be written. By the monotonic clock, because a wall clock that is set back must
 * delay nothing.
 */
export class WriteRetries {
  readonly #clock: Clock;
  readonly #backoff: BackoffPolicy;
  readonly #random: Random;
  #failures = 0;
  #failure: Omit<NonNullable<SinkStatus['failure']>, 'retryAt'> | undefined;
  #retryAt = 0;
  #triedAt = -Infinity;
  /** A server has asked not to be tried before this. Neither a change nor a new credential shortens that wait. */
  #notBefore = -Infinity;

  constructor(clock: Clock, backoff: BackoffPolicy, random: Random) {
    this.#clock = clock;
    this.#backoff = backoff;
    this.#random = random;
  }

  /** Undefined once a write has succeeded, or what stands there will do. */
  get failure(): SinkStatus['failure'] {
    if (this.#failure === undefined) return undefined;
    const leftMs = Math.max(0, this.#retryAt - this.#clock.monotonic());
    // Not as it was announced: the wall clock may have been set since.
    return { ...this.#failure, retryAt: this.#clock.now() + leftMs };
  }

  /** How many tries in a row have failed. */
  get failures(): number {
    return this.#failures;
  }

  /** Until the next try, 0 or less: now; Infinity where none is due. */
  get waitMs(): number {
    // Whole milliseconds, because an instant of the wall clock does not carry much smaller ones: the wait would be none.
    return this.#failures > 0 ? Math.ceil(this.#retryAt - this.#clock.monotonic()) : Infinity;
  }

  /** Something new is to be written: only the wait that a server has asked for stays. */
  endBackoff(): void {
    this.#retryAt = this.#notBefore;
  }

  began(): void {
    this.#triedAt = this.#clock.monotonic();
  }

  /** Another writer was faster. Waits a little, so that the two do not race without end. */
  wasOvertaken(): void {
    this.#retryAt = this.#triedAt + LEAST_MS;
  }

  /** A retry that is due may have to wait for the limit on repairs: put off to the next look, or the loop would only look. */
  postpone(): void {
    if (this.#failures > 0) this.#retryAt = Math.max(this.#retryAt, this.#clock.monotonic() + LEAST_MS);
  }

  succeeded(): void {
    this.#failures = 0;
    this.#failure = undefined;
    this.endBackoff();
  }

  /** When the next try is due, by the wall clock. `held` is what readers get meanwhile. */
  failed(error: SinkError, held: Credential | undefined): number {
    const now = this.#clock.now();
    this.#failures += 1;
    const delayMs = retryDelayMs(this.#failures, this.#backoff, held && remainingMs(held, this.#clock), this.#random);
    const retryMs = Math.max(delayMs, error.retryAfterMs);
    this.#retryAt = this.#clock.monotonic() + retryMs;
    this.#notBefore = this.#clock.monotonic() + error.retryAfterMs;
    this.#failure = { error, at: now };
    return now + retryMs;
  }

  /** A change that the watch tells of is a reason to try before the back-off ends: somebody may have made room. */
  isTooSoon(hasChanged: boolean): boolean {
    const now = this.#clock.monotonic();
    const isProvoked = hasChanged && now - this.#triedAt >= LEAST_MS;
    return now < this.#notBefore || (now < this.#retryAt && !isProvoked);
  }
}
