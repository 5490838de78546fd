import { access, chmod, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasErrno } from './file-errors.ts';

const DIRECTORY_MODE = 0o750;
const SETGID = 0o2000;

/** Like `mkdir -p`. What it creates gets its mode whatever the umask; what it finds is left as it is. */
export async function makeDirectory(path: string): Promise<void> {
  const innermost = resolve(path);
  const outermost = await mkdir(innermost, { recursive: true, mode: DIRECTORY_MODE });
  if (outermost === undefined) return;
  for (let directory = innermost; directory.length >= outermost.length; directory = dirname(directory)) {
    const { mode } = await stat(directory);
    // A volume with an fsGroup hands its group down by the setgid bit, which chmod() would clear.
    if ((mode & 0o777) !== DIRECTORY_MODE) await chmod(directory, DIRECTORY_MODE | (mode & SETGID));
  }
}

/** Where `makeDirectory` would begin; undefined if there is nothing to make. @throws if it may not begin there */
export async function findMissing(path: string): Promise<string | undefined> {
  let directory = resolve(path);
  while (!(await exists(directory))) directory = dirname(directory);
  if (directory === resolve(path)) return undefined;
  await access(directory, constants.W_OK | constants.X_OK);
  return directory;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
