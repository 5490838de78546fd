import { noAnswerOf } from './patient-look.ts';
import type { Cancellable } from './ports.ts';
import type { PublisherOptions } from './publisher-options.ts';
import { Alarm } from './ticker.ts';

/** A publisher turns more often than that. */
const LOOK_MS = 5_000;
/** Looks without a turn until it is told: a process that was suspended finds one of them over, but not all. */
const PATIENCE = 3;
/** As many looks later, a minute, it is told again. */
const REMINDER = 12;

/** Tells of a disk that hangs. Whoever writes to it waits there, gets no error, and could tell nobody. */
export class HangWatch {
  readonly #options: PublisherOptions;
  #looks = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** The disk has answered. */
  turned(): void {
    if (this.#looks >= PATIENCE) this.#tell({ hangs: false });
    this.#looks = 0;
  }

  async run({ signal }: Cancellable): Promise<void> {
    const { sink, ticker } = this.#options;
    if (sink.kind !== 'file') return; // a request to the API server ends by itself
    const alarm = new Alarm(ticker);
    for (;;) {
      await alarm.until(ticker.clock.now() + LOOK_MS, { signal });
      this.#looks += 1;
      if (this.#looks % REMINDER === PATIENCE) this.#tell({ hangs: true });
    }
  }

  #tell({ hangs }: { readonly hangs: boolean }): void {
    const { credentialName, observer, sink } = this.#options;
    observer.sinkHangs(credentialName, sink.name, hangs ? noAnswerOf(sink.name) : undefined);
  }
}
