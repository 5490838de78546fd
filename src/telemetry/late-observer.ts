import type { Cancellable, Observer } from '../credential/ports.ts';
import { unlessAborted } from '../credential/tasks.ts';

/**
 * Passes everything on to an observer that is loaded at the first event: logging and metrics take longer to load than a
 * command to start, so the first command runs meanwhile.
 */
export class LateObserver {
  readonly #first = Promise.withResolvers<void>();
  readonly #loaded = Promise.withResolvers<Observer>();

  readonly observer: Observer = {
    mintStarted: (...args) => this.#tell((observer) => observer.mintStarted(...args)),
    minted: (...args) => this.#tell((observer) => observer.minted(...args)),
    mintFailed: (...args) => this.#tell((observer) => observer.mintFailed(...args)),
    adopted: (...args) => this.#tell((observer) => observer.adopted(...args)),
    expired: (...args) => this.#tell((observer) => observer.expired(...args)),
    sinkWritten: (...args) => this.#tell((observer) => observer.sinkWritten(...args)),
    sinkFailed: (...args) => this.#tell((observer) => observer.sinkFailed(...args)),
    sinkRepairsLimited: (...args) => this.#tell((observer) => observer.sinkRepairsLimited(...args)),
    sinkWatchChanged: (...args) => this.#tell((observer) => observer.sinkWatchChanged(...args)),
    sinkHangs: (...args) => this.#tell((observer) => observer.sinkHangs(...args)),
    eventsRefused: (...args) => this.#tell((observer) => observer.eventsRefused(...args)),
    clockJumped: (...args) => this.#tell((observer) => observer.clockJumped(...args)),
  };

  /** Settles when something has happened: a command was started, or a credential adopted. */
  async firstEvent({ signal }: Cancellable): Promise<void> {
    await unlessAborted(this.#first.promise, { signal });
  }

  pointTo(observer: Observer): void {
    this.#loaded.resolve(observer);
  }

  #tell(event: (observer: Observer) => void): void {
    this.#first.resolve();
    void this.#loaded.promise.then(event);
  }
}
