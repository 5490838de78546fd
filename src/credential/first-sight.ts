import type { Clock, Credential, Recovered } from './ports.ts';
import { localise, presentSkewMs } from './recovered.ts';

/**
 * Works out how old the credential in a sink is. The monotonic reading of the first look is kept, so that looking again does
 * not make it younger. But each mint tells the service's time anew, and a reading from before that may be a wrong guess: this
 * clock may have been set forward meanwhile, which only a mint can tell from a machine that was suspended.
 */
export class FirstSight {
  readonly #clock: Clock;
  readonly #minted: () => Credential | undefined;
  #seen: Credential | undefined;
  /** The last mint at that time. */
  #toldBy: Credential | undefined;

  /** `minted`: the last one that was minted here. */
  constructor(clock: Clock, minted: () => Credential | undefined) {
    this.#clock = clock;
    this.#minted = minted;
  }

  localise(found: Recovered): Credential {
    const minted = this.#minted();
    const skewMs = minted === undefined ? 0 : presentSkewMs(minted, this.#clock);
    const credential = localise(found, skewMs, this.#clock);
    const isKnown = this.#seen?.fingerprint === found.fingerprint && this.#toldBy === minted;
    this.#toldBy = minted;
    this.#seen = isKnown ? { ...credential, monotonicAt: this.#seen!.monotonicAt } : credential;
    return this.#seen;
  }
}
