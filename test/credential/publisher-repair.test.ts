import assert from 'node:assert/strict';
import test from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { credentialAt, HOUR_MS, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { World } from '../support/keeping.ts';
import { startPublisher } from '../support/publishing.ts';
import { SharedPlace } from '../support/shared-sink.ts';

const FULL = new SinkError('no_space', 'no space left');

for (const [what, content] of [
  ['deleted', undefined],
  ['changed', 'foreign'],
  ['set back to the credential before', 'one'],
] as const) {
  for (const isTold of [true, false]) {
    test(`a sink that is ${what} holds the same token again within a second, ${isTold ? 'with' : 'without'} word of it`, async (t) => {
      const { clock, meddle, publish, recorder, sink } = await startPublisher(t);
      await publish('one');
      await publish('two');
      await clock.advance(300);
      await meddle(content, { isTold });
      if (!isTold) await clock.advance(1_000);
      assert.equal(sink.content, 'two');
      assert.equal(recorder.of('sinkWritten').length, 3);
      assert.equal(recorder.of('sinkWritten').at(-1)?.[3].isRepair, true, 'which is a repair');
    });
  }
}

test('a sink is repaired after the clock was set back by an hour, too', async (t) => {
  const { clock, meddle, publish, sink } = await startPublisher(t);
  await publish('one');
  await clock.advance(500);
  clock.setWallClock(-HOUR_MS);
  await clock.advance(1_000);
  await meddle(undefined, { isTold: false });
  await clock.advance(1_000);
  assert.equal(sink.content, 'one');
});

test('after three repairs in a minute the next waits for the minute to end, which is reported once', async (t) => {
  const { clock, meddle, publish, recorder, sink } = await startPublisher(t);
  await publish('one');
  const started = clock.now();
  for (let repair = 0; repair < 3; repair += 1) {
    await meddle('foreign');
    assert.equal(sink.content, 'one');
    await clock.advance(10_000);
  }
  for (let second = 30; second < 59; second += 1) {
    await meddle('foreign');
    await clock.advance(1_000);
    assert.equal(sink.content, 'foreign');
  }
  await clock.advance(2_000);
  assert.equal(sink.content, 'one');
  const told = recorder.of('sinkRepairsLimited').map((args) => args.slice(0, 3));
  assert.deepEqual(told, [['backstage', sink.name, started + MINUTE_MS]]);
  assert.equal(recorder.of('sinkWritten').length, 5);
});

test('a war over a sink that lasts for an hour costs three repairs a minute, and is reported each minute', async (t) => {
  const { clock, meddle, publish, recorder } = await startPublisher(t);
  await publish('one');
  for (let second = 0; second < 3_600; second += 1) {
    await meddle('foreign');
    await clock.advance(1_000);
  }
  const repairs = recorder.of('sinkWritten').length - 1;
  assert.ok(repairs > 170 && repairs <= 183, `${repairs} repairs`);
  const reports = recorder.of('sinkRepairsLimited').length;
  assert.ok(reports >= 55 && reports <= 61, `${reports} reports`);
});

test('a reader who lacks the token does not wait for repairs of what readers do not miss, which are limited, too', async (t) => {
  const { clock, meddle, publish, recorder, sink } = await startPublisher(t);
  await publish('one');
  for (let second = 0; second < 30; second += 1) {
    sink.isMarred = true;
    await clock.advance(1_000);
  }
  assert.equal(recorder.of('sinkWritten').length, 4);
  await meddle(undefined);
  assert.equal(sink.content, 'one');
});

test('a repair that has failed and must wait then, for what readers do not miss, is looked at once a second', async (t) => {
  const { clock, meddle, publish, sink } = await startPublisher(t);
  await publish('one');
  for (let second = 0; second < 30; second += 1) {
    sink.isMarred = true;
    await clock.advance(1_000);
  }
  sink.failure = FULL;
  await meddle(undefined);
  sink.isMarred = true;
  await meddle('one');
  let looks = 0;
  const inspect = sink.inspect.bind(sink);
  sink.inspect = async (known) => {
    looks += 1;
    return await inspect(known);
  };
  await clock.advance(10_000);
  assert.ok(looks <= 11, `${looks} looks in ten seconds`);
});

test('repairs that are further apart are not limited', async (t) => {
  const { clock, meddle, publish, recorder, sink } = await startPublisher(t);
  await publish('one');
  for (let repair = 0; repair < 20; repair += 1) {
    await meddle(undefined);
    assert.equal(sink.content, 'one');
    await clock.advance(20_000);
  }
  assert.deepEqual(recorder.of('sinkRepairsLimited'), []);
});

test('refreshes are exempt from the limit on repairs', async (t) => {
  const { clock, meddle, publish, sink } = await startPublisher(t);
  await publish('one');
  for (let repair = 0; repair < 4; repair += 1) await meddle('foreign');
  assert.equal(sink.content, 'foreign', 'limited');
  for (const token of ['two', 'three', 'four', 'five']) {
    await publish(token);
    assert.equal(sink.content, token);
  }
  await meddle('foreign');
  assert.equal(sink.content, 'foreign', 'still limited');
  await clock.advance(MINUTE_MS);
  assert.equal(sink.content, 'five');
});

test('a repair that fails does not count as one of the three', async (t) => {
  const { clock, meddle, publish, recorder, sink } = await startPublisher(t);
  await publish('one');
  sink.failure = FULL;
  await meddle(undefined);
  await clock.advance(10_000);
  sink.failure = undefined;
  await clock.advance(15_000);
  assert.equal(sink.content, 'one');
  for (let repair = 0; repair < 2; repair += 1) {
    await meddle(undefined);
    assert.equal(sink.content, 'one');
  }
  assert.deepEqual(recorder.of('sinkRepairsLimited'), []);
});

test('what the sink wants to be left for a minute is repaired after it, which is told once; the next credential does not wait', async (t) => {
  const { clock, meddle, publish, recorder, sink } = await startPublisher(t);
  const inspect = sink.inspect.bind(sink);
  const problem = new SinkError('foreign_content', 'newer', { retryAfterMs: MINUTE_MS });
  sink.inspect = async (known) => (sink.content === 'newer' ? { state: 'lacks', problem } : await inspect(known));
  await publish('one');
  const started = clock.now();
  await meddle('newer');
  await clock.advance(MINUTE_MS - 1_000);
  assert.equal(sink.content, 'newer');
  assert.deepEqual(recorder.of('sinkRepairsLimited'), [['backstage', sink.name, started + MINUTE_MS, problem]]);
  await clock.advance(1_000);
  assert.equal(sink.content, 'one');
  await meddle('newer');
  await publish('two');
  assert.equal(sink.content, 'two');
});

for (const adopts of [true, false]) {
  const what = adopts ? 'that is adopted' : 'that is minted beside one of an earlier run';
  test(`a token ${what} is not published before a Secret says of the connection what is configured, however late another one answers`, async (t) => {
    const world = new World();
    const { clock, recorder } = world;
    const [place, silent] = [new SharedPlace(), new SharedPlace()];
    place.put(credentialAt(clock, 'theirs'));
    await clock.advance(MINUTE_MS);
    const [sink, other] = [place.sink(), silent.sink()];
    other.look = async () => await clock.sleep(2_000, t);
    let isAsConfigured = false;
    const [inspect, write] = [sink.inspect.bind(sink), sink.write.bind(sink)];
    sink.inspect = async (known) => {
      const inspection = await inspect(known);
      if (inspection.state !== 'holds' || isAsConfigured) return inspection;
      return { state: 'marred', credential: inspection.credential };
    };
    sink.write = async (credential, options) => {
      await write(credential, options);
      isAsConfigured = true;
    };
    const keeper = world.add(new ScriptedMinter(clock), { sinks: [sink, other], adopts });
    let wasAsConfigured: boolean | undefined;
    void keeper.published().then(() => (wasAsConfigured = isAsConfigured));
    world.run(t);
    await clock.advance(10_000);
    assert.equal(wasAsConfigured, true);
    assert.equal(place.content?.token.reveal(), adopts ? 'theirs' : 'token-1');
    const repairs = recorder.of('sinkWritten').filter(([, , , { isRepair }]) => isRepair);
    assert.deepEqual(repairs, []);
  });
}

test('a sink about which something wants to be written again holds what its readers get, until then, too', async (t) => {
  const { publish, publisher, sink } = await startPublisher(t);
  const credential = await publish('one');
  sink.isMarred = true;
  assert.deepEqual((await publisher.status(t)).holding, { state: 'holds', credential });
});

test('a wait before a repair does not shorten the back-off of a write that has failed', async (t) => {
  const { clock, publish, sink, tries } = await startPublisher(t);
  await publish('one');
  sink.failure = new SinkError('no_space', 'no space left');
  await publish('two');
  await clock.advance(7_500); // after half a second, 1, 2 and 4: the next try is due in 8 seconds
  const problem = new SinkError('missing', 'gone', { retryAfterMs: 900 });
  sink.inspect = async () => await Promise.resolve({ state: 'lacks', problem });
  const before = tries.length;
  await clock.advance(7_000);
  assert.equal(tries.length, before);
});

test('nothing of a long back-off holds up a repair once a write has succeeded', async (t) => {
  const { clock, meddle, publish, sink } = await startPublisher(t, { dice: 0.999 });
  await publish('one');
  sink.failure = FULL;
  await publish('two');
  await clock.advance(10 * MINUTE_MS); // the back-off is a minute now
  sink.failure = undefined;
  await meddle('one');
  await clock.advance(1_000);
  assert.equal(sink.content, 'two');
  await meddle(undefined, { isTold: false });
  await clock.advance(1_000);
  assert.equal(sink.content, 'two');
});

test('a repair that takes long is the only one, whatever the watch tells meanwhile', async (t) => {
  const { clock, meddle, publish, sink } = await startPublisher(t);
  await publish('one');
  const write = sink.write.bind(sink);
  const slow = Promise.withResolvers<void>();
  let begun = 0;
  sink.write = async (credential) => {
    begun += 1;
    await slow.promise;
    await write(credential);
  };
  await meddle(undefined);
  await meddle('foreign');
  await clock.advance(10_000);
  assert.equal(begun, 1);
  slow.resolve();
  await clock.advance(1_000);
  assert.equal(sink.content, 'one');
});
