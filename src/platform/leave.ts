import { setTimeout as delay } from 'node:timers/promises';
import type { Cancellable } from '../credential/ports.ts';
import { runAll, type Task } from '../credential/tasks.ts';
import { isOnAThread } from './threads.ts';

/** More than a CLI has between SIGTERM and SIGKILL; nothing else takes nearly as long to stop. */
const STOP_MS = 700;
const LOOK_MS = 50;
/** Together with STOP_MS less than the second in which `run` ends. */
const IDLE_WITHIN_MS = 250;
const IDLE_LOOK_MS = 2;

/** As `runAll`, but once one has failed the others are not waited for while a disk hangs. */
export async function runAllUnlessHanging(tasks: readonly Task[], { signal }: Cancellable): Promise<void> {
  const overdue = Promise.withResolvers<never>();
  const watched = tasks.map((task): Task => async (options) => {
    try {
      await task(options);
    } catch (error) {
      void stopHangs().then(() => overdue.reject(error));
      throw error;
    }
  });
  await Promise.race([runAll(watched, { signal }), overdue.promise]);
}

/** Until nothing is under way any more, which is a matter of milliseconds, or hangs. */
export async function threadsAreIdle(): Promise<void> {
  const until = performance.now() + IDLE_WITHIN_MS;
  while (isOnAThread() && performance.now() < until) await delay(IDLE_LOOK_MS);
}

/**
 * Ends the process. `process.exit` waits for the threads of Node.js, and one that looks at a disk that hangs does not come
 * back: then this process becomes another program, which ends at once and with the same code.
 */
export function leave(exitCode: number): never {
  if (isOnAThread()) {
    process.emit('exit', exitCode); // nothing else ends the commands that still run
    try {
      process.execve?.(process.execPath, [process.execPath, '-e', `process.exit(${exitCode})`], {});
    } catch {
      // Not on every system: there it ends once the disk is back, or is killed.
    }
  }
  // oxlint-disable-next-line unicorn/no-process-exit -- a handle that something forgot must not hold up the end of a pod
  process.exit(exitCode);
}

/** Settles when a stop takes too long because a disk hangs. A machine that is only slow may take its time. */
async function stopHangs(): Promise<void> {
  await delay(STOP_MS, undefined, { ref: false });
  while (!isOnAThread()) await delay(LOOK_MS, undefined, { ref: false });
}
