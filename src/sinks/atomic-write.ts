import { basename, dirname, join } from 'node:path';
import { SinkError } from '../credential/errors.ts';
import type { Cancellable } from '../credential/ports.ts';
import { hasErrno, octal } from './file-errors.ts';
import { close, constants, fchmod, fstat, fsync, open, opendir, rename, unlink, writeFile } from './files.ts';

/** Between `.<name>` and the end of a temporary's name; nothing else is ever swept. */
const TEMPORARY_ENDING = /^\.[0-9a-f]{16}\.tmp$/;
const NAMES_AT_ONCE = 256;
/** A killed process leaves one or two. Who may write there could leave millions, and a start would wait for minutes. */
const MOST_SWEPT = 1_000;
/** Temporaries that this process is writing. */
const unfinished = new Set<string>();
/** Those that could not be removed yet, because their directory became unwritable between two steps. */
const abandoned = new Set<string>();

export interface ReplaceOptions extends Cancellable {
  /** What must be done before readers see the new content; it is begun while that is being written. */
  readonly first?: () => Promise<void>;
}

/**
 * Replaces `path` so that a reader sees the old content or the new one, whole and with `mode`, also after a crash or a
 * loss of power: writes a sibling, fsyncs it, renames it over `path`, fsyncs the directory.
 * After a rejection `path` is what it was, except where only the last step failed. No temporary is left then, or it is
 * removed by the next replacement that the directory allows; a process that is killed may leave one, which `sweep` removes.
 */
export async function replaceFile(
  path: string,
  content: string,
  mode: number,
  { signal, first = async () => {} }: ReplaceOptions,
): Promise<void> {
  signal.throwIfAborted();
  // Opened before anything is written: a directory that cannot be fsynced should fail while nothing has changed.
  const directoryName = dirname(path);
  const directory = await openDirectory(directoryName);
  const temporary = temporaryOf(path);
  unfinished.add(temporary);
  try {
    // Exclusive: never follows nor truncates what may wait at that name.
    const file = await open(temporary, 'wx', mode);
    try {
      await both(first(), fill(file, path, content, mode));
      signal.throwIfAborted();
      await rename(temporary, path);
    } catch (error) {
      // The first error is the one to report.
      abandoned.add(temporary);
      await removeAbandoned(directoryName);
      throw error;
    }
    await removeAbandoned(directoryName);
    await syncDirectory(directory);
  } finally {
    unfinished.delete(temporary);
    await close(directory);
  }
}

/** No token may be left lying about. Done after the rename, because the file that readers read comes first. */
async function removeAbandoned(directory: string): Promise<void> {
  for (const temporary of abandoned) {
    if (dirname(temporary) !== directory) continue;
    await unlink(temporary).then(
      () => abandoned.delete(temporary),
      (error: unknown) => hasErrno(error, 'ENOENT') && abandoned.delete(temporary),
    );
  }
}

/** Whether `path` could be replaced now, as far as that can be told without doing it. @throws what a replacement would throw */
export async function probeReplacement(path: string, mode: number, bytes = 0): Promise<void> {
  await both(probeDirectory(path, mode, bytes), probeReading(dirname(path)));
}

/** Whether a file of this mode and length could be made beside `path` now. @throws what the attempt threw */
export async function probeDirectory(path: string, mode: number, bytes = 0): Promise<void> {
  const temporary = temporaryOf(path);
  unfinished.add(temporary);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await setMode(file, path, mode);
      if (bytes > 0) {
        await writeFile(file, ' '.repeat(bytes));
        await fsync(file); // some file systems find out only then that they are full
      }
    } finally {
      await close(file);
      await unlink(temporary);
    }
  } finally {
    unfinished.delete(temporary);
  }
}

/** Removes the temporaries that killed processes left of exactly this target. Not while another process writes it. */
export async function sweep(path: string): Promise<void> {
  const directory = dirname(path);
  const prefix = `.${basename(path)}`;
  let swept = 0;
  // Never all names at once: who may write there decides how many there are.
  for await (const { name } of await opendir(directory, { bufferSize: NAMES_AT_ONCE })) {
    if (!name.startsWith(prefix) || !TEMPORARY_ENDING.test(name.slice(prefix.length))) continue;
    const temporary = join(directory, name);
    if (unfinished.has(temporary)) continue;
    await unlink(temporary).catch(() => {}); // one that has to stay is no reason to leave the others
    swept += 1;
    if (swept === MOST_SWEPT) return;
  }
}

/** The name only has to be free, and `wx` makes sure: to load crypto for it would cost the start as much as all else here. */
function temporaryOf(path: string): string {
  const digits = [0, 1].map(() =>
    Math.trunc(Math.random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  );
  return join(dirname(path), `.${basename(path)}.${digits.join('')}.tmp`);
}

async function probeReading(directory: string): Promise<void> {
  await close(await openDirectory(directory));
}

async function openDirectory(name: string): Promise<number> {
  return await open(name, constants.O_RDONLY | constants.O_DIRECTORY);
}

async function fill(file: number, path: string, content: string, mode: number): Promise<void> {
  try {
    await both(setMode(file, path, mode), writeFile(file, content)); // open() applied the umask
    await fsync(file);
  } finally {
    await close(file);
  }
}

/**
 * Windows shares and disks have one mode for all files, and say so, or act as if it had been changed. Clients would not
 * read such a file, and others could.
 */
async function setMode(file: number, path: string, mode: number): Promise<void> {
  if ((await modeOf(file)) === mode) return;
  await fchmod(file, mode).catch((error: unknown) => {
    if (!hasErrno(error, 'EPERM', 'ENOTSUP', 'ENOSYS')) throw error;
  });
  const found = await modeOf(file);
  if (found === mode) return;
  const reason = `would have the mode ${octal(found)} instead of ${octal(mode)}: its file system does not support file modes`;
  const remedy = 'use a directory on a volume that supports file modes, preferably a memory-backed one';
  throw new SinkError('refused', `${path} ${reason}`, { remedy });
}

async function modeOf(file: number): Promise<number> {
  return (await fstat(file)).mode & 0o7777;
}

/** Each step waits for a thread, so what may happen at the same time does. @throws the first one's error, once both have ended */
async function both(...work: readonly [first: Promise<void>, second: Promise<void>]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function syncDirectory(directory: number): Promise<void> {
  await fsync(directory).catch((error: unknown) => {
    // Some network and FUSE file systems know no fsync of a directory; there is nothing more to ask of them.
    if (!hasErrno(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP')) throw error;
  });
}
