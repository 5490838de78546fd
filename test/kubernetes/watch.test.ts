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
      const { promise, reject } = Promise.withResolvers<undefined>();
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
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
      explain: ({ status, body, retryAfterMs }) =>
        new SinkError('unknown', `${status} ${JSON.stringify(body)}`, { retryAfterMs }),
      onTrouble: (problem) => log.push(problem === undefined ? 'fine' : `trouble ${problem.message}`),
    },
    { signal: stop.signal, clock },
  );
  t.after(async () => {
    stop.abort();
    await watching.catch(() => {});
  });
  await clock.idle();
  const said = (): string[] => log.filter((line) => !['caught up', 'ADDED'].includes(line));
  return { clock, log, said, startedAt, stop, watching };
}

const refuse =
  (status: number, retryAfterMs = 0): Act =>
  () => ({ status, body: 'words', retryAfterMs });

const last =
  (ms: number): Act =>
  async ({ onOpen }, clock) => {
    onOpen();
    await clock.sleep(ms, new AbortController());
    return undefined;
  };

const fail =
  (object: unknown): Act =>
  ({ onOpen, onEvent }) => {
    onOpen();
    onEvent({ type: 'ERROR', object });
    return undefined;
  };

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
    const { clock, said, startedAt } = await startWatching(
      t,
      Array.from({ length: 9 }, () => begin),
    );
    await clock.advance(120_000);
    assert.equal(startedAt.length, 10);
    const gaps = startedAt.slice(1).map((at, index) => at - startedAt[index]!);
    for (const [index, gap] of gaps.entries()) assert.ok(gap >= Math.min(15_000, 1_000 * 2 ** index) / 2, `${gap}`);
    const problem =
      last === undefined
        ? 'the API server ends each watch as soon as it begins'
        : '500 {"code":500,"message":"etcd is away"}';
    assert.deepEqual(said(), [`trouble ${problem}`, 'fine']);
  });
}

test('a slow look after a watch that fails as soon as it has begun is no watch that lasts', async (t) => {
  const act = fail({ code: 500 });
  const { clock, said } = await startWatching(t, [act, act, act], { looksForMs: 8_000 });
  await clock.advance(60_000);
  assert.deepEqual(said(), ['trouble 500 {"code":500}', 'fine']);
});

test('an event that says that the server has forgotten where we were (410) costs a second', async (t) => {
  const { clock, said, startedAt } = await startWatching(t, [fail(EXPIRED)]);
  await clock.advance(1_000);
  assert.equal(startedAt.length, 2);
  assert.deepEqual(said(), []);
});

test('an event that fails a watch and does not say how, or says nonsense, is as one of a server that has forgotten', async (t) => {
  for (const object of [undefined, null, 'gone', {}, { code: '500' }]) {
    const { clock, said } = await startWatching(t, [fail(object), fail(object)]);
    await clock.advance(1_000);
    assert.deepEqual(said(), [`trouble 410 ${JSON.stringify(object)}`]);
  }
});

test('trouble is the second failure in a row; a watch that lasts ends it, and what follows counts anew', async (t) => {
  const script = [refuse(503), refuse(503), last(5_000), refuse(503), last(5_000), refuse(503), refuse(503)];
  const { clock, said, startedAt } = await startWatching(t, script);
  assert.deepEqual(said(), [], 'the first may be a restart of the server');
  await clock.advance(1_000);
  const trouble = 'trouble 503 "words"';
  assert.deepEqual(said(), [trouble]);
  await clock.advance(4_000);
  assert.deepEqual(said(), [trouble, 'fine']);
  await clock.advance(60_000);
  assert.deepEqual(said(), [trouble, 'fine', trouble, 'fine']);
  assert.ok(startedAt[4]! - startedAt[3]! <= 1_000, 'tried again as soon as at first');
});

test('a watch that is ended within two seconds has not shown that watching works, one that lasts longer has', async (t) => {
  for (const [ms, count] of [
    [1_999, 1],
    [2_001, 0],
  ] as const) {
    const { clock, said } = await startWatching(t, [last(ms), last(ms)]);
    await clock.advance(6_000);
    assert.equal(said().length, count, `${ms} ms`);
  }
});

test('a refusal is tried again later and later, up to a quarter of a minute, and told of once until it is over', async (t) => {
  const { clock, log, said, startedAt } = await startWatching(
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
  assert.deepEqual(said(), ['trouble 503 "words"', 'fine']);
  assert.equal(log.filter((line) => line === 'caught up').length, 10, 'seen late is better than not at all');
});

for (const [when, act, afterMs] of [
  ['while a watch is open', undefined, 0],
  ['between two watches', last(5_000), 5_000],
  ['after a watch that failed', refuse(503), 0],
  ['while the server asks for time', refuse(429, 30_000), 0],
] as const) {
  test(`a signal ends the watching with its own reason, ${when}`, async (t) => {
    const { clock, startedAt, stop, watching } = await startWatching(t, act === undefined ? [] : [act]);
    await clock.advance(afterMs);
    assert.equal(startedAt.length, 1);
    const reason = new Error('stopped');
    stop.abort(reason);
    await assert.rejects(watching, reason);
    assert.equal(startedAt.length, 1);
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
