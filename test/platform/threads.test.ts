import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { provideThreads } from '../../src/platform/threads.ts';

const NAME = 'UV_THREADPOOL_SIZE';

/** What Node.js reads when it needs the first thread, with so many files, where somebody has set this. */
function threadsFor(t: TestContext, files: number, given?: string): string | undefined {
  const before = process.env[NAME];
  t.after(() => set(before));
  set(given);
  provideThreads(files);
  return process.env[NAME];
}

function set(value: string | undefined): void {
  delete process.env[NAME];
  if (value !== undefined) process.env[NAME] = value;
}

test('each file has the threads that it may need at once, up to as many as a pod can well have', (t) => {
  const numbers = [0, 1, 2, 3, 4, 100].map((files) => threadsFor(t, files));
  assert.deepEqual(numbers, ['4', '9', '14', '19', '20', '20']);
});

test('a number of threads that somebody has set counts, as docs/files.md promises', (t) => {
  assert.equal(threadsFor(t, 3, '7'), '7');
  assert.equal(threadsFor(t, 3, '100'), '100');
});
