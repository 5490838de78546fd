import { once } from 'node:events';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Cancellable } from '../credential/ports.ts';

/** ConfigMap and Secret volumes swap this link; the files beside it are links through it and never change. */
const VOLUME_LINK = '..data';

/**
 * Calls back soon after somebody touched `path`: content, mode, existence, type. It may call too often, and misses what
 * happens before it is set up or beyond the kernel's limits on watches; whoever must be certain looks from time to time.
 */
export async function watchFile(path: string, onChange: () => void, { signal }: Cancellable): Promise<void> {
  if (signal.aborted) return;
  const aborted = once(signal, 'abort');
  // Loaded here, after the first credential is written or could not be.
  const { watch } = await import('chokidar');
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
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
  watcher.on('raw', (_event, name, details) => {
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
  await aborted;
  await watcher.close();
}
