import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import type { Sink } from '../../src/credential/ports.ts';
import { remainingMs } from '../../src/credential/schedule.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  type Answer,
  credentialAt,
  HOUR_MS,
  MemorySink,
  type Minted,
  MINUTE_MS,
  ScriptedMinter,
} from '../support/fakes.ts';
import { startKeeper, World } from '../support/keeping.ts';
import { SharedPlace } from '../support/shared-sink.ts';

const REFRESH = { at: 0.667, jitter: 0.1, floorMs: 10_000 };

interface Writing {
  readonly world: World;
  readonly place: SharedPlace;
  readonly minters: readonly ScriptedMinter[];
  readonly files: readonly MemorySink[];
  readonly mints: () => number;
}

/** Writers of one place, each with a file of its own. Their draws differ. */
async function startWriters(
  t: TestContext,
  count: number,
  { place = new SharedPlace(), clock, minted = {}, adopts = true }: Options = {},
): Promise<Writing> {
  const world = new World(clock === undefined ? {} : { clock });
  const minters = Array.from(
    { length: count },
    (_, index) => new ScriptedMinter(world.clock, [minted, minted], `${index}`),
  );
  const files = minters.map(() => new MemorySink());
  for (const [index, minter] of minters.entries()) {
    let draw = index;
    world.add(minter, {
      sinks: [files[index]!, place.sink()],
      refresh: REFRESH,
      random: () => ((draw += 7) % 10) / 10 + index / 1_000,
      adopts,
    });
  }
  world.run(t);
  await world.clock.idle();
  return { world, place, minters, files, mints: () => minters.reduce((sum, { calls }) => sum + calls.length, 0) };
}

/** A writer whose clock is set after its first mint, which stays its last one. */
async function startBarredWriter(t: TestContext, byMs: number) {
  const { world, place, minters } = await startWriters(t, 1);
  await world.clock.advance(MINUTE_MS);
  minters[0]!.script(new MintError('permission', 'no'));
  world.clock.setWallClock(byMs);
  await world.clock.advance(MINUTE_MS);
  const theirs = credentialAt(world.clock, 'theirs', { skewMs: -byMs });
  place.put(theirs);
  return { world, place, minter: minters[0]!, theirs };
}

interface Options {
  readonly place?: SharedPlace;
  readonly clock?: FakeClock;
  readonly minted?: Minted;
  readonly adopts?: boolean;
}

test('a writer that finds a valid credential mints nothing, and puts it into its files', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(10 * MINUTE_MS);
  const { files, mints } = await startWriters(t, 1, { clock, place });
  assert.equal(mints(), 0);
  assert.equal(files[0]!.content, 'theirs');
});

test('ten writers mint once for each published token, and none publishes what expires sooner', async (t) => {
  const { world, place, mints, files } = await startWriters(t, 10);
  assert.ok(mints() <= 10, 'at the start nobody knows of another');
  await world.clock.advance(HOUR_MS);
  const [minted, published] = [mints(), place.history.length];
  await world.clock.advance(8 * HOUR_MS);
  assert.ok(place.history.length - published > 10, `${place.history.length}`);
  assert.equal(mints() - minted, place.history.length - published);
  const expiries = place.history.map(({ service }) => service.expiresAt);
  assert.deepEqual(
    expiries,
    expiries.toSorted((a, b) => a - b),
  );
  for (const { content } of files) assert.equal(content, place.content?.token.reveal());
  assert.equal(world.recorder.of('mintFailed').length, 0);
});

test('a writer adopts at once what another one publishes, and moves its own schedule', async (t) => {
  const { world, place, files, minters } = await startWriters(t, 1);
  await world.clock.advance(MINUTE_MS);
  place.put(credentialAt(world.clock, 'theirs'));
  await world.clock.idle();
  assert.equal(files[0]!.content, 'theirs');
  const [, adopted, dueAt] = world.recorder.of('adopted')[0]!;
  assert.equal(adopted.token.reveal(), 'theirs');
  assert.ok(dueAt >= adopted.local.issuedAt + (0.667 - 0.1) * HOUR_MS);
  assert.equal(minters[0]!.calls.length, 1);
});

test('what is adopted is refreshed when it is due, also where that is sooner than what was held would have been', async (t) => {
  const place = new SharedPlace();
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [place.sink()], dice: 0.999 });
  const before = keeper.vitals().wakeAt;
  place.put(credentialAt(clock, 'theirs', { lifetimeMs: HOUR_MS + 1 }));
  await clock.idle();
  const { wakeAt } = keeper.vitals();
  assert.ok(wakeAt < before);
  await clock.advance(Math.ceil(wakeAt - clock.now()));
  assert.equal(minter.calls.length, 2);
});

test('what is deleted is made again after a second, in which whoever deletes it can take the right to that away, too', async (t) => {
  const { world, place } = await startWriters(t, 1);
  const written = place.content!;
  for (let deletion = 0; deletion < 2; deletion += 1) {
    await world.clock.advance(MINUTE_MS + 300);
    place.content = undefined;
    place.tell();
    await world.clock.advance(999);
    assert.equal(place.content, undefined);
    await world.clock.advance(1);
    assert.equal(place.content, written);
  }
});

test('a token that is minted within that second does not bring back sooner what was deleted', async (t) => {
  const { world, place, minters } = await startWriters(t, 1);
  await world.clock.advance(MINUTE_MS);
  place.content = undefined;
  place.tell();
  world.keepers[0]!.refreshSoon();
  await world.clock.advance(899);
  assert.equal(minters[0]!.calls.length, 2);
  assert.equal(place.content, undefined);
  await world.clock.advance(1_000);
  assert.equal(place.history.at(-1)?.token.reveal(), '0token-2');
});

test('each deletion has its own second, also where another writer was faster to make it again', async (t) => {
  const { world, place } = await startWriters(t, 1);
  const written = place.content!;
  await world.clock.advance(MINUTE_MS);
  for (let deletion = 0; deletion < 2; deletion += 1) {
    place.content = undefined;
    place.tell();
    await world.clock.advance(600);
    assert.equal(place.content, undefined);
    place.put(written);
    await world.clock.idle();
  }
});

test('what another writer publishes is as old as the clock of the service says, by the last mint', async (t) => {
  // Our clock is ten minutes slow: what was issued in our future is new.
  const skewMs = 10 * MINUTE_MS;
  const { world, place } = await startWriters(t, 1, { minted: { skewMs } });
  await world.clock.advance(MINUTE_MS);
  place.put(credentialAt(world.clock, 'theirs', { skewMs }));
  await world.clock.idle();
  const [, adopted] = world.recorder.of('adopted')[0]!;
  assert.equal(adopted.local.issuedAt, world.clock.now());
});

test('what another writer says is issued in the future gives way to ours once a mint has told the time', async (t) => {
  const { world, place } = await startWriters(t, 1);
  const ours = place.content!;
  await world.clock.advance(MINUTE_MS);
  place.put(credentialAt(world.clock, 'forged', { skewMs: 10 * MINUTE_MS }));
  await world.clock.advance(1_000);
  assert.equal(place.content, ours);
});

test('while nobody can look or write each mints once and due time, and one publication follows', async (t) => {
  const { world, place, mints, files } = await startWriters(t, 10);
  await world.clock.advance(2 * HOUR_MS);
  const published = place.history.length;
  const { issuedAt } = place.content!.service;
  await world.clock.advance(issuedAt + 0.3 * HOUR_MS - world.clock.now());
  place.isAway = true;
  const minted = mints();
  await world.clock.advance(0.4 * HOUR_MS);
  assert.equal(mints() - minted, 10);
  assert.equal(place.history.length, published);
  const own = files.map(({ content }) => content);
  assert.equal(new Set(own).size, 10, 'the files go on without it');
  place.isAway = false;
  place.tell();
  await world.clock.advance(MINUTE_MS);
  assert.equal(place.history.length, published + 1);
  assert.equal(mints() - minted, 10);
});

test('a credential that was left out because of another one is published when nobody refreshes that in time, without a mint', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const { world, mints } = await startWriters(t, 1, { clock, place });
  place.isAway = true;
  const before = mints();
  while (mints() === before) await clock.advance(MINUTE_MS);
  // Somebody who was faster has a shorter one.
  const rival = credentialAt(clock, 'rival', { lifetimeMs: 40 * MINUTE_MS });
  place.content = rival;
  place.isAway = false;
  place.tell();
  await clock.advance(26 * MINUTE_MS);
  assert.equal(place.content, rival, 'not replaced while it is fresh');
  await clock.advance(1 * MINUTE_MS);
  assert.notEqual(place.content, rival);
  assert.equal(mints(), before + 1);
  assert.equal(world.recorder.of('sinkWritten').at(-1)?.[1], 'secret:apps/lakebase');
});

test('a token that follows within a second, sooner than another look, is written at once, and is no repair', async (t) => {
  const place = new SharedPlace();
  const refresh = { at: 0.2, jitter: 0, floorMs: 0 };
  const script = [{ lifetimeMs: 4_000 }];
  const { clock, minter, recorder } = await startKeeper(t, { script, sinks: [place.sink()], refresh });
  await clock.advance(20_000);
  assert.ok(minter.calls.length > 20, `${minter.calls.length}`);
  assert.equal(place.history.length, minter.calls.length);
  assert.ok(recorder.of('sinkWritten').every(([, , , { isRepair }]) => !isRepair));
});

test('a mint that another writer has overtaken counts as one that succeeded, and its token is thrown away', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const world = new World({ clock });
  const minter = new ScriptedMinter(clock);
  minter.script(async ({ signal }) => {
    const early = credentialAt(clock, 'ours');
    await clock.sleep(1_000, { signal });
    return early;
  });
  const file = new MemorySink();
  world.add(minter, { sinks: [file, place.sink()], refresh: REFRESH });
  world.run(t);
  await clock.advance(500);
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(500);
  assert.equal(file.content, 'theirs');
  assert.equal(place.content?.token.reveal(), 'theirs');
  assert.deepEqual(world.recorder.of('mintFailed'), []);
  assert.equal(world.recorder.of('minted')[0]?.[2].isOvertaken, true);
  const { consecutiveFailures, current } = await world.keepers[0]!.status(t);
  assert.deepEqual([consecutiveFailures, current?.token.reveal()], [0, 'theirs']);
});

test('a mint that ends after another writer was faster is used all the same where it expires later', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const slow: Answer = async ({ signal }) => {
    await clock.sleep(1_000, { signal });
    return credentialAt(clock, 'ours');
  };
  const { keeper, recorder } = await startKeeper(t, { clock, script: [slow], sinks: [place.sink()] });
  await clock.advance(500);
  place.put(credentialAt(clock, 'theirs'));
  await clock.idle();
  assert.equal(keeper.current?.token.reveal(), 'theirs');
  await clock.advance(500);
  assert.equal(keeper.current?.token.reveal(), 'ours');
  assert.equal(recorder.of('minted')[0]?.[2].isOvertaken, false);
});

test('what was left out because of another one is not written while its successor is minted, which is', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const slow =
    (text: string): Answer =>
    async ({ signal }) => {
      await clock.sleep(5_000, { signal });
      return credentialAt(clock, text);
    };
  const script = [slow('left out'), slow('next')];
  const { keeper } = await startKeeper(t, { clock, script, sinks: [place.sink()], refresh: REFRESH });
  await clock.advance(3_000);
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(2_000);
  assert.equal(keeper.current?.token.reveal(), 'left out');
  await clock.advance(keeper.vitals().wakeAt + 10_000 - clock.now());
  assert.deepEqual(
    place.history.map(({ token }) => token.reveal()),
    ['theirs', 'next'],
  );
});

test('where another writer was faster to write, ours is not said to be written', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const theirs = credentialAt(clock, 'theirs', { lifetimeMs: 2 * HOUR_MS });
  const answer: Answer = async () => {
    place.content = theirs; // of which no watch tells
    return await Promise.resolve(credentialAt(clock, 'ours'));
  };
  const { recorder } = await startKeeper(t, { clock, script: [answer], sinks: [place.sink()] });
  await clock.advance(2_000);
  assert.equal(place.content, theirs);
  assert.deepEqual(recorder.of('sinkWritten'), []);
});

test('what no watch tells of is found by the look before the mint', async (t) => {
  const place = new SharedPlace();
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [place.sink()] });
  await clock.advance(MINUTE_MS);
  place.content = credentialAt(clock, 'theirs');
  await clock.advance(keeper.vitals().wakeAt - clock.now());
  assert.equal(keeper.current?.token.reveal(), 'theirs');
  assert.equal(minter.calls.length, 1);
});

test('each attempt looks anew, also soon after one that has failed', async (t) => {
  const place = new SharedPlace();
  const script = [new MintError('network', 'no way out')];
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [place.sink()], script, dice: 0.999 });
  await clock.advance(4_000);
  const attempts = minter.calls.length;
  place.content = credentialAt(clock, 'theirs');
  await clock.advance(4_000);
  assert.equal(keeper.current?.token.reveal(), 'theirs', 'which no watch has told of');
  assert.equal(minter.calls.length, attempts);
});

test('where several places are shared, the look before the mint finds the best of what stands in any of them', async (t) => {
  const [ours, theirs] = [new SharedPlace(), new SharedPlace()];
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [ours.sink(), theirs.sink()] });
  await clock.advance(MINUTE_MS);
  theirs.content = credentialAt(clock, 'theirs');
  assert.equal(keeper.current, ours.content, 'no watch has told');
  await clock.advance(Math.ceil(keeper.vitals().wakeAt - clock.now()));
  assert.equal(keeper.current?.token.reveal(), 'theirs');
  assert.equal(ours.content?.token.reveal(), 'theirs');
  assert.equal(minter.calls.length, 1);
});

test('a mint that fails after another writer was faster waits for the next due time, not for the back-off', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const world = new World({ clock });
  const minter = new ScriptedMinter(clock);
  minter.script(async ({ signal }) => {
    await clock.sleep(1_000, { signal });
    throw new MintError('unknown', 'no');
  });
  world.add(minter, { sinks: [place.sink()], refresh: REFRESH });
  world.run(t);
  await clock.advance(500);
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(20 * MINUTE_MS);
  assert.equal(minter.calls.length, 1);
});

test('whoever fails to mint adopts what another one publishes, and asks no more until that is due', async (t) => {
  const { world, place, minters, files } = await startWriters(t, 1);
  minters[0]!.script(new MintError('permission', 'no'));
  await world.clock.advance(HOUR_MS + MINUTE_MS);
  assert.ok(minters[0]!.calls.length > 5);
  place.put(credentialAt(world.clock, 'theirs'));
  await world.clock.idle();
  assert.equal(files[0]!.content, 'theirs');
  const { length } = minters[0]!.calls;
  await world.clock.advance(30 * MINUTE_MS);
  assert.equal(minters[0]!.calls.length, length);
});

test('after an outage nobody is said to try again who goes by what the first one has minted', async (t) => {
  const { world, minters } = await startWriters(t, 3);
  for (const minter of minters) minter.script(new MintError('network', 'no'));
  await world.clock.advance(50 * MINUTE_MS);
  assert.ok(minters.every(({ calls }) => calls.length > 2));
  for (const minter of minters) minter.script({});
  await world.clock.advance(2 * MINUTE_MS);
  assert.ok(world.recorder.of('adopted').length > 0);
  const statuses = await Promise.all(world.keepers.map((keeper) => keeper.status(t)));
  assert.deepEqual(
    statuses.map(({ consecutiveFailures, lastFailure }) => [consecutiveFailures, lastFailure]),
    [
      [0, undefined],
      [0, undefined],
      [0, undefined],
    ],
  );
});

test('nor who failed while another one was faster', async (t) => {
  const place = new SharedPlace();
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [place.sink()], refresh: REFRESH });
  minter.script('hang');
  await clock.advance(keeper.vitals().wakeAt - clock.now());
  assert.equal(minter.running, 1);
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(MINUTE_MS);
  assert.equal(minter.running, 0);
  const { consecutiveFailures, lastFailure } = await keeper.status(t);
  assert.deepEqual([consecutiveFailures, lastFailure], [0, undefined]);
});

test('what is left of the own token in an edited Secret makes it no younger than it is, whatever the clock says', async (t) => {
  const clock = new FakeClock();
  const inherited = credentialAt(clock, 'ours');
  const place = new SharedPlace();
  const sink = place.sink();
  place.put(inherited);
  await clock.advance(55 * MINUTE_MS);
  clock.setWallClock(-20 * MINUTE_MS);
  sink.inspect = async () =>
    await Promise.resolve({ state: 'lacks', problem: new SinkError('foreign_content', 'a key was edited') });
  sink.write = async () => await Promise.reject(new SinkError('forbidden', 'no'));
  const script = [new MintError('network', 'no')];
  const { keeper, recorder } = await startKeeper(t, { clock, inherited, sinks: [sink], script, refresh: REFRESH });
  await clock.advance(10 * MINUTE_MS);
  assert.equal(recorder.of('expired').length, 1);
  assert.equal(recorder.of('adopted').length, 1, 'from its predecessor');
  assert.ok(remainingMs(keeper.current!, clock) < 0);
});

test("what is left of another writer's later token in an edited Secret is used, and put back", async (t) => {
  const place = new SharedPlace();
  const sink = place.sink();
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [sink], refresh: REFRESH });
  await clock.advance(MINUTE_MS);
  const [inspect, write] = [sink.inspect.bind(sink), sink.write.bind(sink)];
  sink.inspect = async () =>
    await Promise.resolve({ state: 'lacks', problem: new SinkError('foreign_content', 'a key was edited') });
  sink.write = async (credential, options) => {
    sink.inspect = inspect;
    await write(credential, options);
  };
  const theirs = credentialAt(clock, 'theirs');
  place.put(theirs);
  await clock.advance(1_000);
  assert.deepEqual(
    place.history.map(({ token }) => token.reveal()),
    ['token-1', 'theirs', 'theirs'],
  );
  assert.equal(keeper.current?.fingerprint, theirs.fingerprint);
  assert.equal(minter.calls.length, 1);
});

test('a token that expires no later than the one in a Secret is refused, whatever other sinks there are', async (t) => {
  const sinks = [new MemorySink(), new SharedPlace().sink()];
  const script = [{}, { lifetimeMs: 31 * MINUTE_MS }];
  const { clock, keeper, recorder } = await startKeeper(t, { dice: 0, sinks, script });
  await clock.advance(10_000);
  assert.deepEqual(
    recorder.of('mintFailed').map(([, { failure }]) => failure),
    ['short_lived'],
  );
  assert.equal(keeper.current?.token.reveal(), 'token-1');
});

test('a new secret is tried at once by who failed to mint, also where another writer was faster', async (t) => {
  const place = new SharedPlace();
  const script = [new MintError('permission', 'no')];
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [place.sink()], script, refresh: REFRESH });
  place.put(credentialAt(clock, 'theirs'));
  await clock.idle();
  const { length } = minter.calls;
  keeper.retryNow();
  await clock.advance(0);
  assert.equal(minter.calls.length, length + 1);
});

test('who failed last leaves a slot to others, also where another writer’s token is in use since', async (t) => {
  const place = new SharedPlace();
  const world = new World({ concurrency: 2 });
  const { clock, slots } = world;
  const minter = new ScriptedMinter(clock, [new MintError('network', 'no way out')]);
  const keeper = world.add(minter, { sinks: [place.sink()] });
  world.run(t);
  await clock.idle();
  place.put(credentialAt(clock, 'theirs'));
  const hanging = Promise.withResolvers<void>();
  const troubled = slots.with({ wantedAt: 0, isTroubled: true }, () => hanging.promise, t);
  await clock.advance(HOUR_MS / 2);
  assert.deepEqual([keeper.vitals().isMinting, minter.calls.length], [true, 1], 'it waits');
  hanging.resolve();
  await troubled;
  await clock.idle();
  assert.equal(minter.calls.length, 2);
});

test('one that adopts nothing, as once does, mints whatever is there, and replaces it only by what expires later', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(MINUTE_MS);
  const longer = await startWriters(t, 1, { clock, place, adopts: false });
  assert.equal(longer.mints(), 1);
  assert.notEqual(place.content?.token.reveal(), 'theirs');
  const best = place.content;
  const shorter = await startWriters(t, 1, { clock, place, adopts: false, minted: { lifetimeMs: 40 * MINUTE_MS } });
  assert.equal(shorter.mints(), 1);
  assert.equal(place.content, best);
});

test('where nobody answers, the first mint waits for one look and not for two', async (t) => {
  const world = new World();
  const minter = new ScriptedMinter(world.clock, [{}], 'a');
  const sink: Sink = new SharedPlace().sink();
  sink.look = async (options) => await world.clock.sleep(2_000, options);
  world.add(minter, { sinks: [sink], refresh: REFRESH });
  world.run(t);
  await world.clock.advance(2_000);
  assert.equal(minter.calls.length, 1);
});

for (const [byMs, title] of [
  [-20 * MINUTE_MS, 'back'],
  [2 * HOUR_MS, 'forward'],
] as const) {
  test(`who can no longer mint puts no older credential in the place of another writer's, also when its clock is set ${title}`, async (t) => {
    const { world, place, theirs } = await startBarredWriter(t, byMs);
    await world.clock.advance(10 * MINUTE_MS);
    assert.deepEqual([place.content, place.history.length], [theirs, 2]);
  });
}

test('nor where that seemed to have expired, on a clock that was fast, and is slow now', async (t) => {
  const { world, place, theirs } = await startBarredWriter(t, 2 * HOUR_MS);
  await world.clock.advance(MINUTE_MS);
  world.clock.setWallClock(-3 * HOUR_MS);
  await world.clock.advance(10 * MINUTE_MS);
  assert.deepEqual([place.content, place.history.length], [theirs, 2]);
});

test('what another writer has put there, and seemed to have expired on a clock that was fast, is used once a mint has told the time', async (t) => {
  const byMs = 2 * HOUR_MS;
  const { world, place, minter } = await startBarredWriter(t, byMs);
  await world.clock.advance(MINUTE_MS);
  // More than ours has left, and less than theirs.
  minter.script({ skewMs: -byMs, lifetimeMs: 57.5 * MINUTE_MS });
  await world.clock.advance(2 * MINUTE_MS);
  assert.equal(world.keepers[0]!.current?.token.reveal(), 'theirs');
  assert.equal(place.content?.token.reveal(), 'theirs');
});

test('nor after a start on a clock that is slow, before the service has told its time', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const skewMs = 20 * MINUTE_MS;
  place.put(credentialAt(clock, 'theirs'));
  const { world, minters } = await startWriters(t, 1, { clock, place });
  minters[0]!.script(new MintError('permission', 'no'));
  await clock.advance(MINUTE_MS);
  assert.equal(world.keepers[0]!.current?.token.reveal(), 'theirs');
  const next = credentialAt(clock, 'next', { skewMs });
  place.put(next);
  await clock.advance(10 * MINUTE_MS);
  assert.deepEqual([place.content, place.history.length], [next, 2]);
});
