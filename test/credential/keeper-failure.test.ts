import assert from 'node:assert/strict';
import test from 'node:test';
import { MintError } from '../../src/credential/errors.ts';
import { Slots } from '../../src/credential/slots.ts';
import { type Answer, HOUR_MS, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { startKeeper, World } from '../support/keeping.ts';

const FAILURE = new MintError('network', 'no way out');

/** What lies between one attempt and the next. */
function gapsOf({ calls }: ScriptedMinter): number[] {
  return calls.slice(1).map(({ at }, index) => at - calls[index]!.at);
}

test('the last good credential stays while minting fails, and retries come faster as its expiry nears', async (t) => {
  const { clock, keeper, minter, sink } = await startKeeper(t, { dice: 0.999, script: [{}, FAILURE] });
  await clock.advance(HOUR_MS - 1);
  assert.equal(keeper.current?.token.reveal(), 'token-1');
  assert.equal(sink.content, 'token-1');
  const gaps = gapsOf(minter).slice(1);
  assert.deepEqual(
    gaps.slice(0, 6).map((ms) => Math.round(ms / 1_000)),
    [1, 2, 4, 8, 16, 32],
  );
  assert.ok(Math.max(...gaps) <= MINUTE_MS);
  assert.ok(Math.min(...gaps) >= 250);
  const late = gaps.slice(gaps.lastIndexOf(Math.max(...gaps)));
  assert.ok(
    late.every((ms, index) => index === 0 || ms <= late[index - 1]!),
    late.join(),
  );
  assert.equal(gaps.at(-1), 250);
});

test('after expiry retries slow down to what is usual without a credential, 15 s at most', async (t) => {
  const { clock, minter, recorder } = await startKeeper(t, { dice: 0.999, script: [{}, FAILURE] });
  await clock.advance(HOUR_MS + 1);
  assert.equal(recorder.of('expired').length, 1, 'told when it happens');
  const before = minter.calls.length;
  await clock.advance(10 * MINUTE_MS);
  const gaps = gapsOf(minter).slice(before);
  assert.ok(gaps.length >= 39 && gaps.every((ms) => Math.abs(ms - 15_000) < 20), gaps.join());
  assert.equal(recorder.of('expired').length, 1, 'told once');
});

test('it never gives up: after a day of failures the next attempt still comes, and its success ends the trouble', async (t) => {
  const { clock, keeper, minter } = await startKeeper(t, { script: [FAILURE], sinks: [] });
  await clock.advance(24 * HOUR_MS);
  const { consecutiveFailures, lastFailure } = await keeper.status(t);
  assert.equal(consecutiveFailures, minter.calls.length);
  assert.ok(consecutiveFailures > 7_000, `${consecutiveFailures} attempts`);
  assert.equal(lastFailure?.code, 'network');
  minter.script({});
  await clock.advance(15_000);
  const status = await keeper.status(t);
  assert.equal(status.consecutiveFailures, 0);
  assert.equal(status.lastFailure, undefined);
  assert.ok(status.current !== undefined && status.lastSuccessAt === status.current.local.issuedAt);
});

test('a failure is reported with when the next attempt comes and what life is left', async (t) => {
  const { clock, recorder, minter } = await startKeeper(t, { dice: 0, script: [FAILURE, {}, FAILURE] });
  const [, error, first] = recorder.of('mintFailed')[0]!;
  assert.equal(error, FAILURE);
  assert.deepEqual(first, {
    durationMs: 0,
    retryAt: clock.now() + 500,
    consecutiveFailures: 1,
    remainingMs: undefined,
  });
  await clock.advance(500);
  assert.equal(recorder.of('minted')[0]![2].failuresBefore, 1);
  await clock.advance(10_000);
  const [, , later] = recorder.of('mintFailed')[1]!;
  assert.equal(minter.calls.length, 3);
  assert.equal(later.remainingMs, HOUR_MS - 10_000);
});

test('a credential that expires while its command hangs is reported as expired when it is', async (t) => {
  const { clock, minter, recorder } = await startKeeper(t, { dice: 0, script: [{ lifetimeMs: 12_000 }, 'hang'] });
  await clock.advance(11_900);
  assert.equal(minter.calls.length, 2);
  assert.equal(recorder.of('mintStarted').length, 2, 'told when it starts, whatever comes of it');
  assert.equal(recorder.of('expired').length, 0);
  await clock.advance(100);
  assert.equal(recorder.of('expired').length, 1);
  assert.equal(recorder.of('mintFailed').length, 0, 'while the command still runs');
});

test('an attempt gets its deadline from the life left when its slot is taken', async (t) => {
  const world = new World();
  const { clock } = world;
  const slots = new Slots(1);
  const blocked = Promise.withResolvers<void>();
  const minter = new ScriptedMinter(clock, [{ lifetimeMs: 60_000 }, 'hang']);
  const keeper = world.add(minter, { slots, timeoutMs: 30_000 });
  world.dice = 0;
  world.run(t);
  await clock.idle();
  assert.equal(minter.calls[0]?.timeoutMs, 30_000, 'all of it without a credential');
  const blocker = slots.with({ wantedAt: 0, isTroubled: false }, () => blocked.promise, t);
  await clock.advance(30_000); // due at 10 s, when 50 s were left
  assert.equal(minter.calls.length, 1);
  assert.equal(keeper.vitals().isMinting, true, 'waiting for a slot counts');
  assert.equal(keeper.vitals().attemptDeadline, undefined, 'and has no deadline');
  assert.equal((await keeper.status(t)).isMinting, false, 'but nothing is said to run');
  blocked.resolve();
  await blocker;
  await clock.idle();
  assert.equal(minter.calls[1]?.timeoutMs, 10_000, 'a third of the 30 s left now');
  assert.equal(keeper.vitals().attemptDeadline, clock.monotonic() + 10_000);
  assert.equal((await keeper.status(t)).isMinting, true);
});

test('an attempt without a valid credential gets the whole timeout, also after expiry', async (t) => {
  const { clock, minter } = await startKeeper(t, { dice: 0, script: [{ lifetimeMs: 15_000 }, 'hang'] });
  await clock.advance(10_000 + 5_000 + 1_000);
  assert.deepEqual(minter.calls.map(({ timeoutMs }) => timeoutMs).slice(0, 3), [30_000, 5_000, 30_000]);
});

test('a new secret is tried at once if the last attempt failed', async (t) => {
  const { clock, keeper, minter } = await startKeeper(t, { dice: 0.999, script: [FAILURE] });
  for (const failedForMs of [0, 5 * MINUTE_MS]) {
    await clock.advance(failedForMs);
    const before = minter.calls.length;
    keeper.retryNow();
    await clock.advance(0);
    assert.equal(minter.calls.length, before + 1);
  }
});

test('a new secret changes nothing while the last attempt succeeded, or is the first and still runs', async (t) => {
  const { clock, keeper, minter } = await startKeeper(t, { dice: 0.999 });
  keeper.retryNow();
  await clock.advance(MINUTE_MS);
  assert.equal(minter.calls.length, 1);
  assert.ok(keeper.vitals().wakeAt > clock.now() + 20 * MINUTE_MS);
});

test('nor once an attempt has succeeded after others that had failed', async (t) => {
  const { clock, keeper, minter } = await startKeeper(t, { dice: 0.999, script: [FAILURE, {}] });
  await clock.advance(MINUTE_MS);
  assert.equal(minter.calls.length, 2);
  keeper.retryNow();
  await clock.advance(MINUTE_MS);
  assert.equal(minter.calls.length, 2);
});

test('a secret that comes while the old one is being refused is tried at once', async (t) => {
  const { clock, keeper, minter } = await startKeeper(t, { dice: 0.999, script: [FAILURE] });
  await clock.advance(5 * MINUTE_MS);
  const refused = Promise.withResolvers<never>();
  minter.script(() => refused.promise, {});
  await clock.advance(15_000);
  const before = minter.calls.length;
  keeper.retryNow();
  refused.reject(new MintError('auth', 'revoked'));
  await clock.advance(0);
  assert.equal(minter.calls.length, before + 1);
  assert.equal((await keeper.status(t)).consecutiveFailures, 0);
});

test('a refused result reaches no sink, and the good one stays', async (t) => {
  const refusals: Answer[] = [
    new MintError('bad_response', 'no JSON'),
    { lifetimeMs: -1 },
    { lifetimeMs: 5 * MINUTE_MS }, // less than half of an hour, and the present one outlives it
    new MintError('timeout', 'too slow'),
  ];
  for (const refusal of refusals) {
    const { clock, keeper, recorder, sink } = await startKeeper(t, { dice: 0, script: [{}, refusal] });
    await clock.advance(30 * MINUTE_MS);
    assert.deepEqual(
      sink.written.map(({ token }) => token.reveal()),
      ['token-1'],
    );
    assert.equal(keeper.current?.token.reveal(), 'token-1');
    assert.ok(recorder.of('mintFailed').length > 10);
  }
});

test('a token of less than half the lifetime asked for is a success once it outlives the present one', async (t) => {
  const { clock, keeper, minter, recorder, sink } = await startKeeper(t, {
    dice: 0,
    script: [{}, { lifetimeMs: 5 * MINUTE_MS }],
  });
  await clock.advance(55 * MINUTE_MS);
  assert.equal(sink.content, 'token-1');
  await clock.advance(MINUTE_MS);
  assert.notEqual(sink.content, 'token-1');
  assert.equal(sink.content, keeper.current?.token.reveal());
  assert.equal((await keeper.status(t)).consecutiveFailures, 0);
  await clock.advance(HOUR_MS);
  assert.deepEqual(recorder.of('expired'), []);
  assert.ok(minter.calls.length < 300);
});

test('what counts as half of the lifetime follows from the ttl that is asked for', async (t) => {
  const script: Answer[] = [{ lifetimeMs: 5 * MINUTE_MS }, { lifetimeMs: 4 * MINUTE_MS }];
  const { clock, recorder, sink } = await startKeeper(t, { dice: 0, ttlMs: 5 * MINUTE_MS, script });
  await clock.advance(10_000);
  assert.deepEqual(recorder.of('mintFailed'), []);
  assert.equal(sink.content, 'token-2', 'though the one before would have lived longer');
});

test('each expiry is reported', async (t) => {
  const { clock, minter, recorder } = await startKeeper(t, { script: [{}, FAILURE] });
  await clock.advance(HOUR_MS + MINUTE_MS);
  minter.script({}, FAILURE);
  await clock.advance(2 * HOUR_MS);
  assert.equal(recorder.of('expired').length, 2);
});
