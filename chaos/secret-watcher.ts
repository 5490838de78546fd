import { SECRET_PLACE } from './layout.ts';
import { describe, GRAIN_MS, isUsable, type Reading } from './reading.ts';
import type { Report } from './reports.ts';
import type { SecretReader } from './secret-reader.ts';

/** Whether what the sidecar says of the Secret is what its readers find. */
export class SecretWatcher {
  readonly #reader: Pick<SecretReader, 'read'>;
  readonly #report: (what: Report) => void;
  #last: Reading | undefined;
  /** When that was asked for. */
  #askedAt = 0;
  /** Since when it says something else. */
  #lying: { readonly since: number; readonly about: string } | undefined;

  constructor(reader: Pick<SecretReader, 'read'>, report: (what: Report) => void) {
    this.#reader = reader;
    this.#report = report;
  }

  /** Undefined where nobody answers: what was read before counts then. */
  async look(now = Date.now()): Promise<Reading | undefined> {
    const reading = await this.#reader.read();
    if (reading !== undefined) [this.#last, this.#askedAt] = [reading, now];
    return reading;
  }

  /** By the token alone: the Secret has no times of this machine. `body` is the answer of /readyz?verbose. */
  judge(body: string, at: number): void {
    const line = body.split('\n').find((one) => one.includes(SECRET_PLACE));
    if (line === undefined || this.#last === undefined) return;
    const isReadyLie = line.startsWith('[+]');
    if (isUsable(this.#last, isReadyLie ? at - GRAIN_MS : at + GRAIN_MS) === isReadyLie) {
      this.#lying = undefined;
      return;
    }
    const { state, token } = this.#last;
    const about = [isReadyLie, state, token?.id].join(' ');
    if (this.#lying?.about !== about) this.#lying = { since: at, about };
    const what = `/readyz says "${line}" while ${describe({ path: SECRET_PLACE, reading: this.#last })}`;
    // Since it was last asked for it may be what the sidecar says: an API server can take its time to answer.
    const forMs = Math.max(0, this.#askedAt - this.#lying.since);
    this.#report({ kind: 'lie', of: 'Secret', at, what, forMs, isReadyLie });
  }
}
