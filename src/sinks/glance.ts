import type { BigIntStats } from 'node:fs';
import type { Clock } from '../credential/ports.ts';
import { lstat } from './files.ts';

/** Each of them changes with whatever is done to a file, the last one whether or not somebody wants to hide it. */
const FIELDS = ['dev', 'ino', 'mode', 'uid', 'gid', 'size', 'mtimeNs', 'ctimeNs'] as const;
/** Two changes within one turn of the kernel's clock get the same time, so a younger one says nothing yet. */
const SETTLED_MS = 1_000;
/** Where times cannot be trusted, as on a server with another clock, something hidden stays so for no more looks than this. */
const MOST_GLANCES = 10;

/** Whether a file that was read and found right is still what it was, without reading it again. */
export class Glance {
  readonly #path: string;
  readonly #clock: Clock;
  #seen: BigIntStats | undefined;
  #left = 0;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  forget(): void {
    this.#seen = undefined;
  }

  /** `stats` are from before it was read. */
  remember(stats: BigIntStats): void {
    if (this.#clock.now() - Number(stats.ctimeMs) < SETTLED_MS) return;
    this.#seen = stats;
    this.#left = MOST_GLANCES;
  }

  async showsNoChange(): Promise<boolean> {
    const seen = this.#seen;
    if (seen === undefined || this.#left === 0) return false;
    this.#left -= 1;
    const stats = await lstat(this.#path, { bigint: true }).catch(() => undefined);
    return stats !== undefined && FIELDS.every((field) => stats[field] === seen[field]);
  }
}
