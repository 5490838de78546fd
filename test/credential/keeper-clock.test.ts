import assert from 'node:assert/strict';
import test from 'node:test';
import { MintError } from '../../src/credential/errors.ts';
import { remainingMs } from '../../src/credential/schedule.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type Answer, credentialAt, HOUR_MS, MemorySink, MINUTE_MS } from '../support/fakes.ts';
import { startKeeper } from '../support/keeping.ts';

/** Ends when the test says so, with a credential that was issued when the command was started. */
function heldBack(clock: FakeClock, token: string) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const answer: Answer = async () => {
    const credential = credentialAt(clock, token);
    await promise;
    return credential;
  };
  return { answer, finish: resolve, fail: reject };
}

test('a machine that was suspended past the due time refreshes within a second of waking up', async (t) => {
  const { clock, minter, sink } = await startKeeper(t, { dice: 0.999 });
  await clock.advance(5 * MINUTE_MS);
  clock.setWallClock(40 * MINUTE_MS); // the monotonic clock stands still meanwhile
  await clock.advance(1_000);
  assert.equal(minter.calls.length, 2);
  assert.equal(sink.content, 'token-2');
});

test('a credential that expired while the machine was suspended counts as expired, and the floor keeps nothing back', async (t) => {
  const { clock, minter, keeper, recorder } = await startKeeper(t);
  await clock.advance(1_500); // less than the floor after it was minted
  clock.setWallClock(2 * HOUR_MS);
  const held = keeper.current;
  assert.ok(remainingMs(held!, clock) < 0);
  await clock.advance(1_000);
  assert.equal(minter.calls.length, 2, 'minted at once');
  assert.equal(recorder.of('expired').length, 1);
});

for (const [name, byMs] of [
  ['forward', 5_001],
  ['back', -5_001],
  ['back by an hour', -HOUR_MS],
  ['back by a day', -24 * HOUR_MS],
] as const) {
  test(`a clock that is set ${name} makes the credential due within a second`, async (t) => {
    const { clock, minter, recorder } = await startKeeper(t, { dice: 0.999 });
    await clock.advance(MINUTE_MS);
    clock.setWallClock(byMs);
    await clock.advance(1_000);
    assert.equal(minter.calls.length, 2);
    assert.deepEqual(recorder.of('clockJumped'), [[byMs]]);
    await clock.advance(10 * MINUTE_MS);
    assert.equal(minter.calls.length, 2, 'once');
  });
}

test('a clock that is set all the time costs no more than one mint in the time of the floor', async (t) => {
  const { clock, minter } = await startKeeper(t);
  for (let minute = 0; minute < 10; minute += 1) {
    for (const byMs of [-6_000, 6_000, -6_000, 6_000]) {
      clock.setWallClock(byMs);
      await clock.advance(2_000);
    }
    await clock.advance(MINUTE_MS - 8_000);
  }
  assert.ok(minter.calls.length >= 10 && minter.calls.length <= 30, `${minter.calls.length} mints in ten minutes`);
  const gaps = minter.calls.slice(1).map(({ at }, index) => at - minter.calls[index]!.at);
  assert.ok(Math.min(...gaps) >= 10_000, gaps.join());
});

test('after the clock was set forward, what lives for seconds does not replace what only seems to have expired', async (t) => {
  const byMs = 2 * HOUR_MS;
  // The clock of the service stays right.
  const [nearlyDead, good] = [{ lifetimeMs: 3_000, skewMs: -byMs }, { skewMs: -byMs }];
  const { clock, recorder, sink } = await startKeeper(t, { dice: 0.999, script: [{}, nearlyDead, good] });
  await clock.advance(MINUTE_MS);
  clock.setWallClock(byMs);
  await clock.advance(1_000);
  assert.deepEqual(
    recorder.of('mintFailed').map(([, { failure }]) => failure),
    ['short_lived'],
  );
  assert.equal(sink.content, 'token-1');
  await clock.advance(MINUTE_MS);
  assert.equal(sink.content, 'token-3');
});

test('small slews of the clock make nothing due', async (t) => {
  const { clock, minter, recorder } = await startKeeper(t, { dice: 0.999 });
  for (let second = 0; second < 300; second += 1) {
    clock.setWallClock(second % 2 === 0 ? 5_000 : -5_000);
    await clock.advance(1_000);
  }
  assert.equal(minter.calls.length, 1);
  assert.deepEqual(recorder.of('clockJumped'), []);
});

test('a clock that is set back keeps nothing alive: expiry comes when it would have come', async (t) => {
  const failure = new MintError('network', 'no way out');
  const { clock, keeper, recorder } = await startKeeper(t, { dice: 0.999, script: [{}, failure] });
  await clock.advance(20 * MINUTE_MS);
  clock.setWallClock(-3 * HOUR_MS);
  await clock.advance(40 * MINUTE_MS - 1_000);
  assert.deepEqual(recorder.of('expired'), []);
  assert.equal(Math.round(remainingMs(keeper.current!, clock)), 1_000);
  await clock.advance(1_001);
  assert.equal(recorder.of('expired').length, 1);
});

test('after the clock was set back while everything fails, retries go on at their pace', async (t) => {
  const failure = new MintError('network', 'no way out');
  const { clock, minter } = await startKeeper(t, { script: [failure] });
  await clock.advance(MINUTE_MS);
  clock.setWallClock(-HOUR_MS);
  const before = minter.calls.length;
  await clock.advance(MINUTE_MS);
  assert.ok(minter.calls.length - before >= 4, `${minter.calls.length - before} attempts in a minute`);
});

test('a step of less than 5 s back puts off a retry by no more than that', async (t) => {
  const failure = new MintError('network', 'no way out');
  const { clock, minter } = await startKeeper(t, { script: [failure, {}], dice: 0 });
  clock.setWallClock(-4_900);
  await clock.advance(500 + 4_900);
  assert.equal(minter.calls.length, 2);
});

for (const byMs of [-HOUR_MS, 10 * MINUTE_MS, -10_000]) {
  test(`a jump of ${byMs / 1_000} s while the command runs makes its credential due at the floor at the latest`, async (t) => {
    const { clock, minter, recorder } = await startKeeper(t, { dice: 0.999 });
    const held = heldBack(clock, 'straddles');
    minter.script(held.answer, {});
    await clock.advance(HOUR_MS / 2);
    assert.equal(minter.calls.length, 2);
    clock.setWallClock(byMs);
    await clock.advance(1_000);
    held.finish();
    await clock.idle();
    const [, minted, { dueAt }] = recorder.of('minted')[1]!;
    assert.equal(minted.token.reveal(), 'straddles');
    const dueMs = dueAt - clock.now();
    assert.ok(dueMs >= 0 && dueMs <= 10_000, `due in ${dueMs} ms`);
    await clock.advance(10_000);
    assert.equal(minter.calls.length, 3);
    await clock.advance(10 * MINUTE_MS);
    assert.equal(minter.calls.length, 3, 'once');
  });
}

test('a jump while a command runs that then fails is followed by a retry at once', async (t) => {
  const { clock, minter } = await startKeeper(t, { dice: 0.999, script: [{}, new MintError('unknown', 'failed')] });
  await clock.advance(HOUR_MS / 2 + 2 * MINUTE_MS); // several failures: the back-off is long
  const held = heldBack(clock, 'never');
  minter.script(held.answer, {});
  const before = minter.calls.length;
  await clock.advance(MINUTE_MS);
  assert.equal(minter.calls.length, before + 1);
  clock.setWallClock(10_000);
  await clock.advance(1_000);
  held.fail(new MintError('timeout', 'too slow'));
  await clock.idle();
  await clock.advance(0);
  assert.equal(minter.calls.length, before + 2);
});

test('a jump while waiting for the first slot changes nothing: the attempt is still to come', async (t) => {
  const clock = new FakeClock();
  const { keeper, minter } = await startKeeper(t, { clock, script: ['hang', {}], timeoutMs: 5_000, dice: 0 });
  clock.setWallClock(HOUR_MS);
  await clock.advance(6_000);
  assert.equal(minter.calls.length, 2);
  assert.equal(keeper.current?.token.reveal(), 'token-2');
});

test('a credential adopted just before a jump is due at once, for it was issued long ago', async (t) => {
  const clock = new FakeClock();
  const sink = new MemorySink();
  sink.recovered = credentialAt(clock, 'left-behind');
  await clock.advance(10 * MINUTE_MS);
  const { minter } = await startKeeper(t, { clock, sink });
  clock.setWallClock(6_000);
  await clock.advance(1_000);
  assert.equal(minter.calls.length, 1);
});
