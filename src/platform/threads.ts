/** As many as Node.js has by itself: for the names that it looks up, and the directories that it watches. */
const OTHERS = 4;
/** At once at most: a write does two things at a time to the file and two to its record, and somebody asks what it holds. */
const PER_FILE = 5;
/**
 * Three files that hang at once leave some, whatever they were at, and nine that were at rest. Each thread takes memory
 * once it has worked, and counts against the processes that a pod may have: with 64 the soak of `npm run chaos` found
 * memory that rose by 5 % in 10,000 rotations.
 */
const MOST = 20;

/**
 * Has Node.js make a thread for all that may be under way in so many files at once: where a disk hangs, as a network
 * volume that is away does, its threads wait as long, and of four none would be left for the other files. It counts only
 * before the first of them is needed, so files that a new configuration adds get no more.
 */
export function provideThreads(files: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= `${Math.min(MOST, OTHERS + PER_FILE * files)}`;
}
