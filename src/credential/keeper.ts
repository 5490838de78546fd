import { requireBetter } from './acceptance.ts';
import { Attempts } from './attempts.ts';
import { MintError } from './errors.ts';
import { Expiry } from './expiry.ts';
import { type Cancellable, type Clock, type Credential, LONGEST_LIFETIME_MS } from './ports.ts';
import type { KeeperOptions } from './keeper-options.ts';
import { Publishers } from './publishers.ts';
import {
  ageMs,
  attemptTimeoutMs,
  expiresLater,
  firstRefreshAt,
  refreshAfterFailuresAt,
  refreshAt,
  remainingMs,
  retryDelayMs,
  skewOf,
  turnWithinMs,
} from './schedule.ts';
import { isBetter } from './sharing.ts';
import type { CredentialStatus, Vitals } from './status.ts';
import { runAll, type Task } from './tasks.ts';
import { Alarm } from './ticker.ts';

/** Keeps one credential fresh: mints it, hands it to its sinks, waits until it is due, and never gives up. */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #publishers: Publishers;
  readonly #attempts = new Attempts();
  readonly #expiry: Expiry;
  #current: Credential | undefined;
  #isMinting = false;
  #isStopping = false;
  /** `refreshSoon` was called since the running attempt began. */
  #isDueAgain = false;
  #attemptDeadline: number | undefined;
  #wakeAt: number;
  /** The last one that was minted here: it tells the service's time. */
  #minted: Credential | undefined;

  constructor(options: KeeperOptions) {
    const { name, sinks, ticker, backoff, random, observer, refresh } = options;
    this.#options = options;
    this.#clock = ticker.clock;
    this.#alarm = new Alarm(ticker);
    this.#expiry = new Expiry(ticker, () => observer.expired(name));
    this.#wakeAt = this.#clock.now();
    this.#publishers = new Publishers(sinks, {
      credentialName: name,
      ticker,
      backoff,
      random,
      observer,
      refresh,
      minted: () => this.#minted,
      onFound: (found) => {
        if (this.#takeOver(found)) this.#alarm.ring();
      },
    });
  }

  get name(): string {
    return this.#options.name;
  }

  get sinkNames(): string[] {
    return this.#options.sinks.map(({ name }) => name);
  }

  /** What a keeper that replaces this one may go on with. */
  get current(): Credential | undefined {
    return this.#current;
  }

  /** Settles once every sink has held the credential. */
  async published(): Promise<void> {
    await this.#publishers.published();
  }

  async run({ signal }: Cancellable): Promise<void> {
    signal.addEventListener('abort', () => (this.#isStopping = true), { once: true });
    const own: Task[] = [(options) => this.#keep(options), (options) => this.#expiry.run(options)];
    await runAll([...own, ...this.#publishers.tasks], { signal });
  }

  /** Something happened after which the present credential cannot be trusted to last. */
  refreshSoon(): void {
    const { floorMs } = this.#options.refresh;
    const heldMs = this.#current === undefined ? Infinity : ageMs(this.#current, this.#clock);
    this.#wakeAt = this.#clock.now() + (this.#attempts.hasFailed ? 0 : Math.max(0, floorMs - heldMs));
    this.#isDueAgain = true;
    this.#alarm.ring();
  }

  /** The identity's secret changed: worth a try at once if the last attempt failed. */
  retryNow(): void {
    if (this.#attempts.hasFailed) this.refreshSoon();
  }

  vitals(): Vitals {
    return {
      name: this.name,
      wakeAt: this.#wakeAt,
      isMinting: this.#isMinting,
      isStopping: this.#isStopping,
      attemptDeadline: this.#attemptDeadline,
    };
  }

  async status({ signal }: Cancellable): Promise<CredentialStatus> {
    return {
      name: this.name,
      resource: this.#options.resource,
      current: this.#current,
      sinks: await this.#publishers.status({ signal }),
      refresh: this.#options.refresh,
      wakeAt: this.#wakeAt,
      isMinting: this.#attemptDeadline !== undefined,
      ...this.#attempts.summary,
    };
  }

  async #keep({ signal }: Cancellable): Promise<never> {
    await this.#adopt({ signal });
    for (;;) {
      while (this.#clock.now() < this.#wakeAt) await this.#alarm.until(this.#wakeAt, { signal });
      await this.#attempt({ signal });
    }
  }

  async #adopt({ signal }: Cancellable): Promise<void> {
    const { inherited } = this.#options;
    // Before the look at the sinks: one that does not answer must not make the others look as if they held nothing.
    if (inherited !== undefined && remainingMs(inherited, this.#clock) > 0) this.#use(inherited);
    this.#takeOver(await this.#publishers.recover({ signal }));
  }

  /** What another process has put into a sink, if that is better than what is held, or about to be. */
  #takeOver(found: Credential | undefined, present = this.#current): boolean {
    if (found === undefined || !this.#options.adopts || !isBetter(found, present, this.#clock)) return false;
    this.#use(found);
    return true;
  }

  #use(adopted: Credential): void {
    const { observer, random, refresh } = this.#options;
    this.#attempts.superseded();
    this.#hold(adopted);
    // Counted from its age, which does not shrink when the clock is set back. A refresh that is long overdue is due now, not
    // in the past: /healthz would take that for a keeper that hangs.
    const dueAgeMs = refreshAt(adopted, refresh, random) - adopted.local.issuedAt;
    this.#wakeAt = this.#clock.now() + Math.max(0, dueAgeMs - ageMs(adopted, this.#clock));
    observer.adopted(this.name, adopted, this.#wakeAt);
    this.#publishers.publish(adopted, { isNew: false });
  }

  async #attempt({ signal }: Cancellable): Promise<void> {
    const { slots } = this.#options;
    const request = {
      wantedAt: this.#clock.monotonic() + turnWithinMs(this.#leftMs()),
      // A keeper that holds an adopted credential must not wait behind those that have never minted.
      isTroubled: this.#attempts.hasFailed || this.#current === undefined,
    };
    const held = this.#current;
    this.#isMinting = true;
    try {
      await slots.with(
        request,
        async (slot) => {
          this.#takeOver(await this.#publishers.look({ signal }));
          // Another writer may have minted while this one looked or waited for its slot: then there is nothing to do.
          if (this.#current === held) await this.#mint(slot, { signal });
        },
        { signal },
      );
    } finally {
      this.#isMinting = false;
      this.#attemptDeadline = undefined;
    }
  }

  async #mint(slot: number, { signal }: Cancellable): Promise<void> {
    const { minter, observer, ttlMs } = this.#options;
    const startedAt = this.#clock.monotonic();
    const timeoutMs = attemptTimeoutMs(this.#options.timeoutMs, this.#leftMs());
    const held = this.#current;
    this.#attempts.started(this.#clock.now());
    this.#attemptDeadline = startedAt + timeoutMs;
    this.#isDueAgain = false;
    try {
      const minting = minter.mint({ signal, slot, timeoutMs, held: held?.token });
      observer.mintStarted(this.name);
      const credential = await minting;
      // Meanwhile another writer's may have come into use: then this one is worth nothing unless it lives longer.
      const isOvertaken = this.#current !== held && !expiresLater(credential, this.#current!);
      // What was found at the start and not trusted may be better than this token, now that the service's time is known.
      if (this.#current === undefined) this.#takeOver(this.#publishers.reconsider(skewOf(credential)), credential);
      const demands = { requestedMs: ttlMs ?? LONGEST_LIFETIME_MS, isShared: this.#publishers.isShared };
      if (!isOvertaken) requireBetter(credential, this.#current, demands, this.#clock);
      this.#succeeded(credential, isOvertaken, this.#clock.monotonic() - startedAt);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MintError)) throw error; // a bug is not weather
      this.#failed(error, this.#current !== held, this.#clock.monotonic() - startedAt);
    }
  }

  #succeeded(credential: Credential, isOvertaken: boolean, durationMs: number): void {
    const { observer, random, refresh } = this.#options;
    const leftMs = this.#leftMs() ?? 0;
    const failuresBefore = this.#attempts.failures;
    this.#attempts.succeeded(this.#clock.now());
    this.#minted = credential;
    if (!isOvertaken) this.#hold(credential);
    const dueAt = leftMs <= 0 ? firstRefreshAt : failuresBefore > 0 ? refreshAfterFailuresAt : refreshAt;
    this.#wakeAt = dueAt(this.#current!, refresh, random);
    if (this.#isDueAgain) this.refreshSoon(); // the clock jumped while the command ran: its times cannot be trusted
    observer.minted(this.name, credential, { durationMs, dueAt: this.#wakeAt, failuresBefore, isOvertaken });
    if (!isOvertaken) this.#publishers.publish(credential, { isNew: true });
  }

  #failed(error: MintError, isOvertaken: boolean, durationMs: number): void {
    const { backoff, observer, random, refresh } = this.#options;
    this.#attempts.failed(error, this.#clock.now());
    const { failures } = this.#attempts;
    if (isOvertaken) this.#attempts.superseded();
    this.#wakeAt = isOvertaken
      ? refreshAt(this.#current!, refresh, random)
      : this.#clock.now() + retryDelayMs(failures, backoff, this.#leftMs(), random);
    if (this.#isDueAgain) this.refreshSoon(); // the command ran with the old secret, or on the old time
    observer.mintFailed(this.name, error, {
      durationMs,
      retryAt: this.#wakeAt,
      consecutiveFailures: failures,
      remainingMs: this.#leftMs(),
    });
  }

  #hold(credential: Credential): void {
    this.#current = credential;
    this.#expiry.hold(credential);
  }

  #leftMs(): number | undefined {
    return this.#current && remainingMs(this.#current, this.#clock);
  }
}
