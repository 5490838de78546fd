import { chooseRecovered, type Demands, LONGEST_LIFETIME_MS, requireBetter } from './acceptance.ts';
import { Attempts } from './attempts.ts';
import { MintError } from './errors.ts';
import type { Cancellable, Clock, Credential, Minter, Observer, Sink } from './ports.ts';
import { Publisher } from './publisher.ts';
import {
  ageMs,
  attemptTimeoutMs,
  type BackoffPolicy,
  firstRefreshAt,
  type Random,
  refreshAt,
  type RefreshPolicy,
  remainingMs,
  retryDelayMs,
} from './schedule.ts';
import { expiresLater, isBetter } from './sharing.ts';
import type { Slots } from './slots.ts';
import type { CredentialStatus, Vitals } from './status.ts';
import { runAll } from './tasks.ts';
import { Alarm, type Ticker } from './ticker.ts';

export interface KeeperOptions {
  readonly name: string;
  /** The endpoint or the instance, for the status only. */
  readonly resource: string;
  /** What is asked for; the service's own default where it is undefined. */
  readonly ttlMs: number | undefined;
  /** Deadline of one attempt while there is no valid credential; sooner where one is about to expire. */
  readonly timeoutMs: number;
  readonly refresh: RefreshPolicy;
  readonly backoff: BackoffPolicy;
  readonly minter: Minter;
  readonly sinks: readonly Sink[];
  readonly slots: Slots;
  readonly ticker: Ticker;
  readonly random: Random;
  readonly observer: Observer;
  /** Whether what an earlier process left in the sinks may be used for as long as it lives. */
  readonly adopts: boolean;
  /** Held by the keeper that this one replaces, for the same identity. */
  readonly inherited?: Credential | undefined;
}

/** A look at shared sinks is not repeated sooner: the start has just had one. */
const LOOK_MS = 1_000;

/** Keeps one credential fresh: mints it, hands it to its sinks, waits until it is due, and never gives up. */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #publishers: readonly Publisher[];
  readonly #attempts = new Attempts();
  #current: Credential | undefined;
  #hasExpired = false;
  #isMinting = false;
  /** `refreshSoon` was called since the running attempt began. */
  #isDueAgain = false;
  #attemptDeadline: number | undefined;
  #wakeAt: number;
  /** The service's clock minus this machine's, at the last mint. */
  #skewMs = 0;
  /** By the monotonic clock. */
  #lookedAt = -Infinity;

  constructor(options: KeeperOptions) {
    const { name, sinks, ticker, backoff, random, observer, refresh } = options;
    this.#options = options;
    this.#clock = ticker.clock;
    this.#alarm = new Alarm(ticker);
    this.#wakeAt = this.#clock.now();
    const shared = {
      refresh,
      skewMs: () => this.#skewMs,
      onFound: (found: Credential) => {
        if (this.#takeOver(found)) this.#alarm.ring();
      },
    };
    this.#publishers = sinks.map(
      (sink) => new Publisher({ credentialName: name, sink, ticker, backoff, random, observer, ...shared }),
    );
  }

  get name(): string {
    return this.#options.name;
  }

  get sinkNames(): string[] {
    return this.#publishers.map(({ sink }) => sink.name);
  }

  /** What a keeper that replaces this one may go on with. */
  get current(): Credential | undefined {
    return this.#current;
  }

  /** Settles once every sink has held the credential. */
  async published(): Promise<void> {
    await Promise.all(this.#publishers.map((publisher) => publisher.firstWrite));
  }

  async run({ signal }: Cancellable): Promise<void> {
    const publishing = this.#publishers.map((publisher) => (options: Cancellable) => publisher.run(options));
    await runAll([(options) => this.#keep(options), ...publishing], { signal });
  }

  /** Something happened after which the present credential cannot be trusted to last. */
  refreshSoon(): void {
    const { floorMs } = this.#options.refresh;
    const heldMs = this.#current === undefined ? Infinity : ageMs(this.#current, this.#clock);
    this.#wakeAt = this.#clock.now() + (this.#attempts.failures > 0 ? 0 : Math.max(0, floorMs - heldMs));
    this.#isDueAgain = true;
    this.#alarm.ring();
  }

  /** The identity's secret changed: worth a try at once if the last attempt failed. */
  retryNow(): void {
    if (this.#attempts.failures > 0) this.refreshSoon();
  }

  vitals(): Vitals {
    return {
      name: this.name,
      wakeAt: this.#wakeAt,
      isMinting: this.#isMinting,
      attemptDeadline: this.#attemptDeadline,
    };
  }

  async status({ signal }: Cancellable): Promise<CredentialStatus> {
    return {
      name: this.name,
      resource: this.#options.resource,
      current: this.#current,
      sinks: await Promise.all(this.#publishers.map((publisher) => publisher.status({ signal }))),
      wakeAt: this.#wakeAt,
      isMinting: this.#isMinting,
      ...this.#attempts.summary,
    };
  }

  async #keep({ signal }: Cancellable): Promise<never> {
    await this.#adopt({ signal });
    for (;;) {
      await this.#waitUntilDue({ signal });
      await this.#attempt({ signal });
    }
  }

  async #adopt({ signal }: Cancellable): Promise<void> {
    const { adopts, inherited } = this.#options;
    this.#lookedAt = this.#clock.monotonic();
    const recovered = await Promise.all(this.#publishers.map((publisher) => publisher.recover({ signal })));
    const found = chooseRecovered(recovered, this.#clock);
    const adopted = inherited !== undefined && remainingMs(inherited, this.#clock) > 0 ? inherited : found;
    // A watch may have told of it already.
    if (adopted !== undefined && adopts && adopted.fingerprint !== this.#current?.fingerprint) this.#use(adopted);
  }

  /** What another writer has put into a shared sink, if that is better than what is held. */
  #takeOver(found: Credential | undefined): boolean {
    if (found === undefined || !this.#options.adopts || !isBetter(found, this.#current, this.#clock)) return false;
    this.#use(found);
    return true;
  }

  #use(adopted: Credential): void {
    const { observer, random, refresh } = this.#options;
    this.#current = adopted;
    this.#hasExpired = false;
    this.#wakeAt = refreshAt(adopted, refresh, random);
    observer.adopted(this.name, adopted, this.#wakeAt);
    this.#publish(adopted);
  }

  /** Whether another writer was faster. */
  async #takeOverInstead({ signal }: Cancellable): Promise<boolean> {
    if (this.#clock.monotonic() - this.#lookedAt < LOOK_MS) return false;
    this.#lookedAt = this.#clock.monotonic();
    const found = await Promise.all(this.#publishers.map((publisher) => publisher.look({ signal })));
    return this.#takeOver(chooseRecovered(found, this.#clock));
  }

  async #waitUntilDue({ signal }: Cancellable): Promise<void> {
    for (;;) {
      this.#noticeExpiry();
      if (this.#clock.now() >= this.#wakeAt) return;
      // Expiry is an event of its own: a person wants to know of it when it happens, not at the next attempt.
      const leftMs =
        this.#hasExpired || this.#current === undefined ? Infinity : remainingMs(this.#current, this.#clock);
      await this.#alarm.until(Math.min(this.#wakeAt, this.#clock.now() + Math.ceil(leftMs)), { signal });
    }
  }

  async #attempt({ signal }: Cancellable): Promise<void> {
    const { slots } = this.#options;
    const request = {
      expiresAt: this.#current?.local.expiresAt ?? -Infinity,
      isTroubled: this.#attempts.areTroubled,
    };
    this.#isMinting = true;
    try {
      await slots.with(
        request,
        async (slot) => {
          if (!(await this.#takeOverInstead({ signal }))) await this.#mint(slot, { signal });
        },
        { signal },
      );
    } finally {
      this.#isMinting = false;
      this.#attemptDeadline = undefined;
    }
  }

  async #mint(slot: number, { signal }: Cancellable): Promise<void> {
    const { minter, observer } = this.#options;
    const startedAt = this.#clock.monotonic();
    const timeoutMs = attemptTimeoutMs(this.#options.timeoutMs, this.#leftMs());
    const held = this.#current;
    this.#attempts.started(this.#clock.now());
    this.#attemptDeadline = startedAt + timeoutMs;
    this.#wakeAt = this.#clock.now();
    this.#isDueAgain = false;
    try {
      const minting = minter.mint({ signal, slot, timeoutMs });
      observer.mintStarted(this.name);
      const credential = await minting;
      // Meanwhile another writer's may have come into use: then this one is worth nothing unless it lives longer.
      const isOvertaken = this.#current !== held && !expiresLater(credential, this.#current!);
      if (!isOvertaken) requireBetter(credential, this.#current, this.#demands, this.#clock);
      this.#succeeded(credential, isOvertaken, this.#clock.monotonic() - startedAt);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MintError)) throw error; // a bug is not weather
      this.#failed(error, this.#clock.monotonic() - startedAt);
    }
  }

  #succeeded(credential: Credential, isOvertaken: boolean, durationMs: number): void {
    const { observer, random, refresh } = this.#options;
    const isFirst = this.#current === undefined || this.#attempts.failures > 0;
    const failuresBefore = this.#attempts.failures;
    this.#attempts.succeeded(this.#clock.now());
    this.#skewMs = credential.service.issuedAt - credential.local.issuedAt;
    if (!isOvertaken) this.#current = credential;
    this.#hasExpired = false;
    this.#wakeAt = (isFirst ? firstRefreshAt : refreshAt)(this.#current ?? credential, refresh, random);
    if (this.#isDueAgain) this.refreshSoon(); // the clock jumped while the command ran: its times cannot be trusted
    observer.minted(this.name, credential, { durationMs, dueAt: this.#wakeAt, failuresBefore, isOvertaken });
    if (!isOvertaken) this.#publish(credential);
  }

  #failed(error: MintError, durationMs: number): void {
    const { backoff, observer, random } = this.#options;
    this.#attempts.failed(error, this.#clock.now());
    const { failures } = this.#attempts;
    this.#wakeAt = this.#clock.now() + retryDelayMs(failures, backoff, this.#leftMs(), random);
    if (this.#isDueAgain) this.refreshSoon(); // the command ran with the old secret, or on the old time
    observer.mintFailed(this.name, error, {
      durationMs,
      retryAt: this.#wakeAt,
      consecutiveFailures: failures,
      remainingMs: this.#leftMs(),
    });
    this.#noticeExpiry();
  }

  #publish(credential: Credential): void {
    for (const publisher of this.#publishers) publisher.publish(credential);
  }

  get #demands(): Demands {
    const isShared = this.#publishers.some((publisher) => publisher.isShared);
    return { requestedMs: this.#options.ttlMs ?? LONGEST_LIFETIME_MS, isShared };
  }

  #leftMs(): number | undefined {
    return this.#current && remainingMs(this.#current, this.#clock);
  }

  #noticeExpiry(): void {
    const leftMs = this.#leftMs();
    if (this.#hasExpired || leftMs === undefined || leftMs > 0) return;
    this.#hasExpired = true;
    this.#options.observer.expired(this.name);
  }
}
