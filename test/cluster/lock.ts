import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ClusterError } from './failure.ts';

const LOOK_MS = 200;

/** As `withLock`, when it is this one's turn. */
export async function withLockInTurn<T>(lockFile: string, task: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await withLock(lockFile, task);
    } catch (error) {
      if (!(error instanceof BusyError) || error.lockFile !== lockFile) throw error;
      await delay(LOOK_MS);
    }
  }
}

/** Runs `task` while nobody else holds the lock, or not at all. One whose process is gone counts for nothing. */
export async function withLock<T>(lockFile: string, task: () => Promise<T>): Promise<T> {
  await mkdir(dirname(lockFile), { recursive: true });
  const holder = await readFile(lockFile, 'utf8').catch(() => undefined);
  if (holder !== undefined) {
    if (isRunning(Number(holder))) {
      throw new BusyError(lockFile, `process ${holder}`);
    }
    await rm(lockFile, { force: true });
  }
  const lock = await open(lockFile, 'wx').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? new BusyError(lockFile, 'another process') : error;
  });
  try {
    await lock.writeFile(String(process.pid));
    return await task();
  } finally {
    await lock.close();
    await rm(lockFile, { force: true });
  }
}

class BusyError extends ClusterError {
  readonly lockFile: string;

  constructor(lockFile: string, who: string) {
    super(`${who} is busy with this (${lockFile}): wait for it to end`);
    this.lockFile = lockFile;
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
