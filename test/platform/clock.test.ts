import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import test from 'node:test';
import { systemClock } from '../../src/platform/clock.ts';

const MONTH_MS = 30 * 24 * 3_600_000;

test(
  'a sleep ends with the reason of the signal, that fires meanwhile or has fired before',
  { timeout: 10_000 },
  async () => {
    const stop = new AbortController();
    const sleeping = systemClock.sleep(MONTH_MS, stop);
    const reason = new Error('stopped');
    stop.abort(reason);
    await assert.rejects(sleeping, reason);
    await assert.rejects(systemClock.sleep(MONTH_MS, stop), reason);
  },
);

test('a sleep that is over leaves nothing on the signal, which lives as long as the process', async () => {
  const { signal } = new AbortController();
  await systemClock.sleep(0, { signal });
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('a sleep that is longer than any timer of Node.js is not over at once', async (t) => {
  let isOver = false;
  const sleeping = systemClock.sleep(MONTH_MS, t).then(() => (isOver = true));
  sleeping.catch(() => {}); // the end of the test
  await systemClock.sleep(2, t);
  assert.equal(isOver, false);
});
