import { dirname, relative, resolve } from 'node:path';
import { SinkError } from '../credential/errors.ts';
import { hasErrno } from './file-errors.ts';
import { close, constants, fchmod, fstat, lstat, mkdir, open, stat } from './files.ts';

const DIRECTORY_MODE = 0o750;
const SETGID = 0o2000;

/**
 * Like `mkdir -p`. What it creates gets its mode whatever the umask; what it finds is left as it is. Not by Node's own
 * `recursive`, which never returns where a file system says ENOENT to a name that it does not allow, as /proc does.
 */
export async function makeDirectory(path: string): Promise<void> {
  for (const directory of await missingDirectories(path)) await makeOne(directory);
}

/** What `makeDirectory` would make, the outermost first. */
export async function missingDirectories(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let directory = resolve(path); !(await isDirectory(directory)); directory = dirname(directory))
    missing.unshift(directory);
  return missing;
}

/** The same for two names that lead to one file, by links or because one volume is mounted twice. @throws what `stat` throws */
export async function placeOf(path: string): Promise<string> {
  const [missing] = await missingDirectories(dirname(path));
  const directory = dirname(missing ?? path);
  const { dev, ino } = await stat(directory, { bigint: true });
  return `${dev}:${ino}:${relative(directory, path)}`;
}

async function makeOne(directory: string): Promise<void> {
  try {
    await mkdir(directory, DIRECTORY_MODE);
  } catch (error) {
    if (await isDirectory(directory)) return; // another sink was faster
    throw error;
  }
  // Not by its name: whoever may write above it can have put a link there since, to a file of ours that only we may read.
  const made = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { mode } = await fstat(made);
    // A volume with an fsGroup hands its group down by the setgid bit, which fchmod() would clear.
    if ((mode & 0o777) !== DIRECTORY_MODE) await fchmod(made, DIRECTORY_MODE | (mode & SETGID));
  } finally {
    await close(made);
  }
}

/** False where nothing is. @throws where something else stands there, or cannot be reached */
async function isDirectory(path: string): Promise<boolean> {
  try {
    await stat(`${path}/`); // the slash makes it ENOTDIR for anything but a directory
    return true;
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
    await refuseDeadLink(path);
    return false;
  }
}

/** Nothing can be made in its place. @throws SinkError */
async function refuseDeadLink(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isSymbolicLink() !== true) return;
  const remedy = 'create the directory that the link points to, or remove the link';
  throw new SinkError('unwritable', `${path} is a broken symbolic link, where a directory should be`, { remedy });
}
