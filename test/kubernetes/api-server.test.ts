import assert from 'node:assert/strict';
import { readFile, writeFile, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { ApiServer, type WatchEvent } from '../../src/kubernetes/api-server.ts';
import { clientOf } from '../support/api-client.ts';

test('a server that asks for time gets it, but no more than a minute: a token may expire meanwhile', async (t) => {
  const { api } = await clientOf(t, (request, response) => {
    response.writeHead(429, { 'retry-after': request.url!.slice(1) }).end('{}');
  });
  const waits: number[] = [];
  for (const asked of ['7', '60', '3600', '1e9', '0', '-1', 'soon']) {
    const { retryAfterMs } = await api.request({ method: 'GET', path: `/${asked}`, signal: t.signal });
    waits.push(retryAfterMs);
  }
  assert.deepEqual(waits, [7_000, 60_000, 60_000, 60_000, 0, 0, 0]);
});

test('a server may ask for time until a date, which counts by its own clock', async (t) => {
  const asked = [
    ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 08:49:30 GMT'],
    ['Sun, 06 Nov 1994 09:49:37 GMT', 'Sun, 06 Nov 1994 08:49:37 GMT'],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 08:49:38 GMT'],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 'today'],
    ['Fri, 31 Dec 9999 23:59:59 GMT', undefined],
  ] as const;
  const { api } = await clientOf(t, (request, response) => {
    const [until, date] = asked[Number(request.url!.slice(1))]!;
    response.sendDate = false;
    response.writeHead(429, { 'retry-after': until, ...(date !== undefined && { date }) }).end('{}');
  });
  const waits: number[] = [];
  for (const index of asked.keys()) {
    const { retryAfterMs } = await api.request({ method: 'GET', path: `/${index}`, signal: t.signal });
    waits.push(retryAfterMs);
  }
  assert.deepEqual(waits, [7_000, 60_000, 0, 0, 0]);
});

test('a token that was rotated is read again when the old one is refused, and once only', async (t) => {
  const seen: (string | undefined)[] = [];
  const { api, kubeconfig } = await clientOf(t, ({ headers: { authorization } }, response) => {
    seen.push(authorization);
    response.writeHead(authorization === 'Bearer second' ? 200 : 401).end('{}');
  });
  const ask = async () => (await api.request({ method: 'GET', path: '/', signal: t.signal })).status;
  assert.equal(await ask(), 401);
  await writeFile(kubeconfig, (await readFile(kubeconfig, 'utf8')).replace('first', 'second'));
  assert.equal(await ask(), 200);
  assert.equal(await ask(), 200);
  assert.deepEqual(
    seen,
    ['first', 'first', 'first', 'second', 'second'].map((token) => `Bearer ${token}`),
  );
});

test('a kubeconfig that names another server by now is read again when the old one cannot be reached', async (t) => {
  const { api, kubeconfig } = await clientOf(t, (_request, response) => response.end('{}'));
  const successor = await clientOf(t, (_request, response) => response.end('{}'));
  const right = await readFile(kubeconfig, 'utf8');
  await writeFile(kubeconfig, right.replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1'));
  const ask = async () => (await api.request({ method: 'GET', path: '/', signal: t.signal })).status;
  await assert.rejects(ask(), { message: 'the API server 127.0.0.1:1 cannot be reached: ECONNREFUSED' });
  await writeFile(kubeconfig, await readFile(successor.kubeconfig));
  await assert.rejects(ask(), { failure: 'unreachable' });
  assert.equal(await ask(), 200);
});

test('a kubeconfig that was removed after it was read is used on, also after a request that failed', async (t) => {
  const { api, kubeconfig } = await clientOf(t, ({ url }, response) => url === '/' && response.end('{}'));
  const ask = async (path: string, options = {}) =>
    (await api.request({ method: 'GET', path, ...options, signal: t.signal })).status;
  assert.equal(await ask('/'), 200);
  await rm(kubeconfig);
  await assert.rejects(ask('/never', { timeoutMs: 200 }), { failure: 'unreachable' });
  assert.equal(await ask('/'), 200);
});

test('a request is sent again, on a new connection, where the server has closed those that were kept alive', async (t) => {
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let count = 0;
  const { api } = await clientOf(t, ({ socket, url }, response) => {
    count += 1;
    const isKnown = sockets.has(socket);
    sockets.add(socket);
    if (isKnown) socket.resetAndDestroy();
    else if (url === '/together') held.push(() => response.end('{}'));
    else response.end('{}');
    if (held.length === 2) for (const answer of held.splice(0)) answer();
  });
  const ask = async (path: string) => (await api.request({ method: 'GET', path, signal: t.signal })).status;
  assert.deepEqual(await Promise.all([ask('/together'), ask('/together')]), [200, 200]);
  assert.equal(await ask('/'), 200);
  assert.deepEqual([count, sockets.size], [4, 3]);
});

/** Data of 1 MiB and annotations of 256 KiB are the most that Kubernetes takes, which writes three signs as HTML would have them. */
function largestSecret(note: string): string {
  const data = { key: Buffer.alloc(1024 ** 2).toString('base64') };
  const annotations = { note: note.repeat((256 * 1024) / note.length) };
  return JSON.stringify({ data, metadata: { annotations } }).replaceAll('<', String.raw`\u003c`);
}

test('the largest Secret is taken in, and what could fill the memory is not', async (t) => {
  const nodes = (count: number): string => `{"data":[${'{},'.repeat(count)}0]}`;
  const bodies = {
    '/largest': largestSecret('{"a":"b"}'),
    '/brackets': largestSecret('{'),
    '/escaped': largestSecret('<'),
    '/many': nodes(10_000),
    '/too-many': nodes(60_000),
    '/too-long': ' '.repeat(3 * 1024 ** 2) + nodes(1),
  };
  const { api } = await clientOf(t, ({ url }, response) => response.end(bodies[url as keyof typeof bodies]));
  const ask = async (path: keyof typeof bodies) => (await api.request({ method: 'GET', path, signal: t.signal })).body;
  for (const path of ['/largest', '/brackets', '/escaped', '/many'] as const)
    assert.deepEqual(await ask(path), JSON.parse(bodies[path]));
  assert.equal(typeof (await ask('/too-many')), 'undefined');
  await assert.rejects(ask('/too-long'), { message: /: it sent more than 3 MiB, more than any Secret needs$/ });
});

/** Watches until the server ends it, and tells what came. */
async function watched(t: TestContext, answer: RequestListener) {
  const { api } = await clientOf(t, answer);
  const events: WatchEvent[] = [];
  let opened = 0;
  const handlers = { onOpen: () => (opened += 1), onEvent: (event: WatchEvent) => events.push(event) };
  const result = await api.watch('/x', { fieldSelector: 'a=b' }, handlers, { signal: t.signal }).catch(String);
  return { events, opened, result };
}

test('a watch hands on each event, however it is cut into pieces, and nothing that is cut off', async (t) => {
  const text = '{"type":"ADDED","object":{"name":"ä"}}\n{"type":"BOOKMARK","object":null}\n{"type":"cut off';
  let url = '';
  const { events, opened, result } = await watched(t, (request, response) => {
    url = request.url!;
    Readable.from([...Buffer.from(text)].map((byte) => Buffer.of(byte))).pipe(response);
  });
  assert.equal(url, '/x?fieldSelector=a%3Db&watch=true&allowWatchBookmarks=true&timeoutSeconds=300');
  assert.deepEqual(events, [
    { type: 'ADDED', object: { name: 'ä' } },
    { type: 'BOOKMARK', object: null },
  ]);
  assert.deepEqual([opened, result], [1, undefined]);
});

for (const line of ['', 'no JSON', '7', 'null', '{"type":7}']) {
  test(`a watch that sends '${line}', which is no event, is one of something else, and ends`, async (t) => {
    const { events, opened, result } = await watched(t, (_request, response) => {
      response.write(`{"type":"ADDED","object":{}}\n${line}\n{"type":"MODIFIED","object":{}}\n`);
    });
    assert.deepEqual([events.map(({ type }) => type), opened], [['ADDED'], 1]);
    assert.ok(typeof result === 'string');
    assert.match(
      result,
      /^SinkError: the API server 127\.0\.0\.1:\d+ cannot be reached: it sent something that is not a watch event$/,
    );
  });
}

test('a watch that is refused has not begun, and its answer is returned', async (t) => {
  const { opened, result } = await watched(t, (_request, response) => response.writeHead(403).end('{"kind":"Status"}'));
  assert.deepEqual([opened, result], [0, { status: 403, body: { kind: 'Status' }, retryAfterMs: 0 }]);
});

for (const [what, begin] of Object.entries({
  'the refusal of a watch': 'HTTP/1.1 503 Unavailable\r\nContent-Length: 1000000\r\n\r\n',
  'the head of the answer to a watch': 'HTTP/1.1 200 OK\r\nX: ',
})) {
  test(`${what} that comes drop by drop is waited for no longer than any answer`, { timeout: 10_000 }, async (t) => {
    const { api } = await clientOf(t, ({ socket }) => {
      socket.write(begin);
      const dripping = setInterval(() => socket.write('x'), 5);
      socket.on('close', () => clearInterval(dripping));
    });
    const watching = api.watch('/x', {}, { onOpen: () => {}, onEvent: () => {} }, { signal: t.signal, timeoutMs: 50 });
    await assert.rejects(watching, /127\.0\.0\.1:\d+ cannot be reached: no answer within 0\.05 s$/);
  });
}

test('a watch that has begun lasts longer than an answer may take', async (t) => {
  const timeoutMs = 1_000;
  const events: WatchEvent[] = [];
  let end = (): void => {};
  const { api } = await clientOf(t, (_request, response) => {
    response.writeHead(200).flushHeaders();
    end = () => response.end('{"type":"ADDED"}\n');
  });
  const onOpen = (): void => AbortSignal.timeout(timeoutMs).addEventListener('abort', end);
  await api.watch('/x', {}, { onOpen, onEvent: (event) => events.push(event) }, { signal: t.signal, timeoutMs });
  assert.equal(events.length, 1);
});

test('a watch whose connection breaks says that the API server cannot be reached, and at which address', async (t) => {
  const { opened, result } = await watched(t, ({ socket }, response) =>
    response.write('{"type":"ADDED"', () => socket.resetAndDestroy()),
  );
  assert.equal(opened, 1);
  assert.ok(typeof result === 'string');
  assert.match(result, /^SinkError: the API server 127\.0\.0\.1:\d+ cannot be reached: ECONNRESET$/);
});

test('an answer that switches to another protocol (101) is a failure, of a watch too, and keeps nobody waiting', async (t) => {
  const answer: RequestListener = ({ socket }) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  };
  const told = /the API server 127\.0\.0\.1:\d+ cannot be reached: the connection ended without an answer$/;
  const { opened, result } = await watched(t, answer);
  assert.equal(opened, 0);
  assert.ok(typeof result === 'string');
  assert.match(result, told);
  const { api } = await clientOf(t, answer);
  await assert.rejects(api.request({ method: 'GET', path: '/', signal: t.signal }), told);
});

test('an answer that does not come in time is a failure, and a signal is none', async (t) => {
  const { api } = await clientOf(t, () => {});
  const request = { method: 'GET', path: '/', timeoutMs: 50 } as const;
  await assert.rejects(api.request({ ...request, signal: t.signal }), (error) => {
    assert.ok(error instanceof SinkError);
    assert.match(error.message, /^the API server 127\.0\.0\.1:\d+ cannot be reached: no answer within 0\.05 s$/);
    return true;
  });
  const reason = new Error('stopped');
  await assert.rejects(api.request({ ...request, signal: AbortSignal.abort(reason) }), reason);
});

test('a bug is no trouble with the API server, what Node.js refuses to send is', async (t) => {
  const { api, kubeconfig } = await clientOf(t, (_request, response) => response.end('{"type":"ADDED"}\n'));
  const bug = new TypeError('a bug');
  const stumble = (): never => {
    throw bug;
  };
  const ask = async (body: object) => await api.request({ method: 'PATCH', path: '/', body, signal: t.signal });
  await assert.rejects(ask({ toJSON: stumble }), bug);
  await assert.rejects(api.watch('/x', {}, { onOpen: () => {}, onEvent: stumble }, { signal: t.signal }), bug);
  await writeFile(kubeconfig, (await readFile(kubeconfig, 'utf8')).replace('first', String.raw`first\nsecond`));
  const unspeakable = new ApiServer(kubeconfig, 'test').request({ method: 'GET', path: '/', signal: t.signal });
  await assert.rejects(unspeakable, /SinkError.* cannot be reached: ERR_INVALID_CHAR$/);
});
