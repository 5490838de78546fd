import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect, createServer as createTcpServer, Socket, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { FastifyInstance } from 'fastify';
import { StartupError } from '../../src/credential/errors.ts';
import { createServer, type ServerOptions } from '../../src/http/server.ts';
import { listen, type Address } from '../../src/http/listen.ts';
import { eventually } from '../support/eventually.ts';
import { frozenClock, statusWith } from '../support/statuses.ts';

const LOOPBACK = '127.0.0.1';
const FIXTURES = join(import.meta.dirname, '../fixtures');
const WITHOUT_IPV6 = join(FIXTURES, 'without-ipv6.py');
const WHY_NO_FILTER =
  spawnSync('python3', [WITHOUT_IPV6, 'true']).status === 0
    ? false
    : 'needs Linux with python3, which takes IPv6 away from a process: apt install python3';
const run = promisify(execFile);

function serverWith(t: TestContext, overrides: Partial<ServerOptions> = {}): FastifyInstance {
  const server = createServer({
    clock: frozenClock,
    version: '1.2.3',
    liveness: () => [{ name: 'scheduler', isOk: true, reason: 'last ran 0 s ago' }],
    statuses: async () => await Promise.resolve([statusWith()]),
    renderMetrics: async () => await Promise.resolve({ contentType: 'text/plain', body: '' }),
    log: { error: (fields) => assert.fail(JSON.stringify(fields)) },
    ...overrides,
  });
  t.after(async () => await server.close());
  return server;
}

async function send(port: number, request: string): Promise<string> {
  const socket = connect(port, LOOPBACK);
  socket.write(request);
  return await text(socket);
}

describe('what is hardly HTTP', () => {
  const rows = [
    ['a huge header', `GET /healthz HTTP/1.1\r\nHost: a\r\nX-Any: ${'<b>'.repeat(6_000)}\r\n\r\n`, 431],
    ['garbage', '\u0016\u0003\u0001<b>\r\n\r\n', 400],
    ['a header without a name', 'GET /healthz HTTP/1.1\r\n: <b>\r\n\r\n', 400],
  ] as const;
  for (const [title, request, status] of rows) {
    test(`${title} gets ${status} in a few words, and the connection ends`, async (t) => {
      const { port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
      const [head = '', body] = (await send(port, request)).split('\r\n\r\n');
      assert.match(head, new RegExp(`^HTTP/1.1 ${status} `));
      assert.match(head, /Content-Type: text\/plain; charset=utf-8/);
      assert.match(body ?? '', /^[a-z ]+\n$/);
    });
  }

  test('a GET with a body is answered as one without', async (t) => {
    const { port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
    const request =
      'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{"a":';
    assert.match(await send(port, request), /^HTTP\/1.1 200 OK/);
  });
});

describe('a body that never ends', () => {
  const rows = [
    ['GET /healthz', 'X-Any: a', 200],
    ['POST /healthz', 'X-Any: a', 405],
    ['GET /nothing', 'X-Any: a', 404],
    ['GET /%ff', 'X-Any: a', 400],
    ['QUERY /status', 'Content-Type: a/b', 405],
    ['GET /healthz', 'Expect: nothing', 417],
  ] as const;
  for (const [line, header, status] of rows) {
    test(`ends with the answer, of ${line} with ${header} too`, { timeout: 5_000 }, async (t) => {
      const { port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
      const head = `${line} HTTP/1.1\r\nHost: a\r\n${header}\r\nTransfer-Encoding: chunked\r\n\r\n`;
      assert.match(await send(port, `${head}1\r\na\r\n`), new RegExp(`^HTTP/1.1 ${status} `));
    });
  }
});

test('a body of a length that never comes ends with the answer, too', { timeout: 5_000 }, async (t) => {
  const { port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
  const head = 'GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n';
  assert.match(await send(port, `${head}a`), /^HTTP\/1.1 200 /);
});

describe('a connection', () => {
  const ask = 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n';

  test(
    'is kept for longer than a scrape takes to come again, serves 64 requests, and ends with the last answer',
    { timeout: 5_000 },
    async (t) => {
      const { port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
      const answers = (await send(port, ask.repeat(64))).split('HTTP/1.1 200 OK').slice(1);
      assert.equal(answers.length, 64);
      for (const answer of answers.slice(0, -1)) assert.match(answer, /^Keep-Alive: timeout=75/m);
      assert.match(answers.at(-1)!, /^Connection: close/im);
    },
  );

  test('has one answer made at a time', async (t) => {
    let asked = 0;
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    const renderMetrics = async () => {
      asked += 1;
      await mayAnswer;
      return { contentType: 'text/plain', body: '' };
    };
    const { port } = await listen(serverWith(t, { renderMetrics }), { host: LOOPBACK, port: 0 });
    const answers = send(port, 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n');
    await eventually('the first is asked', () => asked > 0);
    await setImmediate();
    assert.equal(asked, 1);
    answer();
    await answers;
    assert.equal(asked, 2);
  });

  test('is taken from whoever has it longest, where others open one without end', (t) => {
    const { server } = serverWith(t);
    const sockets = Array.from({ length: 601 }, () => new Socket());
    for (const socket of sockets) server.emit('connection', socket);
    assert.deepEqual(
      [...sockets.entries()].filter(([, { destroyed }]) => destroyed).map(([index]) => index),
      [0],
    );
    for (const socket of sockets) socket.destroy();
  });

  test('is lost by who sends more of them without waiting', { timeout: 5_000 }, async (t) => {
    const { port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
    assert.doesNotMatch(await send(port, ask.repeat(65)).catch(String), / 503 /);
  });
});

describe('closing', () => {
  test('takes no time although a connection is kept alive', { timeout: 10_000 }, async (t) => {
    const server = serverWith(t);
    const { port } = await listen(server, { host: LOOPBACK, port: 0 });
    const agent = new Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const [response] = (await once(get({ host: LOOPBACK, port, path: '/healthz', agent }), 'response')) as [
      IncomingMessage,
    ];
    assert.equal(await text(response), 'ok');
    await server.close(); // which else takes as long as that is kept
  });

  test('does not wait for a look at the sinks that hangs', { timeout: 10_000 }, async (t) => {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const server = serverWith(t, {
      deadlineMs: 60_000,
      statuses: async () => {
        ask();
        return await Promise.withResolvers<never>().promise;
      },
    });
    const { port } = await listen(server, { host: LOOPBACK, port: 0 });
    const request = get({ host: LOOPBACK, port, path: '/readyz' });
    const failed = once(request, 'error');
    await asked;
    await server.close();
    await failed;
  });

  test('who hangs up stops the look at the sinks, and nothing is logged', async (t) => {
    const logged: object[] = [];
    const { promise: asked, resolve: ask } = Promise.withResolvers<AbortSignal>();
    const server = serverWith(t, {
      log: { error: (fields) => void logged.push(fields) },
      statuses: async ({ signal }) => {
        ask(signal);
        await once(signal, 'abort');
        throw signal.reason;
      },
    });
    const { port } = await listen(server, { host: LOOPBACK, port: 0 });
    const request = get({ host: LOOPBACK, port, path: '/readyz' });
    request.on('error', () => {});
    const inspection = await asked;
    const aborted = once(inspection, 'abort');
    request.destroy();
    await aborted;
    assert.match(await send(port, 'GET /healthz HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 OK/);
    assert.deepEqual(logged, []);
  });
});

describe('listening', () => {
  test('tells the address and port that it got', async (t) => {
    const { host, port } = await listen(serverWith(t), { host: LOOPBACK, port: 0 });
    assert.equal(host, LOOPBACK);
    assert.ok(port > 0);
  });

  test('reaches IPv4 with "::", whether or not the machine has IPv6', async (t) => {
    const { port } = await listen(serverWith(t), { host: '::', port: 0 });
    assert.match(await send(port, 'GET /healthz HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 OK/);
  });

  test('takes IPv4 alone where there is no IPv6', { skip: WHY_NO_FILTER }, async () => {
    const { stdout } = await run('python3', [WITHOUT_IPV6, process.execPath, `${FIXTURES}/listen-anywhere.ts`]);
    assert.equal((JSON.parse(stdout) as Address).host, '0.0.0.0');
  });

  test('a taken port is a startup error that names it and says what to do', async (t) => {
    const other = createTcpServer().listen(0, LOOPBACK);
    t.after(() => other.close());
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await assert.rejects(listen(serverWith(t), { host: LOOPBACK, port }), (error: unknown) => {
      assert.ok(error instanceof StartupError);
      assert.equal(
        error.message,
        `cannot listen on ${LOOPBACK}:${port}: another process in this pod or on this machine uses the port: stop it, or set http.port to a free one (EADDRINUSE)`,
      );
      return true;
    });
  });

  test('an address that the machine does not have is a startup error', async (t) => {
    // 192.0.2.0/24 is reserved for documentation.
    const taken = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    assert.ok(taken.every(({ address }) => address !== '192.0.2.1'));
    const failure = listen(serverWith(t), { host: '192.0.2.1', port: 0 });
    await assert.rejects(failure, {
      name: 'StartupError',
      message: /192\.0\.2\.1:0: no network interface .* \(EADDRNOTAVAIL\)/,
    });
  });

  test('an address that is none by itself, of a link or a group, is a startup error', async (t) => {
    for (const host of ['fe80::1', 'ff02::1']) {
      const failure = listen(serverWith(t), { host, port: 0 });
      await assert.rejects(failure, {
        name: 'StartupError',
        message: /\[f\S+::1\]:0: nothing can listen on .* \(EINVAL\)/,
      });
    }
  });

  test('a name without an address is a startup error', async (t) => {
    const failure = listen(serverWith(t), { host: 'no-such-name.invalid', port: 0 });
    await assert.rejects(failure, { name: 'StartupError', message: /no-such-name\.invalid:0: the name .* http\.host/ });
  });
});
