import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Alarm, Ticker } from '../../src/credential/ticker.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { HOUR_MS } from '../support/fakes.ts';

const { signal: never } = new AbortController();

async function startTicker(t: TestContext) {
  const clock = new FakeClock();
  await clock.advance(HOUR_MS); // the machine was started long before
  const jumps: number[] = [];
  const ticker = new Ticker(clock, (byMs) => jumps.push(byMs));
  const stop = new AbortController();
  const running = ticker.run(stop);
  running.catch(() => {});
  t.after(async () => {
    stop.abort(new Error('the test is over'));
    await assert.rejects(running, /the test is over/);
    assert.equal(clock.sleepers, 0, 'nothing waits any more');
  });
  await clock.idle();
  return { clock, jumps, ticker };
}

/** When the wait ended, by the monotonic clock from now. */
function ringOf(clock: FakeClock, alarm: Alarm, at: number, signal = never) {
  const from = clock.monotonic();
  const rung: { afterMs?: number } = {};
  const waiting = alarm.until(at, { signal }).then(() => (rung.afterMs = clock.monotonic() - from));
  return { rung, waiting };
}

test('an alarm rings at its instant, whether or not a second begins there', async (t) => {
  const { clock, ticker } = await startTicker(t);
  for (const delayMs of [1, 250, 999, 1_000, 1_001, 2_700, 61_234.5]) {
    const { rung } = ringOf(clock, new Alarm(ticker), clock.now() + delayMs);
    await clock.advance(Math.ceil(delayMs) - 1);
    assert.equal(rung.afterMs, undefined, `${delayMs} ms`);
    await clock.advance(1);
    assert.ok(Math.abs(rung.afterMs! - delayMs) < 0.01, `${delayMs} ms: ${rung.afterMs}`);
  }
});

test('an instant in the past rings at once, and turns no loop', async (t) => {
  const { clock, ticker } = await startTicker(t);
  const { rung } = ringOf(clock, new Alarm(ticker), clock.now() - HOUR_MS);
  await clock.advance(0);
  assert.equal(rung.afterMs, 0);
});

test('a suspended machine is noticed within a second', async (t) => {
  const { clock, ticker } = await startTicker(t);
  const { rung } = ringOf(clock, new Alarm(ticker), clock.now() + HOUR_MS);
  await clock.advance(10_500);
  clock.setWallClock(2 * HOUR_MS);
  await clock.advance(1_000);
  assert.ok(rung.afterMs! <= 11_500);
});

test('a jump of more than 5 s either way is told of once; smaller ones and slow slews are not', async (t) => {
  const { clock, jumps } = await startTicker(t);
  for (let second = 0; second < 100; second += 1) {
    clock.setWallClock(second % 2 === 0 ? 4_900 : 5_000);
    await clock.advance(1_000);
  }
  assert.deepEqual(jumps, []);
  for (const byMs of [5_001, -5_001, HOUR_MS, -HOUR_MS]) {
    clock.setWallClock(byMs);
    await clock.advance(5_000);
    assert.deepEqual(jumps.splice(0), [byMs]);
  }
});

test('a clock that is set back an hour does not put off by an hour what was due in a second', async (t) => {
  const { clock, ticker } = await startTicker(t);
  const { rung } = ringOf(clock, new Alarm(ticker), clock.now() + 1_500);
  clock.setWallClock(-HOUR_MS);
  await clock.advance(1_500);
  assert.ok(rung.afterMs! <= 1_500, 'whoever waits gets to look at the clock again');
});

test('a ring before the wait is not lost, and counts once', async (t) => {
  const { clock, ticker } = await startTicker(t);
  const alarm = new Alarm(ticker);
  alarm.ring();
  alarm.ring();
  await alarm.until(Infinity, { signal: never });
  const { rung } = ringOf(clock, alarm, Infinity);
  await clock.advance(HOUR_MS);
  assert.equal(rung.afterMs, undefined);
  alarm.ring();
  await clock.idle();
  assert.equal(rung.afterMs, HOUR_MS);
});

test('a wait that is aborted rejects with the reason and is forgotten', async (t) => {
  const { clock, ticker } = await startTicker(t);
  const alarm = new Alarm(ticker);
  const stop = new AbortController();
  const { rung, waiting } = ringOf(clock, alarm, clock.now() + 5_000, stop.signal);
  const reason = new Error('stopped');
  stop.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(alarm.until(0, stop), reason);
  assert.equal(rung.afterMs, undefined);
  assert.equal(alarm.at, Infinity);
});

test('the heartbeat is never older than a second while the ticker runs', async (t) => {
  const { clock, ticker } = await startTicker(t);
  for (let step = 0; step < 50; step += 1) {
    await clock.advance(333);
    assert.ok(clock.monotonic() - ticker.beatAt <= 1_000);
  }
});

test('the heartbeat follows the monotonic clock only', async (t) => {
  const { clock, ticker } = await startTicker(t);
  clock.setWallClock(-24 * HOUR_MS);
  await clock.advance(3_000);
  assert.equal(clock.monotonic() - ticker.beatAt, 0);
});

test('the heartbeat of a ticker that turns no longer grows old', async () => {
  const clock = new FakeClock();
  const ticker = new Ticker(clock, () => {});
  const stop = new AbortController();
  const running = ticker.run(stop);
  await clock.advance(5_000);
  stop.abort(new Error('stuck'));
  await assert.rejects(running, /stuck/);
  await clock.advance(60_000);
  assert.equal(clock.monotonic() - ticker.beatAt, 60_000);
});
