import { SinkError } from './errors.ts';
import type { Cancellable, Clock, Holding, Inspection } from './ports.ts';

/** An inspection where what other writers have put there is known, too. */
export type Held = Exclude<Inspection, { readonly state: 'shared' }>;

/** A process that was paused finds one part over when it goes on, not all four, and still waits for an answer that is near. */
const PARTS = 4;
/** Two seconds together: the probes of the chart wait for three. */
const PART_MS = 500;

/** What a reader of one sink would get; who asks waits for seconds only, whatever the disk does. */
export class PatientLook {
  readonly #name: string;
  readonly #clock: Clock;
  /** The outcome of the look that runs, for all who ask meanwhile: a second look would hold one more of few threads. */
  #told: Promise<Holding> | undefined;

  constructor(name: string, clock: Clock) {
    this.#name = name;
    this.#clock = clock;
  }

  async look(inspect: () => Promise<Held>): Promise<Holding> {
    this.#told ??= this.#begin(inspect);
    return await this.#told;
  }

  async #begin(inspect: () => Promise<Held>): Promise<Holding> {
    const end = new AbortController();
    const found = inspect().finally(() => {
      this.#told = undefined;
      end.abort();
    });
    const told = found.then(asHolding);
    return await Promise.race([told, this.#loseHope(end).catch(async () => await told)]);
  }

  async #loseHope({ signal }: Cancellable): Promise<Holding> {
    for (let part = 0; part < PARTS; part++) await this.#clock.sleep(PART_MS, { signal });
    return { state: 'lacks', problem: noAnswerOf(this.#name) };
  }
}

export function noAnswerOf(sink: string): SinkError {
  const remedy = 'find out why its volume hangs, such as a network volume whose server is down';
  return new SinkError('unreachable', `${sink} does not answer`, { remedy });
}

function asHolding(held: Held): Holding {
  return held.state === 'lacks' ? held : { state: 'holds', credential: held.credential };
}
