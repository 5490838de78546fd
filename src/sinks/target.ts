import type { BigIntStats, Stats } from 'node:fs';
import { SinkError } from '../credential/errors.ts';
import { hasErrno } from './file-errors.ts';
import { lstat } from './files.ts';
import { isMountPoint } from './mounts.ts';

/** @throws SinkError where a rename could not put a file at `path`, or should not */
export async function refuseUnfitTarget(path: string): Promise<void> {
  const refuse = (reason: string) => new SinkError('refused', `${path} ${reason}`);
  const stats = await lstat(path).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (stats === undefined) return;
  if (stats.isDirectory()) throw refuse('is a directory: configure the path of a file in it');
  if (stats.isSymbolicLink()) {
    throw refuse('is a symbolic link, which writing would replace: configure the path it points to, or remove it');
  }
  if (!stats.isFile()) throw refuse(`is ${kindOf(stats)}: configure the path of a regular file`);
  if (await isMountPoint(path)) {
    throw refuse(
      'is mounted as a single file (subPath), so its readers would never see a new one: mount its directory',
    );
  }
}

export function kindOf(stats: Stats | BigIntStats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isFIFO()) return 'a pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}
