import type { Stats } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { SinkError } from '../credential/errors.ts';
import { OPEN_FILES_REMEDIES, type SinkFailure } from '../credential/failures.ts';
import { stat } from './files.ts';

const FAILURE_BY_ERRNO: Readonly<Record<string, SinkFailure>> = {
  ENOSPC: 'no_space',
  EDQUOT: 'no_space',
  EACCES: 'unwritable',
  EPERM: 'unwritable',
  EROFS: 'unwritable',
  ENOTDIR: 'unwritable',
  EEXIST: 'unwritable',
  ENOENT: 'unwritable',
  ELOOP: 'unwritable',
  ENAMETOOLONG: 'unwritable',
  // What rename() says of a target that is mounted on its own, or that became a directory.
  EBUSY: 'refused',
  EXDEV: 'refused',
  EISDIR: 'refused',
  // What a network volume says, or one that a program serves (FUSE), once its other end is gone.
  ENOTCONN: 'unreachable',
  ESTALE: 'unreachable',
  ETIMEDOUT: 'unreachable',
  EHOSTDOWN: 'unreachable',
};

/** Of these Node.js knows the numbers, but neither names nor words for them. */
const NAME_BY_ERRNO: Readonly<Record<number, string>> = {
  [-constants.errno.EDQUOT]: 'EDQUOT',
  [-constants.errno.ESTALE]: 'ESTALE',
};

const SERVER_AWAY = 'find out why the server of the volume does not answer';
const IN_THE_WAY = 'remove the file that is where the directory should be, or configure another path';
/** More exact than the remedy of the failure in general: here no permission would help. */
const REMEDY_BY_ERRNO: Readonly<Record<string, string>> = {
  EROFS: 'mount a volume there that the sidecar can write to: this file system is read-only',
  ENOTDIR: IN_THE_WAY,
  EEXIST: IN_THE_WAY,
  EISDIR: 'remove the directory that is where the file should be, or configure another path',
  ENAMETOOLONG: 'configure a shorter path',
  ELOOP: 'configure a path whose symbolic links lead to a directory: these form a loop',
  ...OPEN_FILES_REMEDIES,
  ENOTCONN: 'recreate the pod, so that the volume is mounted again: the program that served it has ended',
  ESTALE: 'recreate the pod, so that the volume is mounted again: its server no longer knows this directory',
  ETIMEDOUT: SERVER_AWAY,
  EHOSTDOWN: SERVER_AWAY,
  EIO: 'look at the kernel log: the disk, or the server of the volume, has failed',
};

/** What the message tells the owner of is then a directory above, such as /run, which is not meant to be ours. */
const MOUNT_VOLUME =
  'mount a volume that the sidecar can write to: the directory of the file does not exist, and cannot be created; if it belongs into a volume that is mounted, make that one writable for the user the sidecar runs as';

const NO_DIRECTORY = 'there is a file where a directory should be';
/** Better than the system's own words. */
const REASON_BY_ERRNO: Readonly<Record<string, string>> = {
  ENOTDIR: NO_DIRECTORY,
  EEXIST: NO_DIRECTORY,
  EDQUOT: 'disk quota exceeded',
  ESTALE: 'stale file handle',
};

/** An error of the operating system: its text holds paths, never content, so it may travel as a `cause`. */
type SystemError = Error & { readonly code: string; readonly errno: number };

export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return isSystemError(error) && codes.includes(error.code);
}

/** Puts an error of the operating system into words. Anything else is a bug and thrown as it is. */
export async function toSinkError(error: unknown, doing: 'read' | 'write', path: string): Promise<SinkError> {
  if (error instanceof SinkError) return error;
  if (!isSystemError(error)) throw error;
  const code = NAME_BY_ERRNO[error.errno] ?? error.code;
  const failure = FAILURE_BY_ERRNO[code] ?? 'unknown';
  const reason = REASON_BY_ERRNO[code] ?? getSystemErrorMessage(error.errno);
  const where = failure === 'unwritable' ? `; ${await ownershipOf(doing === 'read' ? path : dirname(path))}` : '';
  const remedy = REMEDY_BY_ERRNO[code];
  const lacksVolume = failure === 'unwritable' && doing === 'write' && (await isMissing(dirname(path)));
  return new SinkError(failure, `cannot ${doing} ${path}: ${reason} (${code})${where}`, {
    cause: error,
    remedy: remedy ?? (lacksVolume ? MOUNT_VOLUME : undefined),
  });
}

async function isMissing(directory: string): Promise<boolean> {
  return await stat(directory).then(
    () => false,
    (error: unknown) => hasErrno(error, 'ENOENT'),
  );
}

/** The permission bits, as a configuration has them. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

/** Who owns it, or what exists nearest above it, and who asks: what tells a wrong `runAsUser` at a glance. */
export async function ownershipOf(wanted: string): Promise<string> {
  let path = wanted;
  let stats: Stats | undefined;
  while ((stats = await stat(path).catch(() => undefined)) === undefined && dirname(path) !== path)
    path = dirname(path);
  const us = `this process runs as uid ${process.getuid?.()}, gid ${process.getgid?.()}`;
  if (stats === undefined) return us;
  const kind = stats.isDirectory() ? 'directory' : 'file';
  return `${kind} ${path} belongs to uid ${stats.uid}, gid ${stats.gid} with mode ${octal(stats.mode)}, ${us}`;
}

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'code' in error;
}
