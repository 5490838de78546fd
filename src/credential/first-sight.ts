import { localise } from './acceptance.ts';
import type { Clock, Credential, Recovered } from './ports.ts';

/**
 * How old what stands in a sink is. The monotonic reading of the first look is kept, so that looking again makes a
 * credential no younger. Only a reading from before the service's time was known is a guess, and replaced.
 */
export class FirstSight {
  readonly #clock: Clock;
  readonly #skewMs: () => number | undefined;
  #seen: Credential | undefined;
  #wasTimeKnown = false;

  /** The skew is the service's clock minus this machine's; undefined before the first mint. */
  constructor(clock: Clock, skewMs: () => number | undefined) {
    this.#clock = clock;
    this.#skewMs = skewMs;
  }

  localise(found: Recovered): Credential {
    const skewMs = this.#skewMs();
    const isTimeKnown = skewMs !== undefined;
    const credential = localise(found, skewMs ?? 0, this.#clock);
    const isKnown = this.#seen?.fingerprint === found.fingerprint && this.#wasTimeKnown === isTimeKnown;
    this.#wasTimeKnown = isTimeKnown;
    this.#seen = isKnown ? { ...credential, monotonicAt: this.#seen!.monotonicAt } : credential;
    return this.#seen;
  }

  /** Of another writer's, with the local times of an earlier look: this clock may have been set since. */
  localiseAgain({ token, service, fingerprint, subject }: Credential): Credential {
    return this.localise({ token, service, fingerprint, subject });
  }
}
