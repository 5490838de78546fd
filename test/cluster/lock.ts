import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ClusterError } from './failure.ts';

/** Runs `task` while nobody else holds the lock. One whose process is gone counts for nothing. */
export async function withLock<T>(lockFile: string, task: () => Promise<T>): Promise<T> {
  await mkdir(dirname(lockFile), { recursive: true });
  const holder = await readFile(lockFile, 'utf8').catch(() => undefined);
  if (holder !== undefined) {
    if (isRunning(Number(holder))) {
      throw new ClusterError(`process ${holder} is busy with this (${lockFile}): wait for it to end`);
    }
    await rm(lockFile, { force: true });
  }
  const lock = await open(lockFile, 'wx').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST'
      ? new ClusterError(`another process is busy with this (${lockFile}): wait for it to end`)
      : error;
  });
  try {
    await lock.writeFile(String(process.pid));
    return await task();
  } finally {
    await lock.close();
    await rm(lockFile, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
