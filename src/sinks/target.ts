import type { BigIntStats, Stats } from 'node:fs';
import { dirname } from 'node:path';
import { SinkError } from '../credential/errors.ts';
import { hasErrno } from './file-errors.ts';
import { access, constants, lstat, stat } from './files.ts';
import { isMountPoint } from './mounts.ts';

const STICKY = 0o1000;

/** @throws SinkError where a rename could not put a file at `path`, or should not */
export async function refuseUnfitTarget(path: string): Promise<void> {
  const refuse = (reason: string, remedy: string) => new SinkError('refused', `${path} ${reason}`, { remedy });
  const stats = await lstat(path).catch(() => undefined); // what else is wrong, an attempt to put a file beside it shows
  if (stats === undefined) return;
  if (stats.isDirectory())
    throw refuse(
      'is a directory',
      'remove the directory if the file belongs in its place, or configure the path of a file in it',
    );
  if (stats.isSymbolicLink()) {
    const remedy = 'configure the path that the link points to, or remove the link';
    throw refuse('is a symbolic link, which a write would replace', remedy);
  }
  if (!stats.isFile())
    throw refuse(`is ${kindOf(stats)}`, 'configure the path of a regular file, or remove what is there');
  if (await isMountPoint(path)) {
    const reason = 'is mounted as a single file (subPath), so its readers would never see a new token';
    throw refuse(reason, 'mount the directory instead of the single file');
  }
  await refuseKept(path, stats);
}

/**
 * @throws SinkError where what stands at `path` is somebody else's, in a directory like /tmp where that alone keeps it
 * there, or where nobody at all may replace it
 */
export async function refuseKept(path: string, stats: Stats): Promise<void> {
  if (await isKept(stats, dirname(path))) {
    throw new SinkError(
      'unwritable',
      `${path} belongs to uid ${stats.uid}, and its directory has the sticky bit, so no other user may replace it; this process runs as uid ${process.getuid?.()}`,
      { remedy: 'remove the file, or configure a path in another directory' },
    );
  }
  if (stats.isFile() && (await isImmutable(path))) {
    const remedy = 'remove the attribute with `chattr -i`, or configure another path';
    throw new SinkError('unwritable', `${path} is immutable, so nobody can replace it, not even root`, { remedy });
  }
}

/** Of a file that only its mode protects Linux says EACCES, and it can be replaced all the same. */
async function isImmutable(path: string): Promise<boolean> {
  return await access(path, constants.W_OK).then(
    () => false,
    (error: unknown) => hasErrno(error, 'EPERM'),
  );
}

async function isKept(file: Stats, directoryName: string): Promise<boolean> {
  const us = process.getuid?.();
  if (us === 0 || us === file.uid) return false;
  const { mode, uid } = await stat(directoryName);
  return (mode & STICKY) !== 0 && us !== uid;
}

export function kindOf(stats: Stats | BigIntStats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isFIFO()) return 'a pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}
