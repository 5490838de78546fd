import { SinkError } from '../../src/credential/errors.ts';
import type { Cancellable, Credential, Inspection, Recovered, Sink, SinkListener } from '../../src/credential/ports.ts';

/** One place that many sinks write, such as a Secret; `undefined` holds what is not ours, or nothing. */
export class SharedPlace {
  content: Credential | undefined;
  readonly history: Credential[] = [];
  /** Nobody can look or write, and what was seen last is all that is known. */
  isAway = false;
  /** How long a request is on its way. */
  transit: (options: Cancellable) => Promise<void> = async () => await Promise.resolve();
  readonly #sinks = new Set<SharedSink>();

  sink(): SharedSink {
    const sink = new SharedSink(this);
    this.#sinks.add(sink);
    return sink;
  }

  put(credential: Credential): void {
    this.content = credential;
    this.history.push(credential);
    this.tell();
  }

  /** As the events of a watch. */
  tell(): void {
    if (this.isAway) return;
    for (const sink of this.#sinks) sink.see();
  }
}

/** A writer's view of the place: what it saw last, which is what its writes are good for. */
export class SharedSink implements Sink {
  readonly name = 'secret:apps/lakebase';
  readonly kind = 'secret';
  readonly #place: SharedPlace;
  #seen: Credential | undefined;
  #onChange: () => void = () => {};

  constructor(place: SharedPlace) {
    this.#place = place;
  }

  see(): void {
    this.#seen = this.#place.content;
    this.#onChange();
  }

  async prepare(): Promise<void> {}

  async examine(): Promise<string> {
    return await Promise.resolve('in memory');
  }

  async look(options: Cancellable): Promise<void> {
    await this.#place.transit(options);
    if (!this.#place.isAway) this.#seen = this.#place.content;
  }

  async recover(): Promise<Recovered | undefined> {
    return await Promise.resolve(this.#seen && foundOf(this.#seen));
  }

  async write(credential: Credential, options: Cancellable): Promise<void> {
    const seen = this.#seen;
    await this.#place.transit(options);
    if (this.#place.isAway) throw new SinkError('unreachable', 'nobody answers');
    if (this.#place.content !== seen) this.#seen = this.#place.content;
    else this.#place.put(credential);
  }

  async inspect(known: readonly Credential[]): Promise<Inspection> {
    const seen = this.#seen;
    if (seen === undefined)
      return await Promise.resolve({
        state: 'lacks',
        problem: new SinkError('missing', 'empty', { retryAfterMs: 900 }),
      });
    const credential = known.find(({ fingerprint }) => fingerprint === seen.fingerprint);
    return credential === undefined ? { state: 'shared', found: foundOf(seen) } : { state: 'holds', credential };
  }

  async watch({ onChange }: SinkListener, { signal }: Cancellable): Promise<void> {
    this.#onChange = onChange;
    this.see();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    signal.addEventListener('abort', resolve, { once: true });
    await promise;
  }
}

/** What another machine can know of it. */
function foundOf({ token, service, fingerprint }: Credential): Recovered {
  return { token, service, fingerprint };
}
