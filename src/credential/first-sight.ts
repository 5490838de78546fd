import { localise } from './acceptance.ts';
import type { Clock, Credential, Recovered } from './ports.ts';

/**
 * How old what stands in a sink is. Until the service's time is known the monotonic reading of the first look is kept, so
 * that looking again makes a credential no younger where the clock is set back; after that the skew tells.
 */
export class FirstSight {
  readonly #clock: Clock;
  readonly #skewMs: () => number | undefined;
  #seen: Credential | undefined;

  /** The skew is the service's clock minus this machine's; undefined before the first mint. */
  constructor(clock: Clock, skewMs: () => number | undefined) {
    this.#clock = clock;
    this.#skewMs = skewMs;
  }

  localise(found: Recovered): Credential {
    const skewMs = this.#skewMs();
    const credential = localise(found, skewMs ?? 0, this.#clock);
    const isKnown = skewMs === undefined && this.#seen?.fingerprint === found.fingerprint;
    this.#seen = isKnown ? { ...credential, monotonicAt: this.#seen!.monotonicAt } : credential;
    return this.#seen;
  }
}
