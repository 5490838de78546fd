import { SinkError } from './errors.ts';
import type { Cancellable, Clock, Credential, Holding, Observer, Sink } from './ports.ts';
import { type BackoffPolicy, type Random, remainingMs, retryDelayMs } from './schedule.ts';
import type { SinkStatus } from './status.ts';
import { runAll } from './tasks.ts';
import { Alarm, type Ticker } from './ticker.ts';

/** Others' changes are looked for this often, whether or not the watch tells of them. */
const INSPECTION_MS = 1_000;
/** Two writers of one path must not fight for ever. */
const REPAIRS_A_MINUTE = 3;
const MINUTE_MS = 60_000;

export interface PublisherOptions {
  readonly credentialName: string;
  readonly sink: Sink;
  readonly ticker: Ticker;
  readonly backoff: BackoffPolicy;
  readonly random: Random;
  readonly observer: Observer;
}

/** Keeps one sink at the credential it was last given: writes, retries, repairs. Never mints. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #firstWrite = Promise.withResolvers<void>();
  /** By the monotonic clock. */
  readonly #repairedAt: number[] = [];
  /** What the sink should hold. */
  #wanted: Credential | undefined;
  /** The last that was written or found there. */
  #held: Credential | undefined;
  #failures = 0;
  #failure: SinkStatus['failure'];
  /** By the monotonic clock, as what follows: a wall clock that is set back must not put off anything. */
  #retryAt = 0;
  #triedAt = -Infinity;
  #hasChanged = false;
  #lastWriteAt: number | undefined;
  #limitToldAt = -Infinity;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#clock = options.ticker.clock;
    this.#alarm = new Alarm(options.ticker);
  }

  get sink(): Sink {
    return this.#options.sink;
  }

  /** Settles once the sink has held what it should for the first time. */
  get firstWrite(): Promise<void> {
    return this.#firstWrite.promise;
  }

  publish(credential: Credential): void {
    this.#wanted = credential;
    this.#retryAt = 0;
    this.#alarm.ring();
  }

  async run({ signal }: Cancellable): Promise<void> {
    await runAll([(options) => this.#watch(options), (options) => this.#keep(options)], { signal });
  }

  /** What a reader would get now. */
  async status({ signal }: Cancellable): Promise<SinkStatus> {
    const { name, kind } = this.sink;
    const holding = await this.#look({ signal });
    return { name, kind, holding, lastWriteAt: this.#lastWriteAt, failure: this.#failure };
  }

  async #watch({ signal }: Cancellable): Promise<void> {
    const onChange = (): void => {
      this.#hasChanged = true;
      this.#alarm.ring();
    };
    await this.sink.watch(onChange, { signal });
  }

  async #keep({ signal }: Cancellable): Promise<never> {
    for (;;) {
      // Whole milliseconds, because an instant of the wall clock does not carry much smaller ones: the wait would be none.
      const retryMs = this.#failures > 0 ? Math.max(0, Math.ceil(this.#retryAt - this.#clock.monotonic())) : Infinity;
      await this.#alarm.until(this.#clock.now() + Math.min(INSPECTION_MS, retryMs), { signal });
      if (this.#wanted !== undefined) await this.#settle(this.#wanted, { signal });
    }
  }

  async #look({ signal }: Cancellable): Promise<Holding> {
    const known = [this.#wanted, this.#held].filter((credential) => credential !== undefined);
    return await this.sink.inspect(known, { signal });
  }

  async #settle(wanted: Credential, { signal }: Cancellable): Promise<void> {
    const holding = await this.#look({ signal });
    const held = holding.state === 'holds' ? holding.credential : undefined;
    if (held?.fingerprint === wanted.fingerprint) return this.#settled(wanted);
    const isRepair = this.#held?.fingerprint === wanted.fingerprint;
    if (this.#failures > 0 ? this.#isTooSoon() : isRepair && this.#isLimited()) return;
    await this.#write(wanted, held, isRepair, { signal });
  }

  #settled(wanted: Credential): void {
    this.#held = wanted;
    this.#failures = 0;
    this.#failure = undefined;
    this.#firstWrite.resolve();
  }

  async #write(
    wanted: Credential,
    held: Credential | undefined,
    isRepair: boolean,
    { signal }: Cancellable,
  ): Promise<void> {
    const { credentialName, observer, sink } = this.#options;
    this.#hasChanged = false;
    this.#triedAt = this.#clock.monotonic();
    try {
      await sink.write(wanted, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof SinkError)) throw error;
      this.#failed(error, held);
      return;
    }
    this.#lastWriteAt = this.#clock.now();
    if (isRepair) this.#repairedAt.push(this.#clock.monotonic());
    this.#settled(wanted);
    observer.sinkWritten(credentialName, sink.name, wanted, isRepair);
  }

  #failed(error: SinkError, held: Credential | undefined): void {
    const { backoff, credentialName, observer, random, sink } = this.#options;
    const now = this.#clock.now();
    this.#failures += 1;
    const delayMs = retryDelayMs(this.#failures, backoff, held && remainingMs(held, this.#clock), random);
    this.#retryAt = this.#clock.monotonic() + delayMs;
    this.#failure = { code: error.failure, at: now, retryAt: now + delayMs };
    observer.sinkFailed(credentialName, sink.name, error, now + delayMs);
  }

  /** A change that the watch tells of is a reason to try before the back-off ends: somebody may have made room. */
  #isTooSoon(): boolean {
    const now = this.#clock.monotonic();
    const isProvoked = this.#hasChanged && now - this.#triedAt >= INSPECTION_MS;
    return now < this.#retryAt && !isProvoked;
  }

  #isLimited(): boolean {
    const { credentialName, observer, sink } = this.#options;
    const now = this.#clock.monotonic();
    while (this.#repairedAt[0] !== undefined && now - this.#repairedAt[0] >= MINUTE_MS) this.#repairedAt.shift();
    const [oldest] = this.#repairedAt;
    if (oldest === undefined || this.#repairedAt.length < REPAIRS_A_MINUTE) return false;
    if (now - this.#limitToldAt >= MINUTE_MS) {
      this.#limitToldAt = now;
      observer.sinkRepairsLimited(credentialName, sink.name, this.#clock.now() + MINUTE_MS - (now - oldest));
    }
    return true;
  }
}
