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

/**
 * Has Node.js make a thread for everything that may be under way in so many files at once. Where a disk hangs, as a network
 * volume that is away does, its threads wait for it, and of the usual four none would be left for the other files. Node.js
 * looks at the number when it needs the first thread, so files that a new configuration adds get no more.
 */
export function provideThreads(files: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= `${Math.min(MOST, OTHERS + PER_FILE * files)}`;
}
