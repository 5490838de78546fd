import { opendir, realpath } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Cancellable } from '../credential/ports.ts';
import { unlessAborted } from '../credential/tasks.ts';
import { systemClock } from './clock.ts';

/** ConfigMap and Secret volumes swap this link; the files beside it are links through it and never change. */
const VOLUME_LINK = '..data';
/** So many events end a watch: Node.js hands on one after the other, and does nothing else as long as more come. */
const STORM_EVENTS = 2_000;
/** More files make a directory that chokidar, which reads it again at each event, could fill the memory with. */
const CROWD = 1_000;
const SECOND_MS = 1_000;

/**
 * Calls back soon after somebody touched `path`: content, mode, existence, type. It may call too often, and misses what
 * happens before it is set up, beyond the kernel's limits on watches, for a second after a storm of changes beside it, or
 * among a crowd of files; whoever must be certain looks from time to time.
 */
export async function watchFile(path: string, onChange: () => void, { signal }: Cancellable): Promise<void> {
  while (!signal.aborted) {
    await watchUntilStorm(path, onChange, { signal });
    await systemClock.sleep(SECOND_MS, { signal }).catch(() => {}); // aborted
  }
}

async function watchUntilStorm(path: string, onChange: () => void, { signal }: Cancellable): Promise<void> {
  const { promise: stormy, resolve: end } = Promise.withResolvers<void>();
  const directory = await promisify(realpath.native)(dirname(path)).catch(() => dirname(path));
  if (await isCrowded(directory)) return;
  // Loaded here, after the first credential is written or could not be.
  const { watch } = await import('chokidar');
  const target = join(directory, basename(path));
  // The directory and not the file, because each replacement is a new inode. It stays shallow through `ignored`: with
  // `depth`, a directory that is removed and made again is not watched any more. `atomic` would hold back an `unlink`.
  const watcher = watch(directory, {
    ignoreInitial: true,
    followSymlinks: false,
    atomic: false,
    ignored: (candidate) => candidate !== directory && candidate !== target,
  });
  watcher.on('ready', onChange); // something may have happened before
  watcher.on('all', onChange);
  // Only the raw events tell of a chmod. A name is missing where the platform does not give it; events of directories
  // above come while ours does not exist.
  let events = 0;
  watcher.on('raw', (_event, name, details) => {
    events += 1;
    if (events > STORM_EVENTS) {
      void watcher.close(); // here, because nothing else gets a turn
      return end();
    }
    const { watchedPath } = details as { readonly watchedPath: string };
    // Removed, and perhaps made again before the watcher has looked: then it would keep watching what is gone.
    if (watchedPath === directory && name === basename(directory)) {
      watcher.unwatch(directory);
      watcher.add(directory);
    }
    if (name === null || name === basename(path) || name === VOLUME_LINK || watchedPath !== directory) onChange();
  });
  // Not worth more than silence (too many watches, most likely): the keeper looks every second anyway.
  watcher.on('error', () => undefined);
  await unlessAborted(stormy, { signal }).catch(() => {}); // aborted
  await watcher.close();
}

async function isCrowded(directory: string): Promise<boolean> {
  try {
    let count = 0;
    for await (const _ of await promisify(opendir)(directory)) {
      count += 1;
      if (count > CROWD) return true;
    }
  } catch {
    // It is away, or closed to us: chokidar knows what to do then.
  }
  return false;
}
