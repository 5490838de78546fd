import { watch } from 'node:fs';

/** Settles, with the time, when something of that name appears in the directory or is replaced there. */
export function whenVisible(
  directory: string,
  name: string,
): { readonly at: Promise<number>; readonly stop: () => void } {
  const { promise: at, resolve } = Promise.withResolvers<number>();
  const watcher = watch(directory, (_event, changed) => {
    if (changed !== name) return;
    resolve(performance.now());
    watcher.close();
  });
  return { at, stop: () => watcher.close() };
}
