import { access } from 'node:fs';
import type { Cancellable, Clock } from '../credential/ports.ts';

/** As many as Node.js has by itself: for the names that it looks up, and the directories that it watches. */
const OTHERS = 4;
/** The most at once: a write does two things at a time to the file and two to its record, and somebody asks what it holds. */
const PER_FILE = 5;
/**
 * Some are left when three files hang, whatever was being done to them, or nine to which nothing was. Each thread takes memory
 * once it has worked, and counts against the processes that a pod may have: with 64 the soak of `npm run chaos` found
 * memory that rose by 5 % in 10,000 rotations.
 */
const MOST = 20;
/** What one of them may be waiting for: a file, or a name that is looked up. */
const ON_A_THREAD = new Set(['FSReqCallback', 'FSReqPromise', 'GetAddrInfoReqWrap']);
/** Each look costs a third of a millisecond of CPU time: once a second they would be a third of what an idle sidecar takes. */
const LOOK_MS = 5_000;
/** Far longer than work takes where nothing hangs. */
const OVERDUE_MS = 100;
const MOST_CALLS = 4;

/**
 * Has Node.js make a thread for everything that may be under way in so many files at once. Where a disk hangs, as a network
 * volume that is away does, its threads wait for it, and of the usual four none would be left for the other files. Node.js
 * looks at the number when it needs the first thread, so files that a new configuration adds get no more.
 */
export function provideThreads(files: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= `${Math.min(MOST, OTHERS + PER_FILE * files)}`;
}

export function isOnAThread(): boolean {
  return process.getActiveResourcesInfo().some((name) => ON_A_THREAD.has(name));
}

/**
 * Until the signal. Once in very many times, glibc before 2.41 loses the call that wakes a thread (its bug 25847). A
 * publication would then wait for ever for its next step, unless other work wakes a thread: that takes whatever is there.
 */
export async function keepThreadsAwake({ clock, signal }: Cancellable & { readonly clock: Clock }): Promise<never> {
  let waiting = 0;
  for (;;) {
    await clock.sleep(LOOK_MS, { signal });
    if (!isOnAThread()) continue;
    await clock.sleep(OVERDUE_MS, { signal });
    if (!isOnAThread() || waiting === MOST_CALLS) continue; // where all threads hang, more would only pile up
    waiting += 1;
    access('/', () => (waiting -= 1));
  }
}
