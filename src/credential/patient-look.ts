import { SinkError } from './errors.ts';
import type { Cancellable, Clock, Holding, Inspection } from './ports.ts';
import { within } from './tasks.ts';

/** An inspection where what other writers have put there is known, too. */
export type Held = Exclude<Inspection, { readonly state: 'shared' }>;

/** A process that was stopped for a while finds one of these over, with the answer a moment away, but not all four. */
const PARTS = 4;
/** Two seconds together: the probes of the chart wait for three. */
const PART_MS = 500;

/** What a reader of one sink would get; who asks waits for seconds only, whatever the disk does. */
export class PatientLook {
  readonly #name: string;
  readonly #clock: Clock;
  /** Not a second one before it has ended: each holds one of few threads. */
  #running: Promise<Held> | undefined;

  constructor(name: string, clock: Clock) {
    this.#name = name;
    this.#clock = clock;
  }

  async look(inspect: () => Promise<Held>, { signal }: Cancellable): Promise<Holding> {
    const running = (this.#running ??= inspect().finally(() => (this.#running = undefined)));
    for (let part = 0; part < PARTS; part++) {
      const held = await within(PART_MS, running, { signal, clock: this.#clock });
      if (held !== undefined) return held.state === 'lacks' ? held : { state: 'holds', credential: held.credential };
    }
    const remedy = 'find out why its volume hangs; a network volume does so while its server is away';
    return { state: 'lacks', problem: new SinkError('unreachable', `${this.#name} does not answer`, { remedy }) };
  }
}
