import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { keepThreadsAwake, provideThreads } from '../../src/platform/threads.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { mockFs } from '../support/node-fs.ts';

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

test('what lies about on no thread is called by other work, which does not pile up where all threads hang', async (t) => {
  const hanging: (() => void)[] = [];
  const access = mockFs(t, 'access', (_path: string, onEnd: () => void) => hanging.push(onEnd));
  let resources: string[] = ['Timeout'];
  t.mock.method(process, 'getActiveResourcesInfo', () => resources);
  const [stop, clock] = [new AbortController(), new FakeClock()];
  const ended = assert.rejects(keepThreadsAwake({ clock, signal: stop.signal }), { message: 'stopped' });
  await clock.advance(60_000);
  assert.equal(access.mock.callCount(), 0, 'nothing is under way');
  resources = ['FSReqCallback'];
  await clock.advance(5_000);
  resources = [];
  await clock.advance(5_000);
  assert.equal(access.mock.callCount(), 0, 'it was under way for a moment only');
  resources = ['FSReqCallback'];
  await clock.advance(10_000);
  assert.equal(access.mock.callCount(), 2);
  await clock.advance(60_000);
  assert.equal(access.mock.callCount(), 4);
  for (const end of hanging.splice(0)) end();
  await clock.advance(5_100);
  assert.equal(access.mock.callCount(), 5);
  stop.abort(new Error('stopped'));
  await ended;
});
