import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { WatchEvent, WatchHandlers } from '../../src/kubernetes/api-server.ts';
import { watchForEver } from '../../src/kubernetes/watch.ts';
import { FakeClock } from '../support/fake-clock.ts';

type Act = (handlers: WatchHandlers, clock: FakeClock) => ApiAnswer | undefined | Promise<undefined>;

const EXPIRED = { code: 410, reason: 'Expired', message: 'too old resource version' };

/** Each watch acts as the script says; the last one never ends. */
async function startWatching(t: TestContext, script: readonly Act[], { looksForMs = 0 } = {}) {
  const clock = new FakeClock();
  const startedAt: number[] = [];
  const log: string[] = [];
  const stop = new AbortController();
  const api = {
    watch: async (
      _path: string,
      _query: object,
      handlers: WatchHandlers,
      { signal }: { readonly signal: AbortSignal },
    ) => {
      const act = script[startedAt.length];
      startedAt.push(clock.monotonic());
      if (act !== undefined) return await act(handlers, clock);
      handlers.onOpen();
      const { promise, resolve } = Promise.withResolvers<undefined>();
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
      return await promise;
    },
  };
  const watching = watchForEver(
    api,
    { path: '/x', query: {} },
    {
      catchUp: async () => {
        log.push('caught up');
        if (looksForMs > 0) await clock.sleep(looksForMs, stop).catch(() => {});
      },
      take: ({ type }) => log.push(type),
      explain: ({ status, retryAfterMs }) => new SinkError('unknown', `${status}`, { retryAfterMs }),
      onTrouble: (problem) => log.push(problem === undefined ? 'fine' : `trouble ${problem.message}`),
    },
    { signal: stop.signal, clock },
  );
  t.after(async () => {
    stop.abort();
    await watching;
  });
  await clock.idle();
  return { clock, log, startedAt };
}

const refuse =
  (status: number, retryAfterMs = 0): Act =>
  () => ({ status, body: undefined, retryAfterMs });

test('a watch that the server ends after its time is followed by the next one at once, which looks at everything afresh', async (t) => {
  const end: Act = async ({ onOpen, onEvent }, clock) => {
    onOpen();
    onEvent({ type: 'ADDED', object: {} });
    await clock.sleep(5_000, new AbortController());
    return undefined;
  };
  const { clock, log, startedAt } = await startWatching(t, [end, end, end]);
  await clock.advance(20_000);
  const gaps = startedAt.slice(1).map((at, index) => at - startedAt[index]!);
  assert.equal(gaps.length, 3);
  for (const gap of gaps) assert.ok(gap < 5_500, `${gap}`);
  const each = ['caught up', 'ADDED'];
  assert.deepEqual(log, [...each, ...each, ...each, 'caught up']);
});

for (const [what, last] of Object.entries({
  'end as soon as they have begun': undefined,
  'fail as soon as they have begun': { type: 'ERROR', object: { code: 500, message: 'etcd is away' } },
} satisfies Record<string, WatchEvent | undefined>)) {
  test(`watches that ${what} are trouble, and are tried again later and later, until one lasts`, async (t) => {
    const begin: Act = ({ onOpen, onEvent }) => {
      onOpen();
      onEvent({ type: 'ADDED', object: {} });
      if (last !== undefined) onEvent(last);
      return undefined;
    };
    const { clock, log, startedAt } = await startWatching(
      t,
      Array.from({ length: 9 }, () => begin),
    );
    await clock.advance(120_000);
    assert.equal(startedAt.length, 10);
    const gaps = startedAt.slice(1).map((at, index) => at - startedAt[index]!);
    for (const [index, gap] of gaps.entries()) assert.ok(gap >= Math.min(15_000, 1_000 * 2 ** index) / 2, `${gap}`);
    const said = log.filter((line) => !['caught up', 'ADDED'].includes(line));
    const problem = last === undefined ? 'the API server ends each watch as soon as it has begun' : '500';
    assert.deepEqual(said, [`trouble ${problem}`, 'fine']);
  });
}

test('a slow look after a watch that fails as soon as it has begun is no watch that lasts', async (t) => {
  const fail: Act = ({ onOpen, onEvent }) => {
    onOpen();
    onEvent({ type: 'ERROR', object: { code: 500, message: 'etcd is away' } });
    return undefined;
  };
  const { clock, log } = await startWatching(t, [fail, fail, fail], { looksForMs: 8_000 });
  await clock.advance(60_000);
  const said = log.filter((line) => line !== 'caught up');
  assert.deepEqual(said, ['trouble 500', 'fine']);
});

test('an event that says that the server has forgotten where we were (410) costs a second', async (t) => {
  const forget: Act = ({ onOpen, onEvent }) => {
    onOpen();
    onEvent({ type: 'ERROR', object: EXPIRED });
    return undefined;
  };
  const { clock, log, startedAt } = await startWatching(t, [forget]);
  await clock.advance(1_000);
  assert.equal(startedAt.length, 2);
  assert.ok(!log.some((line) => line.startsWith('trouble')), log.join());
});

test('a refusal is tried again later and later, up to a quarter of a minute, and told of once until it is over', async (t) => {
  const { clock, log, startedAt } = await startWatching(
    t,
    Array.from({ length: 9 }, () => refuse(503)),
  );
  await clock.advance(120_000);
  assert.equal(startedAt.length, 10);
  const gaps = startedAt.slice(1).map((at, index) => at - startedAt[index]!);
  for (const [index, gap] of gaps.entries()) {
    const ceilingMs = Math.min(15_000, 1_000 * 2 ** index);
    assert.ok(gap >= ceilingMs / 2 && gap <= ceilingMs, `${gap} of ${ceilingMs}`);
  }
  assert.deepEqual(
    log.filter((line) => line !== 'caught up'),
    ['trouble 503', 'fine'],
  );
  assert.equal(log.filter((line) => line === 'caught up').length, 10, 'seen late is better than not at all');
});

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

test('nothing is asked sooner than the server asks for, neither by a watch nor by a look at what is there', async (t) => {
  const { clock, log, startedAt } = await startWatching(t, [refuse(429, 30_000)]);
  await clock.advance(29_999);
  assert.equal(startedAt.length, 1);
  assert.deepEqual(log, []);
  await clock.advance(1);
  assert.equal(startedAt.length, 2);
});
