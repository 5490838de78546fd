import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { WatchHandlers } from '../../src/kubernetes/api-server.ts';
import { watchForEver } from '../../src/kubernetes/watch.ts';
import { FakeClock } from '../support/fake-clock.ts';

for (const [when, ofWatch, ofLook] of [
  ['while that goes on', undefined, 0],
  ['after that was over', 1_000, 3_000],
] as const) {
  test(`a bug in the look that a watch begins with ends the watching, ${when}`, { timeout: 10_000 }, async (t) => {
    const bug = new TypeError('a bug');
    const stop = new AbortController();
    t.after(() => stop.abort());
    const clock = new FakeClock();
    const watch = async (_path: string, _query: object, { onOpen }: WatchHandlers): Promise<undefined> => {
      onOpen();
      if (ofWatch === undefined) return await Promise.withResolvers<undefined>().promise;
      return await clock.sleep(ofWatch, stop).then(() => undefined);
    };
    let looks = 0;
    const watcher = {
      catchUp: async () => {
        looks += 1;
        if (looks > 1) return;
        await clock.sleep(ofLook, stop);
        throw bug;
      },
      take: () => {},
      explain: () => new SinkError('unknown', ''),
      onTrouble: () => {},
    };
    const watching = watchForEver({ watch }, { path: '/x', query: {} }, watcher, { signal: stop.signal, clock });
    const rejected = assert.rejects(watching, bug);
    await clock.advance(10_000);
    await rejected;
  });
}

test('a bug in what is made of an event, or in the look after a failure, ends the watching', async (t) => {
  const bug = new TypeError('a bug');
  const stumble = (): never => {
    throw bug;
  };
  const explain = () => new SinkError('unknown', '');
  const well = { catchUp: async () => {}, take: () => {}, explain, onTrouble: () => {} };
  const catchUp = async () => await Promise.resolve().then(stumble);
  for (const watcher of [
    { ...well, take: stumble },
    { ...well, catchUp },
  ]) {
    const clock = new FakeClock();
    const watch = async (_path: string, _query: object, { onEvent }: WatchHandlers): Promise<ApiAnswer> => {
      onEvent({ type: 'ADDED', object: {} });
      return await Promise.resolve({ status: 503, body: undefined, retryAfterMs: 0 });
    };
    const watching = watchForEver({ watch }, { path: '/x', query: {} }, watcher, { signal: t.signal, clock });
    const rejected = assert.rejects(watching, bug);
    await clock.advance(10_000);
    await rejected;
  }
});
