import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFile, writeFile } from 'node:fs/promises';
import type { ClientRequest } from 'node:http';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ApiServer, type WatchHandlers } from '../../src/kubernetes/api-server.ts';
import { clientOf } from '../support/api-client.ts';

const HANDLERS: WatchHandlers = { onOpen: () => {}, onEvent: () => {} };

/** What is sent from now on, as Node.js tells it. */
function sentBy(t: TestContext): ClientRequest[] {
  const sent: ClientRequest[] = [];
  const hear = (message: unknown): void => void sent.push((message as { readonly request: ClientRequest }).request);
  subscribe('http.client.request.start', hear);
  t.after(() => unsubscribe('http.client.request.start', hear));
  return sent;
}

test('a signal ends what waits for an answer, and a watch that is open, at once and with its own reason', async (t) => {
  const { promise: asked, resolve: isAsked } = Promise.withResolvers<void>();
  const { api } = await clientOf(t, ({ url }, response) => {
    if (url === '/never') isAsked();
    else response.writeHead(200).flushHeaders();
  });
  const reason = new Error('stopped');
  const stop = new AbortController();
  const waiting = assert.rejects(api.request({ method: 'GET', path: '/never', signal: stop.signal }), reason);
  const { promise: opened, resolve: onOpen } = Promise.withResolvers<void>();
  const watching = assert.rejects(api.watch('/x', {}, { ...HANDLERS, onOpen }, { signal: stop.signal }), reason);
  await Promise.all([asked, opened]);
  stop.abort(reason);
  await Promise.all([waiting, watching]);
});

test('a watch has a connection of its own, whatever was kept alive, and leaves none behind', async (t) => {
  const { promise: closed, resolve: isClosed } = Promise.withResolvers<void>();
  const ports: (number | undefined)[] = [];
  const { api } = await clientOf(t, ({ socket, url }, response) => {
    ports.push(socket.remotePort);
    if (url?.startsWith('/x') === true) socket.on('close', isClosed);
    response.end('{}');
  });
  const ask = async (): Promise<unknown> => await api.request({ method: 'GET', path: '/', signal: t.signal });
  await ask();
  await api.watch('/x', {}, HANDLERS, t);
  await closed;
  await ask();
  const [first, ofWatch, last] = ports;
  assert.equal(last, first);
  assert.notEqual(ofWatch, first);
});

test(
  'what refuses a login, and does not end, is not read while the watch that it refused goes on',
  { timeout: 10_000 },
  async (t) => {
    const { promise: closed, resolve: isClosed } = Promise.withResolvers<void>();
    const statuses = [200, 401];
    const { api } = await clientOf(t, ({ socket }, response) => {
      const status = statuses.pop()!;
      if (status === 401) socket.on('close', isClosed);
      response.writeHead(status).write('{');
    });
    const { promise: opened, resolve: onOpen } = Promise.withResolvers<void>();
    const stop = new AbortController();
    const watching = assert.rejects(api.watch('/x', {}, { ...HANDLERS, onOpen }, stop), { name: 'AbortError' });
    await Promise.all([opened, closed]);
    stop.abort();
    await watching;
  },
);

test('a connection that nobody has used for ten seconds is closed, and the next request has another one', async (t) => {
  const { promise: closed, resolve: isClosed } = Promise.withResolvers<void>();
  const sent = sentBy(t);
  const { api } = await clientOf(t, ({ socket }, response) => {
    socket.on('close', isClosed);
    // Without this Node.js would say how long it keeps the connection; an API server does not.
    response.writeHead(200, { connection: 'keep-alive' }).end('{}');
  });
  const ask = async (): Promise<unknown> => await api.request({ method: 'GET', path: '/', signal: t.signal });
  await ask();
  await ask();
  const [first, second] = sent.map(({ socket }) => socket!);
  assert.equal(first, second);
  await setImmediate(); // it is kept only once the answer has been taken in
  assert.equal(second?.timeout, 10_000);
  second.emit('timeout');
  await closed;
  await ask();
  assert.notEqual(sent[2]?.socket, first);
});

test('a watch of which nothing is heard for longer than the server is ever silent has died', async (t) => {
  const sent = sentBy(t);
  const { api } = await clientOf(t, (_request, response) => response.writeHead(200).flushHeaders());
  const onOpen = (): void => {
    const { socket } = sent[0]!;
    assert.equal(socket?.timeout, 90_000, 'there is a bookmark each minute');
    socket.emit('timeout');
  };
  await assert.rejects(api.watch('/x', {}, { ...HANDLERS, onOpen }, t), {
    failure: 'unreachable',
    message: /cannot be reached: no data received for too long$/,
  });
});

for (const what of ['request', 'watch']) {
  test(`after a ${what} that fails, connections that were kept alive are not used any more: they may be dead`, async (t) => {
    const ports: (number | undefined)[] = [];
    const held: (() => void)[] = [];
    const { api } = await clientOf(t, ({ socket, url }, response) => {
      if (url?.startsWith('/never') === true) return;
      ports.push(socket.remotePort);
      if (url === '/together') held.push(() => response.end('{}'));
      else response.end('{}');
      if (held.length === 2) for (const answer of held.splice(0)) answer();
    });
    const options = { signal: t.signal, timeoutMs: 100 };
    const ask = async (path: string): Promise<unknown> => await api.request({ method: 'GET', path, signal: t.signal });
    await Promise.all([ask('/together'), ask('/together')]);
    const failing =
      what === 'watch'
        ? api.watch('/never', {}, HANDLERS, options)
        : api.request({ method: 'GET', path: '/never', ...options });
    await assert.rejects(failing, /no answer within 0\.1 s$/);
    await ask('/');
    const [first, second, after] = ports;
    assert.ok(after !== first && after !== second, ports.join());
  });
}

test('what fails otherwise than by the end of a connection that was kept alive is not sent again', async (t) => {
  let count = 0;
  const { api } = await clientOf(t, ({ socket, url }, response) => {
    count += 1;
    if (url === '/') response.end('{}');
    else if (url === '/reset') socket.resetAndDestroy();
    else socket.end('no HTTP\r\n\r\n');
  });
  const ask = async (path: string): Promise<unknown> => await api.request({ method: 'GET', path, signal: t.signal });
  await assert.rejects(ask('/reset'), /cannot be reached: ECONNRESET$/);
  assert.equal(count, 1);
  await ask('/');
  await assert.rejects(ask('/garbage'), /cannot be reached: HPE_INVALID_CONSTANT$/);
  assert.equal(count, 3);
});

test('whoever prepares learns without a request that it is not known where the API server is', async (t) => {
  const { api } = await clientOf(t, () => assert.fail('asked'));
  await api.prepare(t);
  const nowhere = new ApiServer('/nowhere/kubeconfig', 'test');
  await assert.rejects(nowhere.prepare(t), { failure: 'refused', message: /\/nowhere\/kubeconfig cannot be read/ });
  const reason = new Error('stopped');
  await assert.rejects(api.prepare({ signal: AbortSignal.abort(reason) }), reason);
});

test('a login that cannot be read is looked for again at the next request', async (t) => {
  const { api, kubeconfig } = await clientOf(t, (_request, response) => response.end('{}'));
  const text = await readFile(kubeconfig, 'utf8');
  await writeFile(kubeconfig, text.replace('"token":"first"', '"tokenFile":"token"'));
  await assert.rejects(api.prepare(t), { failure: 'refused', message: /\/token ENOENT$/ });
  await writeFile(join(dirname(kubeconfig), 'token'), 'second');
  assert.equal((await api.request({ method: 'GET', path: '/', signal: t.signal })).status, 200);
});

test('a request says who asks, what it wants, and what it sends', async (t) => {
  const heard: unknown[] = [];
  const { api } = await clientOf(t, (request, response) => {
    const { headers, method, url } = request;
    const { accept, authorization, 'content-length': length, 'content-type': type, 'user-agent': agent } = headers;
    request.on('data', (body: Buffer) => {
      heard.push({ method, url, accept, authorization, length, type, agent, body: body.toString() });
      response.end('{}');
    });
  });
  const body = { word: 'ä' };
  await api.request({ method: 'POST', path: '/a', query: { b: 'c d' }, body, signal: t.signal });
  assert.deepEqual(heard[0], {
    method: 'POST',
    url: '/a?b=c+d',
    accept: 'application/json',
    authorization: 'Bearer first',
    length: '13',
    type: 'application/json',
    agent: 'test',
    body: '{"word":"ä"}',
  });
});
