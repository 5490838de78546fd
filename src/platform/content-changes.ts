import { hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import type { Cancellable, Clock } from '../credential/ports.ts';
import { within } from '../credential/tasks.ts';
import { watchFile } from './watch-file.ts';

/** A volume swaps several links in a row, and an editor writes in pieces. */
const QUIET_MS = 100;
/** Watches can be missing (limits of the kernel, network file systems); a change is then seen this late. */
const LOOK_MS = 5_000;
const AGAIN_MS = 10_000;
/** More than any file that is of use here has. Who reads the others says what is wrong with them. */
const MAX_BYTES = 2 * 1024 * 1024;

export interface WatchOptions extends Cancellable {
  readonly clock: Clock;
  /** Whether the file says something else by now than what was read of it before. */
  readonly isOutdated?: () => Promise<boolean>;
  /** Called from time to time while the file stays as it is: what it says may have become possible meanwhile. */
  readonly onSame?: () => Promise<void>;
}

/**
 * Calls back, one call at a time, whenever the content of the file has changed. A file that cannot be read has changed, too,
 * once it has stayed so for as long as `LOOK_MS`: who replaces one may take it away first. What comes through a pipe or from
 * a terminal is read once, and ends this at once.
 */
export async function watchContent(
  path: string,
  onChange: () => Promise<void>,
  { signal, clock, isOutdated, onSame }: WatchOptions,
): Promise<void> {
  if (isStreamAt(path)) return;
  let seen = digest(path);
  let calledAt = clock.monotonic();
  let touched = Promise.withResolvers<void>();
  const watching = watchFile(path, () => touched.resolve(), { signal });
  if ((await isOutdated?.()) === true) await onChange();
  let awayAt = Infinity;
  while (!signal.aborted) {
    await within(LOOK_MS, touched.promise, { signal, clock }).catch(() => {}); // aborted
    touched = Promise.withResolvers<void>();
    await clock.sleep(QUIET_MS, { signal }).catch(() => {});
    const now = digest(path);
    awayAt = now === undefined ? Math.min(awayAt, clock.monotonic()) : Infinity;
    const isBeingReplaced = now === undefined && clock.monotonic() - awayAt < LOOK_MS;
    const isSame = now === seen;
    if (signal.aborted || isBeingReplaced || (isSame && clock.monotonic() - calledAt < AGAIN_MS)) continue;
    seen = now;
    await (isSame ? onSame?.() : onChange());
    calledAt = clock.monotonic();
  }
  await watching;
}

/** Synchronous, so that nothing is missed between the call and the first look; these files are small and local. */
function digest(path: string): string | undefined {
  try {
    // A pipe that has taken the place of the file is a change, but nothing to wait for; nor has each device an end.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(file);
      if (isStream(stats)) return 'a stream';
      return stats.size > MAX_BYTES ? 'too large' : hash('sha256', readFileSync(file));
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined; // away, or closed to us
  }
}

function isStreamAt(path: string): boolean {
  try {
    return isStream(statSync(path));
  } catch {
    return false;
  }
}

function isStream(stats: Stats): boolean {
  return stats.isFIFO() || stats.isCharacterDevice();
}
