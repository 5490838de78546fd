import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar, type Sidecar } from '../support/sidecar.ts';
import { cleanupOfSuite } from '../support/suite.ts';

const options = { timeout: 40_000 };

describe('over a real socket', () => {
  const shared = cleanupOfSuite();
  let sidecar: Sidecar;

  before(async () => {
    sidecar = await (await startSidecar(shared, { workspace: await workspaceFor(shared) })).ready();
  });

  async function open(): Promise<Socket> {
    const socket = connect(sidecar.address);
    socket.on('error', () => {
      // The server may hang up on whoever misbehaves.
    });
    await once(socket, 'connect');
    return socket;
  }

  /** All that comes back until the server closes. */
  async function send(...parts: readonly (string | Buffer)[]): Promise<string> {
    const socket = await open();
    let answer = '';
    socket.on('data', (chunk) => (answer += String(chunk)));
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    socket.once('close', () => resolve()); // also after a reset
    for (const part of parts) socket.write(part);
    await closed;
    return answer;
  }

  async function assertAlive(): Promise<void> {
    assert.equal((await sidecar.get('/healthz')).status, 200);
    assert.equal((await sidecar.get('/readyz')).status, 200);
    assert.deepEqual(
      sidecar.lines.filter(({ level }) => level === 'error' || level === 'fatal'),
      [],
    );
    assert.equal(sidecar.stderr, '');
  }

  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    test(`${method} is answered with 405 and what is allowed`, options, async () => {
      for (const path of ['/healthz', '/readyz', '/metrics', '/status']) {
        const answer = await send(
          `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{"a": "b"`,
        );
        assert.match(answer, /^HTTP\/1\.1 405 /, path);
        assert.match(answer, /^allow: GET, HEAD\r$/im, path);
      }
      await assertAlive();
    });
  }

  test('HEAD is answered like GET, without a body', options, async () => {
    for (const path of ['/healthz', '/readyz', '/metrics', '/status']) {
      const answer = await send(`HEAD ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 200 /, path);
      assert.match(answer, /\r\n\r\n$/, path);
    }
  });

  for (const path of [
    '/',
    '/metrics/',
    '/../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/healthz%00',
    '//healthz',
    '/STATUS',
    '/%',
    '/%zz',
  ]) {
    test(`${path} is not found, or malformed, and not echoed`, options, async () => {
      const answer = await send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 40[04] /);
      assert.doesNotMatch(answer, /passwd|%zz|at .*\(/);
      await assertAlive();
    });
  }

  test('a parameter that is misspelt is refused instead of answering another question', options, async () => {
    for (const query of [
      '?sink=file',
      '?sinks=files',
      '?sinks=file&sinks=secret',
      '?verbose&x=<script>',
      '?__proto__=1',
    ]) {
      const { status, body } = await sidecar.get(`/readyz${query}`);
      assert.equal(status, 400, query);
      assert.doesNotMatch(body, /script/);
    }
  });

  test('what is no HTTP is answered with 400, and the connection is closed', options, async () => {
    const junk = ['hello\r\n\r\n', 'GET\r\n\r\n', '\u{16}\u{3}\u{1}\u{2}\u{0}', 'GET /healthz HTTP/9.9\r\n\r\n'];
    for (const text of junk) assert.match(await send(text), /^HTTP\/1\.1 400 /, JSON.stringify(text));
    assert.match(await send(Buffer.alloc(4_096, 0xff)), /^HTTP\/1\.1 400 /);
    const smuggled =
      'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
    assert.match(await send(smuggled), /^HTTP\/1\.1 400 /);
    await assertAlive();
  });

  test('headers without end are answered with 431', options, async () => {
    const answer = await send('GET /healthz HTTP/1.1\r\nHost: x\r\n', `X-Long: ${'a'.repeat(17_000)}\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 431 /);
    await assertAlive();
  });

  test('a client that never finishes its request is answered with 408, and keeps nobody waiting', options, async () => {
    const answered = send('GET /healthz HTTP/1.1\r\nHo');
    await assertAlive();
    assert.match(await answered, /^HTTP\/1\.1 408 /);
    await assertAlive();
  });

  test(
    'the oldest of too many connections are closed, and probes are answered while the others stay',
    options,
    async () => {
      const sockets = await Promise.all(Array.from({ length: 700 }, open));
      await eventually('the oldest are closed', () => sockets.filter((socket) => socket.closed).length >= 100);
      await assertAlive();
      assert.ok(sockets.filter((socket) => !socket.closed).length > 500);
      for (const socket of sockets) socket.destroy();
    },
  );

  test(
    'thousands of requests that wait for no answer cost the connection, and nobody else waits',
    options,
    async () => {
      const pipelined = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2_000);
      const answers = await Promise.all(Array.from({ length: 8 }, async () => await send(pipelined)));
      for (const answer of answers) assert.ok(answer.split('HTTP/1.1 200').length <= 65);
      await assertAlive();
    },
  );

  test('many requests at once are all answered', options, async () => {
    const pipelined = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(50);
    const answer = await send(pipelined, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 51);
    const statuses = await Promise.all(Array.from({ length: 60 }, async () => (await sidecar.get('/status')).status));
    assert.deepEqual(new Set(statuses), new Set([200]));
    await assertAlive();
  });

  test('clients that hang on do not hold up the end', options, async () => {
    const idle = await open();
    const half = await open();
    half.write('GET /metrics HTTP/1.1\r\n');
    const { code } = await sidecar.stop(); // which else takes as long as they hang on
    assert.equal(code, 0);
    for (const socket of [idle, half]) socket.destroy();
  });
});
