import { SinkError } from './errors.ts';
import type { Cancellable, Clock, Holding, Inspection } from './ports.ts';

/** An inspection where what other writers have put there is known, too. */
export type Held = Exclude<Inspection, { readonly state: 'shared' }>;

/** A process that was stopped for a while finds one of these over, with the answer a moment away, but not all four. */
const PARTS = 4;
/** Two seconds together: the probes of the chart wait for three. */
const PART_MS = 500;

interface Look {
  readonly found: Promise<Held>;
  readonly ended: AbortSignal;
}

/** What a reader of one sink would get; who asks waits for seconds only, whatever the disk does. */
export class PatientLook {
  readonly #name: string;
  readonly #clock: Clock;
  /** Not a second one before it has ended: each holds one of few threads. */
  #running: Look | undefined;

  constructor(name: string, clock: Clock) {
    this.#name = name;
    this.#clock = clock;
  }

  async look(inspect: () => Promise<Held>, { signal }: Cancellable): Promise<Holding> {
    const { found, ended } = (this.#running ??= this.#begin(inspect));
    // Not a race with what is found: each would leave something behind that lasts as long as the disk hangs.
    for (let part = 0; part < PARTS && !ended.aborted; part++) {
      const waking = AbortSignal.any([signal, ended]);
      await this.#clock.sleep(PART_MS, { signal: waking }).catch(() => signal.throwIfAborted());
    }
    if (ended.aborted) {
      const held = await found;
      return held.state === 'lacks' ? held : { state: 'holds', credential: held.credential };
    }
    const remedy = 'find out why its volume hangs; a network volume does so while its server is away';
    return { state: 'lacks', problem: new SinkError('unreachable', `${this.#name} does not answer`, { remedy }) };
  }

  #begin(inspect: () => Promise<Held>): Look {
    const end = new AbortController();
    const found = inspect().finally(() => {
      this.#running = undefined;
      end.abort();
    });
    found.catch(() => {}); // who still waits is told
    return { found, ended: end.signal };
  }
}
