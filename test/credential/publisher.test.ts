import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { SinkListener } from '../../src/credential/ports.ts';
import { HOUR_MS, MINUTE_MS } from '../support/fakes.ts';
import { holdUp, startPublisher } from '../support/publishing.ts';

const FULL = new SinkError('no_space', 'no space left');

test('a credential is written once, and not again while it stands there', async (t) => {
  const { clock, sink, publish, recorder } = await startPublisher(t);
  const credential = await publish('one');
  await clock.advance(MINUTE_MS);
  assert.deepEqual(sink.written, [credential]);
  assert.deepEqual(recorder.of('sinkWritten'), [
    ['backstage', sink.name, credential, { isRepair: false, failuresBefore: 0 }],
  ]);
});

test('a new credential is written without a look at the old one, which would only hold it up', async (t) => {
  const { clock, publish, sink } = await startPublisher(t);
  const steps: string[] = [];
  for (const step of ['inspect', 'write'] as const) {
    const take = sink[step].bind(sink) as (...args: unknown[]) => unknown;
    Object.assign(sink, { [step]: (...args: unknown[]) => (steps.push(step), take(...args)) });
  }
  await publish('one');
  await publish('two');
  assert.deepEqual(steps, ['write', 'write']);
  await clock.advance(1_000);
  assert.deepEqual(steps, ['write', 'write', 'inspect']);
});

test('nothing is written before there is a credential, whatever the watch tells', async (t) => {
  const { clock, meddle, tries } = await startPublisher(t);
  await meddle('foreign');
  await clock.advance(MINUTE_MS);
  assert.deepEqual(tries, []);
});

test('a write that fails is tried again with back-off, by the life left of what the sink holds', async (t) => {
  const { clock, gaps, publish, recorder, sink, tries } = await startPublisher(t);
  await publish('one', { lifetimeMs: 20_000 });
  await clock.advance(4_000);
  sink.failure = FULL;
  tries.length = 0;
  await publish('two');
  const [, name, error, retryAt] = recorder.of('sinkFailed')[0]!;
  assert.deepEqual([name, error, retryAt], [sink.name, FULL, clock.now() + 500]);
  await clock.advance(15_999);
  const held = gaps();
  // Doubling from half a second, then an eighth (at dice 0) of what is left of 16 s, never less than 250 ms.
  assert.deepEqual(held.slice(0, 2), [500, 1_000]);
  assert.ok(Math.max(...held) < 2_000, held.join());
  assert.equal(held.at(-1), 250);
  tries.length = 0;
  await clock.advance(MINUTE_MS); // expired: 15 s at most, half of that at dice 0
  assert.ok(
    gaps().every((ms) => ms === 7_500),
    gaps().join(),
  );
});

test('a new credential, too, is tried again by the life left of what the sink holds, though its first write comes without a look', async (t) => {
  const { clock, publish, recorder, sink } = await startPublisher(t);
  await publish('one', { lifetimeMs: 3_000 });
  await clock.advance(1_000);
  sink.failure = FULL;
  await publish('two');
  const retryAt = recorder.of('sinkFailed')[0]![3];
  assert.equal(retryAt, clock.now() + 250, 'an eighth of 2 s, and not half of one');
});

test('whoever is told of a write is told how many had failed in a row before it', async (t) => {
  const { clock, publish, recorder, sink } = await startPublisher(t);
  sink.failure = FULL;
  await publish('one');
  await clock.advance(500);
  sink.failure = undefined;
  await clock.advance(1_000);
  await publish('two');
  assert.deepEqual(
    recorder.of('sinkWritten').map(([, , , { failuresBefore }]) => failuresBefore),
    [2, 0],
  );
});

test('a write that was told as failed because its answer got lost is told as done when that is seen', async (t) => {
  const { clock, publish, publisher, recorder, sink } = await startPublisher(t);
  const write = sink.write.bind(sink);
  const lost = new SinkError('unreachable', 'the API server has restarted before it could answer');
  sink.write = async (credential) => {
    await write(credential);
    throw lost;
  };
  const one = await publish('one');
  assert.equal(recorder.of('sinkFailed').length, 1);
  await clock.advance(1_000);
  assert.deepEqual(recorder.of('sinkWritten'), [['backstage', sink.name, one, { isRepair: false, failuresBefore: 1 }]]);
  assert.ok((await publisher.status(t)).lastWriteAt !== undefined);
  await clock.advance(MINUTE_MS);
  assert.equal(recorder.of('sinkWritten').length, 1);
  assert.equal(sink.written.length, 1);
});

test('the next credential is tried at once, whatever the back-off, also one that is not new', async (t) => {
  for (const isNew of [true, false]) {
    const { clock, publish, recorder, sink } = await startPublisher(t, { dice: 0.999 });
    await publish('one');
    sink.failure = FULL;
    await publish('two');
    await clock.advance(5 * MINUTE_MS);
    sink.failure = undefined;
    assert.equal(sink.content, 'one');
    await publish('three', undefined, isNew);
    assert.equal(sink.content, 'three');
    assert.equal(recorder.of('sinkWritten').at(-1)?.[3].isRepair, false);
  }
});

test('the next credential waits, without turning a loop, where no write is worth trying yet', async (t) => {
  const { clock, publish, sink, tries } = await startPublisher(t);
  await publish('one');
  let looks = 0;
  const inspect = sink.inspect.bind(sink);
  sink.inspect = async (...args) => {
    looks += 1;
    assert.ok(looks < 100, 'it looks all the time');
    return await inspect(...args);
  };
  sink.failure = new SinkError('throttled', 'no time', { retryAfterMs: 30_000 });
  await publish('two', undefined, false);
  const refused = tries.length;
  sink.failure = undefined;
  await publish('three', undefined, false);
  sink.onChange();
  await clock.advance(29_999);
  assert.equal(tries.length, refused);
  await clock.advance(1);
  assert.equal(sink.content, 'three');
});

test('a server that asks for more time than the back-off gets it, and that is when the next try is announced', async (t) => {
  const { clock, publish, recorder, sink, tries } = await startPublisher(t);
  sink.failure = new SinkError('throttled', 'no time', { retryAfterMs: 30_000 });
  await publish('one');
  const [, , , retryAt] = recorder.of('sinkFailed')[0]!;
  assert.equal(retryAt, clock.now() + 30_000);
  await clock.advance(29_999);
  assert.equal(tries.length, 1);
  await clock.advance(1);
  assert.equal(tries.length, 2);
});

test('a shared sink that could not be written, and where others are always faster then, is tried once a second', async (t) => {
  const { clock, publish, sink, tries } = await startPublisher(t);
  Object.assign(sink, { look: async () => {} });
  sink.failure = new SinkError('unreachable', 'no answer');
  await publish('one');
  Object.assign(sink, { write: async () => assert.ok(tries.push(clock.monotonic()) < 100, 'it tries all the time') });
  await clock.advance(10_000);
  assert.ok(tries.length >= 8 && tries.length <= 12, `${tries.length} tries in ten seconds`);
});

test('a failing write is tried at once when the watch fires, at most once a second', async (t) => {
  const { clock, gaps, meddle, publish, sink, tries } = await startPublisher(t, { dice: 0.999 });
  await publish('one');
  sink.failure = FULL;
  await publish('two');
  await clock.advance(10 * MINUTE_MS); // the back-off is a minute now
  tries.length = 0;
  await clock.advance(30_000);
  assert.ok(tries.length <= 1);
  await meddle('one');
  const provoked = tries.length;
  assert.ok(provoked >= 1, 'at once');
  for (let tenth = 0; tenth < 100; tenth += 1) {
    await meddle('one');
    await clock.advance(100);
  }
  assert.ok(tries.length - provoked >= 8 && tries.length - provoked <= 10, `${tries.length - provoked} in ten seconds`);
  assert.ok(
    gaps()
      .slice(-8)
      .every((ms) => ms >= 1_000),
    gaps().join(),
  );
  tries.length = 0;
  await clock.advance(30_000);
  assert.ok(tries.length <= 1, 'and each time once');
  sink.failure = undefined;
  await meddle('one');
  await clock.advance(1_000);
  assert.equal(sink.content, 'two');
});

for (const failure of [undefined, FULL]) {
  test(`a file is watched as soon as its first write has ${failure === undefined ? 'succeeded' : 'failed'}, and not before`, async (t) => {
    const { publish, sink } = await startPublisher(t);
    sink.failure = failure;
    const wasWatched = { before: sink.isWatched, whileWritten: false };
    const write = sink.write.bind(sink);
    sink.write = async (credential) => {
      wasWatched.whileWritten = sink.isWatched;
      await write(credential);
    };
    await publish('one');
    assert.deepEqual(wasWatched, { before: false, whileWritten: false });
    assert.ok(sink.isWatched);
  });
}

test('trouble with the watch, and its end, is told', async (t) => {
  const { publish, recorder, sink } = await startPublisher(t);
  let tell: SinkListener['onTrouble'] = () => {};
  sink.watch = async ({ onTrouble }) => {
    tell = onTrouble;
    await Promise.resolve();
  };
  await publish('one');
  const problem = new SinkError('unreachable', 'no answer');
  tell(problem);
  tell(undefined);
  assert.deepEqual(recorder.of('sinkWatchChanged'), [
    ['backstage', sink.name, problem],
    ['backstage', sink.name, undefined],
  ]);
});

/** Like a file whose times have not changed since it was found as it should be. */
async function startUntouched(t: TestContext) {
  const started = await startPublisher(t);
  const { sink } = started;
  const file = { isUntouched: true, looks: 0 };
  const inspect = sink.inspect.bind(sink);
  sink.inspect = async (known) => {
    file.looks += 1;
    return await inspect(known);
  };
  let asked = 0;
  const isUntouched = async (): Promise<boolean> => {
    assert.ok((asked += 1) < 1_000, 'it asks all the time');
    return await Promise.resolve(file.isUntouched);
  };
  Object.assign(sink, { isUntouched });
  return { ...started, file };
}

test('what cannot have changed is not looked at again, until it can', async (t) => {
  const { clock, file, publish } = await startUntouched(t);
  await publish('one');
  await clock.advance(MINUTE_MS);
  assert.equal(file.looks, 0);
  file.isUntouched = false;
  await clock.advance(1_000);
  assert.equal(file.looks, 1);
});

test('what has not changed is no reason to leave out another credential', async (t) => {
  const { publish, sink } = await startUntouched(t);
  await publish('one');
  await publish('two', undefined, false);
  assert.equal(sink.content, 'two');
});

test('a repair that has failed is over where others have put back what was there, and health has seen it first', async (t) => {
  const { clock, file, meddle, publish, publisher, sink } = await startUntouched(t);
  file.isUntouched = false;
  await publish('one');
  sink.failure = FULL;
  await meddle(undefined);
  assert.equal((await publisher.status(t)).failure?.error, FULL);
  await meddle('one', { isTold: false });
  file.isUntouched = true;
  await clock.advance(1_000);
  assert.equal((await publisher.status(t)).failure, undefined);
});

test('a clock that is set back by an hour does not put off the next try by an hour', async (t) => {
  const { clock, publish, sink } = await startPublisher(t);
  sink.failure = FULL;
  await publish('one');
  await clock.advance(2_000);
  clock.setWallClock(-HOUR_MS);
  sink.failure = undefined;
  await clock.advance(15_000);
  assert.equal(sink.content, 'one');
});

test('the status says when the next try really comes, after the clock was set, too', async (t) => {
  const { clock, publish, publisher, sink, tries } = await startPublisher(t);
  const throttled = (retryAfterMs: number) => new SinkError('throttled', 'no time', { retryAfterMs });
  const retryAt = async () => (await publisher.status(t)).failure?.retryAt;
  sink.failure = throttled(30_000);
  await publish('one');
  clock.setWallClock(-HOUR_MS);
  await clock.advance(10_000);
  assert.equal(await retryAt(), clock.now() + 20_000);
  sink.failure = throttled(0);
  await clock.advance(20_000);
  assert.equal(tries.length, 2);
  const release = holdUp(sink, 'write');
  await publish('two');
  assert.equal(await retryAt(), clock.now(), 'it runs');
  release();
});

test('a failing sink turns no loop while the clock is slewed', async (t) => {
  const { clock, publish, sink, tries } = await startPublisher(t);
  sink.failure = FULL;
  await publish('one');
  for (let second = 0; second < 60; second += 1) {
    clock.setWallClock(second % 2 === 0 ? 4_000 : -4_000);
    await clock.advance(1_000);
  }
  assert.ok(tries.length >= 8 && tries.length < 20, `${tries.length} tries in a minute`);
});

test('the status says what a reader gets now, and why the last write failed', async (t) => {
  const { clock, meddle, publish, publisher, sink } = await startPublisher(t);
  const one = await publish('one');
  const wroteAt = clock.now();
  const { name, kind } = sink;
  assert.deepEqual(await publisher.status(t), {
    name,
    kind,
    holding: { state: 'holds', credential: one },
    lastWriteAt: wroteAt,
    failure: undefined,
  });
  sink.failure = FULL;
  await publish('two');
  const failing = await publisher.status(t);
  assert.deepEqual(failing.holding, { state: 'holds', credential: one }, 'the old one still is ours');
  assert.deepEqual(failing.failure, { error: FULL, at: clock.now(), retryAt: clock.now() + 500 });
  await meddle('foreign');
  const { holding } = await publisher.status(t);
  assert.equal(holding.state === 'lacks' && holding.problem.failure, 'foreign_content');
  sink.failure = undefined;
  await clock.advance(15_000);
  assert.equal((await publisher.status(t)).failure, undefined);
});

test('the first write settles once the sink holds the credential, not before', async (t) => {
  const { clock, publish, publisher, sink } = await startPublisher(t);
  let isPublished = false;
  void publisher.firstWrite.then(() => (isPublished = true));
  sink.failure = FULL;
  await publish('one');
  assert.equal(isPublished, false);
  sink.failure = undefined;
  await clock.advance(1_000);
  assert.equal(isPublished, true);
});

test('a refresh during a slow write of the one before is written after it', async (t) => {
  const { clock, publish, sink } = await startPublisher(t);
  const release = holdUp(sink, 'write');
  await publish('one');
  await publish('two');
  release();
  await clock.idle();
  assert.deepEqual(
    sink.written.map(({ token }) => token.reveal()),
    ['one', 'two'],
  );
});

test('what readers have of a write that a slow disk keeps from ending is ours, also when the next credential has come', async (t) => {
  const { publish, publisher, sink } = await startPublisher(t);
  await publish('one');
  const sync = Promise.withResolvers<void>();
  const write = sink.write.bind(sink);
  sink.write = async (credential) => {
    await write(credential);
    await sync.promise;
  };
  const two = await publish('two');
  await publish('three');
  const { holding } = await publisher.status(t);
  sync.resolve();
  assert.deepEqual(holding, { state: 'holds', credential: two });
});

test('a refresh that comes during a look is written once, and what is repaired after it counts as repaired', async (t) => {
  const { clock, meddle, publish, recorder, sink, tries } = await startPublisher(t);
  await publish('one');
  const release = holdUp(sink, 'inspect');
  await clock.advance(1_000);
  await publish('two');
  release();
  await clock.idle();
  assert.equal(sink.content, 'two');
  assert.equal(tries.length, 2);
  await meddle(undefined);
  assert.deepEqual(
    recorder.of('sinkWritten').map(([, , , { isRepair }]) => isRepair),
    [false, false, true],
  );
});

test('who asks a sink on a disk that hangs is told so after two seconds, and it is not looked at twice at once', async (t) => {
  const { clock, publish, publisher, sink } = await startPublisher(t);
  const credential = await publish('one');
  const disk = Promise.withResolvers<void>();
  let looks = 0;
  const inspect = sink.inspect.bind(sink);
  sink.inspect = async (known) => {
    looks += 1;
    await disk.promise;
    return await inspect(known);
  };
  const ask = async () => {
    const status = publisher.status(t);
    await clock.advance(2_000);
    return (await status).holding;
  };
  try {
    const holding = await ask();
    assert.ok(holding.state === 'lacks');
    assert.equal(holding.problem.message, `${sink.name} does not answer`);
    assert.match(holding.problem.remedy, /its volume hangs/);
    const before = looks;
    assert.equal((await ask()).state, 'lacks');
    assert.equal(looks, before);
  } finally {
    disk.resolve(); // also for the publisher, which would wait with it
  }
  await clock.idle();
  assert.deepEqual((await publisher.status(t)).holding, { state: 'holds', credential });
});
