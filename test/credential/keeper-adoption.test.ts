import assert from 'node:assert/strict';
import test from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { Keeper } from '../../src/credential/keeper.ts';
import type { Credential, Recovered } from '../../src/credential/ports.ts';
import { remainingMs } from '../../src/credential/schedule.ts';
import { readinessChecks } from '../../src/credential/status.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MemorySink, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { startKeeper, World } from '../support/keeping.ts';
import { SharedPlace } from '../support/shared-sink.ts';

function sinkWith(recovered: Recovered | undefined, name: string): MemorySink {
  const sink = new MemorySink(`file:/${name}`);
  sink.recovered = recovered;
  return sink;
}

function contentsOf(sinks: readonly MemorySink[]): (string | undefined)[] {
  return sinks.map(({ content }) => content);
}

/** As it is on record where the machine was started anew since. */
function fromAnotherBoot({ token, local, service, fingerprint }: Credential): Recovered {
  return { token, local, service, fingerprint };
}

async function readinessOf(keeper: Keeper, clock: FakeClock): Promise<boolean[]> {
  return readinessChecks([await keeper.status(new AbortController())], clock).map(({ isOk }) => isOk);
}

test('a matching unexpired credential is adopted, not minted again, and written to the sinks that lack it', async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(10 * MINUTE_MS);
  const sinks = [sinkWith(left, 'a'), sinkWith(undefined, 'b')];
  const { keeper, minter, recorder } = await startKeeper(t, { clock, sinks });
  assert.deepEqual(contentsOf(sinks), ['left-behind', 'left-behind']);
  assert.deepEqual(
    sinks.map(({ written }) => written.length),
    [0, 1],
    'what is there already is not written again',
  );
  assert.equal(minter.calls.length, 0);
  const [[name, adopted, dueAt]] = recorder.of('adopted') as [Parameters<typeof recorder.observer.adopted>];
  assert.equal(name, 'backstage');
  assert.equal(adopted, keeper.current);
  assert.equal(dueAt, keeper.vitals().wakeAt);
  assert.equal(recorder.of('sinkWritten')[0]?.[3].isRepair, false, 'and it is no repair');
});

test('what somebody puts into a file while it is kept is never adopted, but replaced', async (t) => {
  const { clock, recorder, sink } = await startKeeper(t);
  await clock.advance(MINUTE_MS);
  sink.recovered = credentialAt(clock, 'theirs');
  sink.content = 'theirs';
  sink.onChange();
  await clock.advance(1_000);
  assert.equal(sink.content, 'token-1');
  assert.deepEqual(recorder.of('adopted'), []);
});

test('of several that were left behind the latest-expiring wins, and replaces the others', async (t) => {
  const clock = new FakeClock();
  const older = credentialAt(clock, 'older');
  await clock.advance(10 * MINUTE_MS);
  const newer = credentialAt(clock, 'newer');
  await clock.advance(MINUTE_MS);
  for (const found of [
    [older, newer],
    [newer, older],
  ]) {
    const sinks = found.map((one, index) => sinkWith(one, `${index}`));
    const { minter } = await startKeeper(t, { clock, sinks });
    assert.deepEqual(contentsOf(sinks), ['newer', 'newer']);
    assert.equal(minter.calls.length, 0);
  }
});

test('an expired one is not adopted, nor one from the future; a new one is minted', async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(HOUR_MS);
  const expired = await startKeeper(t, { clock, sink: sinkWith(left, 'expired') });
  assert.equal(expired.sink.content, 'token-1');
  clock.setWallClock(-2 * HOUR_MS);
  const future = await startKeeper(t, { clock, sink: sinkWith(left, 'future') });
  assert.equal(future.sink.content, 'token-1');
  for (const { recorder } of [expired, future]) assert.deepEqual(recorder.of('adopted'), []);
});

test('a clock that was set back before the start, on a machine that still runs, makes what was left no younger', async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(10 * MINUTE_MS);
  clock.setWallClock(-20 * MINUTE_MS);
  const { keeper, minter } = await startKeeper(t, {
    clock,
    sink: sinkWith(left, 'a'),
    script: [{ skewMs: 20 * MINUTE_MS }],
  });
  assert.equal(keeper.current?.fingerprint, left.fingerprint);
  assert.equal(remainingMs(keeper.current, clock), 50 * MINUTE_MS);
  await clock.advance(16 * MINUTE_MS);
  assert.equal(minter.calls.length, 0);
  await clock.advance(2 * MINUTE_MS);
  assert.equal(minter.calls.length, 1, 'it is due by its age');

  await clock.advance(33 * MINUTE_MS);
  const dead = await startKeeper(t, { clock, sink: sinkWith(left, 'b'), script: ['hang'] });
  assert.equal(dead.keeper.current, undefined, 'though by the wall clock it lives for nineteen minutes');
});

test('a clock that was set back before the start does not make a nearly dead token replace one that lives longer', async (t) => {
  const clock = new FakeClock();
  const left = fromAnotherBoot(credentialAt(clock, 'left-behind'));
  await clock.advance(10 * MINUTE_MS);
  clock.setWallClock(-20 * MINUTE_MS);
  // The service's clock was not set back.
  const nearlyDead = { lifetimeMs: 20_000, skewMs: 20 * MINUTE_MS };
  const { keeper, minter, recorder, sink } = await startKeeper(t, {
    clock,
    sink: sinkWith(left, 'a'),
    script: [nearlyDead, { skewMs: 20 * MINUTE_MS }],
  });
  assert.equal(sink.content, 'left-behind');
  assert.equal(remainingMs(keeper.current!, clock), 50 * MINUTE_MS);
  assert.deepEqual(
    recorder.of('mintFailed').map(([, { failure }]) => failure),
    ['short_lived'],
  );
  await clock.advance(30 * MINUTE_MS);
  assert.equal(minter.calls.length, 2);
  assert.equal(sink.content, 'token-2');
});

test('one that seems to be from the future gives way to the first token that expires later', async (t) => {
  const clock = new FakeClock();
  const left = fromAnotherBoot(credentialAt(clock, 'left-behind'));
  await clock.advance(10 * MINUTE_MS);
  clock.setWallClock(-20 * MINUTE_MS);
  const { recorder, sink } = await startKeeper(t, {
    clock,
    sink: sinkWith(left, 'a'),
    script: [{ skewMs: 20 * MINUTE_MS }],
  });
  assert.equal(sink.content, 'token-1');
  assert.deepEqual(recorder.of('adopted'), []);
});

test('one that seems to be from the future, and cannot be replaced, is not said to be good', async (t) => {
  const clock = new FakeClock();
  const sink = sinkWith(fromAnotherBoot(credentialAt(clock, 'left-behind')), 'full');
  sink.failure = new SinkError('no_space', 'no space left');
  clock.setWallClock(-20 * MINUTE_MS);
  const { keeper } = await startKeeper(t, { clock, sink });
  assert.equal(sink.content, 'left-behind');
  assert.deepEqual(await readinessOf(keeper, clock), [false]);
});

test('an adopted credential whose due time is past is refreshed at once, and served meanwhile', async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(50 * MINUTE_MS);
  const sinks = [sinkWith(left, 'a'), sinkWith(undefined, 'b')];
  const { minter } = await startKeeper(t, { clock, sinks, script: ['hang', {}] });
  assert.equal(minter.calls.length, 1);
  assert.deepEqual(contentsOf(sinks), ['left-behind', 'left-behind']);
  await clock.advance(MINUTE_MS);
  assert.deepEqual(contentsOf(sinks), ['token-2', 'token-2']);
});

test('a credential taken over from a keeper before it is due by its age, also when the clock was set back since', async (t) => {
  const clock = new FakeClock();
  const inherited = credentialAt(clock, 'inherited');
  await clock.advance(10 * MINUTE_MS);
  clock.setWallClock(-2 * HOUR_MS);
  const { keeper, minter, sink } = await startKeeper(t, { clock, inherited });
  assert.equal(sink.content, 'inherited');
  assert.equal(keeper.vitals().wakeAt - clock.now(), 17 * MINUTE_MS);
  await clock.advance(17 * MINUTE_MS);
  assert.equal(minter.calls.length, 1);
});

test('an adopted credential is as old as it was, also when the clock is set back afterwards', async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(20 * MINUTE_MS);
  const { keeper } = await startKeeper(t, { clock, sink: sinkWith(left, 'a'), script: ['hang'] });
  const { current } = keeper;
  clock.setWallClock(-2 * HOUR_MS);
  assert.equal(remainingMs(current!, clock), 40 * MINUTE_MS);
  await clock.advance(10 * MINUTE_MS);
  assert.equal(remainingMs(current!, clock), 30 * MINUTE_MS);
});

test('an adopted credential keeps its age: it expires when the service says so', async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(20 * MINUTE_MS);
  const { recorder } = await startKeeper(t, { clock, sink: sinkWith(left, 'a'), script: ['hang'] });
  await clock.advance(40 * MINUTE_MS - 1);
  assert.deepEqual(recorder.of('expired'), []);
  await clock.advance(5_000); // an attempt runs, and has 5 s
  assert.equal(recorder.of('expired').length, 1);
});

test('a keeper that does not adopt mints, whatever stands in its sinks', async (t) => {
  const clock = new FakeClock();
  const sink = sinkWith(credentialAt(clock, 'left-behind'), 'a');
  sink.content = 'left-behind';
  const { minter } = await startKeeper(t, { clock, sink, adopts: false });
  assert.equal(minter.calls.length, 1);
  assert.equal(sink.content, 'token-1');
});

test('what a predecessor held is gone on with, also where the sinks are new', async (t) => {
  const clock = new FakeClock();
  const inherited = credentialAt(clock, 'inherited');
  await clock.advance(MINUTE_MS);
  const { minter, sink } = await startKeeper(t, { clock, inherited });
  assert.equal(minter.calls.length, 0);
  assert.equal(sink.content, 'inherited');
});

test('what a predecessor held is served at once, also while a sink does not tell what it holds', async (t) => {
  const clock = new FakeClock();
  const inherited = credentialAt(clock, 'inherited');
  const silent = new MemorySink('secret:ns/silent', 'secret');
  const { promise, resolve } = Promise.withResolvers<undefined>();
  silent.recover = async () => await promise;
  t.after(() => resolve(undefined));
  const sinks = [new MemorySink(), silent];
  const { keeper } = await startKeeper(t, { clock, inherited, sinks });
  assert.equal(keeper.current, inherited);
  assert.equal(keeper.vitals().isMinting, false);
  assert.deepEqual(contentsOf(sinks), ['inherited', undefined]);
  assert.deepEqual(await readinessOf(keeper, clock), [true, false]);
  resolve(undefined);
  await clock.idle();
  assert.deepEqual(await readinessOf(keeper, clock), [true, true]);
});

test('what a predecessor held is not said to be written again where the shared sink, once looked at, holds it', async (t) => {
  const world = new World();
  const place = new SharedPlace();
  const inherited = credentialAt(world.clock, 'inherited');
  place.put(inherited);
  const sink = place.sink();
  const [look, watch] = [sink.look.bind(sink), sink.watch.bind(sink)];
  const answer = async (): Promise<void> => await world.clock.sleep(500, new AbortController());
  sink.look = async (options) => await answer().then(() => look(options));
  sink.watch = async (listener, options) => await answer().then(() => watch(listener, options));
  const keeper = world.add(new ScriptedMinter(world.clock), { sinks: [sink], inherited });
  world.run(t);
  await world.clock.advance(5_000);
  await keeper.published();
  assert.deepEqual(world.recorder.of('sinkWritten'), []);
});

test('what a predecessor held is as old in a shared sink as is known of it, also where this clock is far from the right time', async (t) => {
  const world = new World();
  const place = new SharedPlace();
  const inherited = credentialAt(world.clock, 'inherited', { skewMs: -50 * MINUTE_MS });
  place.put(inherited);
  const keeper = world.add(new ScriptedMinter(world.clock), { sinks: [place.sink()], inherited });
  world.run(t);
  await world.clock.advance(15 * MINUTE_MS);
  assert.deepEqual(await readinessOf(keeper, world.clock), [true]);
});

test('what a predecessor held, and had left out because of another writer, is not written over that one', async (t) => {
  const world = new World();
  const place = new SharedPlace();
  const theirs = credentialAt(world.clock, 'theirs');
  place.put(theirs);
  await world.clock.advance(1_000);
  const inherited = credentialAt(world.clock, 'inherited');
  world.add(new ScriptedMinter(world.clock), { sinks: [place.sink()], inherited });
  world.run(t);
  await world.clock.advance(5_000);
  assert.deepEqual(place.history, [theirs]);
});

test('an older credential that a sink cannot be rid of still counts for as long as it lives', async (t) => {
  const clock = new FakeClock();
  const older = credentialAt(clock, 'older');
  await clock.advance(10 * MINUTE_MS);
  const [stuck, good] = [sinkWith(older, 'stuck'), sinkWith(credentialAt(clock, 'newer'), 'good')];
  stuck.failure = new SinkError('no_space', 'no space left');
  const { keeper } = await startKeeper(t, { clock, sinks: [stuck, good] });
  assert.equal(keeper.current?.token.reveal(), 'newer');
  assert.deepEqual(contentsOf([stuck, good]), ['older', 'newer']);
  assert.deepEqual(await readinessOf(keeper, clock), [true, true]);
  await clock.advance(50 * MINUTE_MS);
  assert.equal(stuck.content, 'older');
  assert.deepEqual(await readinessOf(keeper, clock), [false, true]);
});

test("one that expired before the restart, and cannot be replaced, is said to be expired, and to be nobody else's", async (t) => {
  const clock = new FakeClock();
  const left = credentialAt(clock, 'left-behind');
  await clock.advance(HOUR_MS + 5 * MINUTE_MS);
  const { keeper } = await startKeeper(t, { clock, sink: sinkWith(left, 'a'), script: ['hang'] });
  const status = await keeper.status(new AbortController());
  assert.deepEqual(
    readinessChecks([status], clock).map(({ isOk, reason }) => [isOk, reason]),
    [[false, 'expired 300 s ago']],
  );
});

test('a file that cannot be written does not bring back what it holds, though that would have lived longer', async (t) => {
  const clock = new FakeClock();
  const sink = sinkWith(credentialAt(clock, 'left-behind'), 'full');
  sink.failure = new SinkError('no_space', 'no space left');
  const script = [{ lifetimeMs: 31 * MINUTE_MS }];
  const { keeper, minter, recorder } = await startKeeper(t, { clock, sink, script, dice: 0.999 });
  await clock.advance(0.41 * HOUR_MS);
  assert.equal(sink.content, 'left-behind');
  assert.equal(keeper.current?.token.reveal(), 'token-1');
  assert.equal(minter.calls.length, 1);
  assert.equal(recorder.of('adopted').length, 1, 'at the start');
});

test('what a predecessor held is not gone on with once expired', async (t) => {
  const clock = new FakeClock();
  const inherited = credentialAt(clock, 'inherited');
  await clock.advance(HOUR_MS);
  const { minter, recorder, sink } = await startKeeper(t, { clock, inherited, script: ['hang'] });
  assert.equal(minter.calls.length, 1);
  assert.deepEqual(recorder.of('adopted'), []);
  assert.equal(sink.content, undefined, 'a sink gets no expired token');
});

test('published settles once every sink has held the credential', async (t) => {
  const clock = new FakeClock();
  const sinks = [sinkWith(credentialAt(clock, 'left-behind'), 'a'), sinkWith(undefined, 'b')];
  const { keeper } = await startKeeper(t, { clock, sinks });
  await keeper.published();
  assert.deepEqual(contentsOf(sinks), ['left-behind', 'left-behind']);
});
