import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdUp, startPublisher } from '../support/publishing.ts';
import { MINUTE_MS } from '../support/fakes.ts';

for (const step of ['write', 'inspect'] as const) {
  test(`a disk that hangs in its ${step} is told within 15 seconds, each minute while it lasts, and at its end`, async (t) => {
    const { clock, publish, recorder, sink } = await startPublisher(t);
    await publish('one');
    const release = holdUp(sink, step);
    await publish('two');
    await clock.advance(9_000);
    assert.deepEqual(recorder.of('sinkHangs'), []);
    await clock.advance(6_000);
    const [told] = recorder.of('sinkHangs');
    assert.deepEqual(told?.slice(0, 2), ['backstage', sink.name]);
    assert.equal(told?.[2]?.failure, 'unreachable');
    await clock.advance(2 * MINUTE_MS);
    assert.equal(recorder.of('sinkHangs').length, 3);
    release();
    await clock.advance(MINUTE_MS);
    assert.deepEqual(recorder.of('sinkHangs').slice(3), [['backstage', sink.name, undefined]]);
  });
}

test('a disk that was slow, and a machine that was suspended, are no disk that hangs', async (t) => {
  const { clock, publish, recorder, sink } = await startPublisher(t);
  const release = holdUp(sink, 'write');
  await publish('one');
  await clock.advance(8_000);
  clock.setWallClock(MINUTE_MS);
  release();
  await clock.advance(MINUTE_MS);
  assert.deepEqual(recorder.of('sinkHangs'), []);
});

test('the end of a disk that hangs is told also where it has just been told that it does', async (t) => {
  const { clock, publish, recorder, sink } = await startPublisher(t);
  const release = holdUp(sink, 'write');
  await publish('one');
  await clock.advance(15_000);
  release();
  await clock.advance(MINUTE_MS);
  const problems = recorder.of('sinkHangs').map(([, , problem]) => problem?.failure);
  assert.deepEqual(problems, ['unreachable', undefined]);
});
