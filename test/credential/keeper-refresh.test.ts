import assert from 'node:assert/strict';
import test from 'node:test';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MemorySink, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { startKeeper, World } from '../support/keeping.ts';

/** When the minter was called, from the first call on. */
function callsOf({ calls }: { calls: readonly { at: number }[] }): number[] {
  return calls.map(({ at }) => at - calls[0]!.at);
}

test('mints at once when it starts, and hands the credential to its sinks', async (t) => {
  const { keeper, recorder, sink } = await startKeeper(t);
  assert.equal(sink.content, 'token-1');
  assert.deepEqual(recorder.of('mintStarted'), [['backstage']]);
  assert.equal(keeper.vitals().isMinting, false, 'not any more');
  const [[name, minted, { failuresBefore }]] = recorder.of('minted') as [Parameters<typeof recorder.observer.minted>];
  assert.equal(name, 'backstage');
  assert.equal(minted.token.reveal(), 'token-1');
  assert.equal(failuresBefore, 0);
});

for (const [dice, firstMs, secondMs] of [
  [0, 10_000, HOUR_MS / 2],
  [0.5, 10_000 + (HOUR_MS / 2 - 10_000) / 2, 0.45 * HOUR_MS],
  [0.999, 10_000 + (HOUR_MS / 2 - 10_000) * 0.999, 0.4001 * HOUR_MS],
] as const) {
  test(`the first refresh is uniform and the others follow the ordinary rule, where chance says ${dice}`, async (t) => {
    const { clock, minter } = await startKeeper(t, { dice });
    await clock.advance(firstMs - 1);
    assert.equal(minter.calls.length, 1);
    await clock.advance(1.01);
    assert.equal(minter.calls.length, 2);
    await clock.advance(secondMs - 1);
    assert.equal(minter.calls.length, 2);
    await clock.advance(1.01);
    assert.equal(minter.calls.length, 3);
    const [, first = 0, second = 0] = callsOf(minter);
    assert.ok(Math.abs(first - firstMs) < 0.1 && Math.abs(second - first - secondMs) < 0.1, callsOf(minter).join());
  });
}

test('the refresh after one that succeeded after failures is uniform in the second half of the period, then ordinary', async (t) => {
  const failure = new MintError('unknown', 'failed');
  const { clock, minter } = await startKeeper(t, { dice: 0, script: [{}, failure, failure, {}] });
  await clock.advance(10_000 + 500 + 1_000); // the first, due at the floor, and two retries
  assert.deepEqual(callsOf(minter), [0, 10_000, 10_500, 11_500]);
  await clock.advance(HOUR_MS / 4 + HOUR_MS / 2);
  const dueMs = 11_500 + HOUR_MS / 4;
  assert.deepEqual(callsOf(minter).slice(4), [dueMs, dueMs + HOUR_MS / 2]);
});

test('the refresh after one that succeeded after a single failure is uniform in that half, too', async (t) => {
  const failure = new MintError('unknown', 'failed');
  const { clock, minter } = await startKeeper(t, { dice: 0, script: [{}, failure, {}] });
  await clock.advance(10_000 + 500 + HOUR_MS / 4);
  assert.deepEqual(callsOf(minter), [0, 10_000, 10_500, 10_500 + HOUR_MS / 4]);
});

test('after an outage that outlasted the credential the refresh is uniform in the whole period again', async (t) => {
  const { clock, keeper, minter } = await startKeeper(t, { dice: 0, script: [{}, new MintError('unknown', 'failed')] });
  await clock.advance(HOUR_MS + MINUTE_MS);
  minter.script({});
  await clock.advance(7_500); // the next retry
  const { at } = minter.calls.at(-1)!;
  assert.equal(keeper.vitals().wakeAt, at + 10_000);
});

test('an adopted credential is due by the ordinary rule from when it was issued', async (t) => {
  const clock = new FakeClock();
  const sink = new MemorySink();
  const { local } = (sink.recovered = credentialAt(clock, 'left-behind'));
  await clock.advance(10 * MINUTE_MS);
  const { keeper, minter } = await startKeeper(t, { clock, sink, dice: 0.999 });
  const dueAt = local.issuedAt + 0.4001 * HOUR_MS;
  assert.ok(Math.abs(keeper.vitals().wakeAt - dueAt) < 1);
  await clock.advance(dueAt - clock.now() - 1);
  assert.equal(minter.calls.length, 0);
  await clock.advance(2);
  assert.equal(minter.calls.length, 1);
});

test('the refresh after an adopted credential follows the ordinary rule too', async (t) => {
  const clock = new FakeClock();
  const sink = new MemorySink();
  sink.recovered = credentialAt(clock, 'left-behind');
  const { keeper } = await startKeeper(t, { clock, sink, dice: 0 });
  await clock.advance(HOUR_MS / 2);
  assert.equal(keeper.vitals().wakeAt, clock.now() + HOUR_MS / 2);
});

test('a token of seconds is refreshed no sooner than the floor after it was issued', async (t) => {
  const { clock, minter } = await startKeeper(t, { script: [{ lifetimeMs: 2_000 }], dice: 0.999 });
  await clock.advance(MINUTE_MS);
  assert.deepEqual(callsOf(minter), [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
});

test('a lower floor lets tokens of seconds rotate in time', async (t) => {
  const refresh = { at: 0.5, jitter: 0, floorMs: 500 };
  const { clock, minter, recorder } = await startKeeper(t, { script: [{ lifetimeMs: 4_000 }], refresh });
  await clock.advance(MINUTE_MS);
  assert.ok(minter.calls.length >= 30, `${minter.calls.length} calls`);
  assert.deepEqual(recorder.of('expired'), []);
});

test('a service that answers with expired tokens is asked with back-off, not in a hot loop', async (t) => {
  for (const lifetimeMs of [0, -HOUR_MS, Number.NaN]) {
    const { clock, minter, sink, recorder } = await startKeeper(t, { script: [{ lifetimeMs }], dice: 0 });
    await clock.advance(MINUTE_MS);
    assert.ok(minter.calls.length < 14, `${minter.calls.length} calls in a minute`);
    assert.ok(minter.calls.length > 7, `${minter.calls.length} calls in a minute`);
    assert.equal(sink.content, undefined);
    assert.ok(recorder.of('mintFailed').every(([, error]) => error.failure === 'short_lived'));
  }
});

test('the floor does not bind retries', async (t) => {
  const failure = new MintError('unknown', 'failed');
  const { clock, minter } = await startKeeper(t, { dice: 0, script: [{ lifetimeMs: 12_000 }, failure] });
  await clock.advance(11_000); // due at 10 s, with 2 s left: retries at least 250 ms apart
  assert.deepEqual(callsOf(minter).slice(1), [10_000, 10_250, 10_500, 10_750, 11_000]);
});

test('a refresh takes the moment when the command was started as the beginning of the lifetime', async (t) => {
  const { clock, keeper, minter, recorder } = await startKeeper(t, { dice: 0 });
  const started = clock.now();
  minter.script(async () => {
    const credential = credentialAt(clock, 'slow');
    await clock.sleep(7_000, { signal: t.signal });
    return credential;
  });
  await clock.advance(10_000 + 7_000);
  assert.equal(keeper.current?.token.reveal(), 'slow');
  assert.equal(keeper.vitals().wakeAt, started + 10_000 + HOUR_MS / 2);
  assert.equal(recorder.of('minted')[1]?.[2].durationMs, 7_000);
  assert.equal((await keeper.status(t)).lastAttemptAt, started + 10_000);
  assert.equal(minter.calls[1]?.held?.reveal(), 'token-1', 'to be redacted from what the command says');
});

test('what was minted is written without a look at what a file holds, which a slow disk would hold up', async (t) => {
  const sink = new MemorySink();
  const inspect = sink.inspect.bind(sink);
  const { promise, resolve } = Promise.withResolvers<void>();
  t.after(() => resolve());
  sink.inspect = async (known) => await promise.then(() => inspect(known));
  await startKeeper(t, { sink });
  assert.equal(sink.content, 'token-1');
});

test('a credential counts as published once each of its sinks has held it, and not before', async (t) => {
  const [sink, full] = [new MemorySink('file:/one'), new MemorySink('file:/full')];
  full.failure = new SinkError('no_space', 'no space left');
  const { clock, keeper } = await startKeeper(t, { sinks: [sink, full] });
  let isPublished = false;
  void keeper.published().then(() => (isPublished = true));
  await clock.advance(MINUTE_MS);
  assert.deepEqual([sink.content, isPublished], ['token-1', false]);
  full.failure = undefined;
  await clock.advance(MINUTE_MS);
  assert.deepEqual([full.content, isPublished], ['token-1', true]);
});

test('a keeper counts as stopping once it is told to stop, and not before', async () => {
  const world = new World();
  const keeper = world.add(new ScriptedMinter(world.clock));
  const stop = new AbortController();
  const running = keeper.run(stop);
  await world.clock.idle();
  assert.equal(keeper.vitals().isStopping, false);
  stop.abort(new Error('stopped'));
  assert.equal(keeper.vitals().isStopping, true);
  await assert.rejects(running, stop.signal.reason as Error);
});
