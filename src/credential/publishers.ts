import type { Cancellable, Clock, Credential, Sink } from './ports.ts';
import { Publisher } from './publisher.ts';
import type { PublisherOptions } from './publisher-options.ts';
import { asFound, chooseRecovered, localise } from './recovered.ts';
import type { SinkStatus } from './status.ts';
import { type Task, within } from './tasks.ts';

/** A look at shared sinks is not repeated sooner: the start has just had one. */
const LOOK_MS = 1_000;
/** The first credential waits no longer for a disk that hangs; a look at a shared sink gives up sooner by itself. */
const RECOVERY_MS = 5_000;

/** All sinks of one credential; each goes its own way. */
export class Publishers {
  readonly #all: readonly Publisher[];
  readonly #clock: Clock;
  /** By the monotonic clock. */
  #lookedAt = -Infinity;
  /** What was found at the start. Where none of it was plausible it is judged again once the service's time is known. */
  #found: readonly (Credential | undefined)[] = [];

  constructor(sinks: readonly Sink[], options: Omit<PublisherOptions, 'sink'>) {
    this.#clock = options.ticker.clock;
    this.#all = sinks.map((sink) => new Publisher({ ...options, sink }));
  }

  get tasks(): Task[] {
    return this.#all.map((publisher) => async (options) => await publisher.run(options));
  }

  /** Other writers may put credentials of theirs into one of them. */
  get isShared(): boolean {
    return this.#all.some((publisher) => publisher.isShared);
  }

  /** Settles once every sink has held the credential. */
  async published(): Promise<void> {
    await Promise.all(this.#all.map(async (publisher) => await publisher.firstWrite));
  }

  async status(options: Cancellable): Promise<SinkStatus[]> {
    return await Promise.all(this.#all.map(async (publisher) => await publisher.status(options)));
  }

  publish(credential: Credential, options: { readonly isNew: boolean }): void {
    for (const publisher of this.#all) publisher.publish(credential, options);
  }

  /** The best of what an earlier process, or another writer, has left, as far as it can be told within seconds. */
  async recover({ signal }: Cancellable): Promise<Credential | undefined> {
    const options = { signal, clock: this.#clock };
    const recover = async (publisher: Publisher): Promise<Credential | undefined> =>
      await within(RECOVERY_MS, publisher.recover({ signal }), options);
    this.#found = await Promise.all(this.#all.map(recover));
    this.#lookedAt = this.#clock.monotonic(); // after it: a look that nobody answers takes longer than LOOK_MS
    return chooseRecovered(this.#found, this.#clock);
  }

  /**
   * The best of what `recover` found, as it looks now that a first token has told the service's time: what seemed to be
   * issued in the future, because this clock was set back while nobody watched, may be good for long.
   */
  reconsider(skewMs: number): Credential | undefined {
    const found = this.#found.map((credential) => credential && localise(asFound(credential), skewMs, this.#clock));
    return chooseRecovered(found, this.#clock);
  }

  /** The best of what stands in shared sinks now. */
  async look(options: Cancellable): Promise<Credential | undefined> {
    if (this.#clock.monotonic() - this.#lookedAt < LOOK_MS) return undefined;
    this.#lookedAt = this.#clock.monotonic();
    const found = await Promise.all(this.#all.map(async (publisher) => await publisher.look(options)));
    return chooseRecovered(found, this.#clock);
  }
}
