import type { BigIntStats } from 'node:fs';
import type { Clock } from '../credential/ports.ts';
import { lstat } from './files.ts';

/** Whatever is done to a file changes at least one of them; nobody can set back `ctimeNs`, not even to hide a change. */
const FIELDS = ['dev', 'ino', 'mode', 'uid', 'gid', 'size', 'mtimeNs', 'ctimeNs'] as const;
/** Two changes within one tick of the kernel's clock get the same time, so a file that is younger is read again. */
const SETTLED_MS = 1_000;
/** After so many glances the file is read again, for file systems whose times cannot be trusted. */
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

  /** `stats` must have been taken before the file was read, so that a change in between shows. */
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
