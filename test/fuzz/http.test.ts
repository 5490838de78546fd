import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { Registry } from 'prom-client';
import { listen } from '../../src/http/listen.ts';
import { createServer } from '../../src/http/server.ts';
import { damaged, property } from '../support/fuzz.ts';
import { CANARY, frozenClock, holding, credentialWith, statusWith } from '../support/statuses.ts';

const LOOPBACK = '127.0.0.1';
let port = 0;
let agent: Agent;
let isReady = true;
const logged: unknown[] = [];
let answered = 0;

async function before(t: TestContext): Promise<void> {
  const registry = new Registry();
  const ready = [statusWith()];
  const expired = [statusWith({ sinks: [holding(credentialWith({ leftMs: -1_000 }))] })];
  const server = createServer({
    clock: frozenClock,
    version: '1.2.3',
    liveness: () => [{ name: 'scheduler', isOk: true, reason: 'last ran 0 s ago' }],
    statuses: async () => await Promise.resolve(isReady ? ready : expired),
    renderMetrics: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
    log: { error: (fields) => logged.push(fields) },
  });
  t.after(async () => await server.close());
  ({ port } = await listen(server, { host: LOOPBACK, port: 0 }));
  agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  t.after(() => t.diagnostic(`${answered} were answered`));
}

const method = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('GET', 'HEAD') },
  fc.constantFrom('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT', 'PROPFIND', 'QUERY', 'PRI', 'get'),
  fc.string({ maxLength: 8 }),
);
const query = fc.oneof(
  fc.constantFrom(
    '',
    '?',
    '?verbose',
    '?sinks=file',
    '?sinks=secret&verbose',
    '?sinks=a',
    '?sinks=file&sinks=secret',
    '?__proto__=1',
    '?verbose[a]=1',
  ),
  fc.webQueryParameters().map((parameters) => `?${parameters}`),
  fc.string({ unit: 'binary' }).map((text) => `?${text}`),
);
const target = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom('/healthz', '/readyz', '/metrics', '/status', '/', '//', '/%2e%2e/status', '/status/'),
        query,
      )
      .map((parts) => parts.join('')),
  },
  fc.constantFrom('*', '%', '/%', '/%E0%A4', 'http://a/healthz', 'https://a:1/status?verbose', '/healthz#a', '/a:b@c'),
  fc.webPath(),
  fc.string({ unit: 'binary' }),
);
const header = fc.oneof(
  fc.constantFrom(
    'Connection: keep-alive',
    'Connection: upgrade',
    'Upgrade: websocket',
    'Upgrade: h2c',
    'Expect: 100-continue',
    'Expect: 200',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Content-Length: 5',
    'Content-Length: 0',
    'Content-Length: -1',
    'Content-Length: 99999999999999999999',
    'Content-Type: application/json',
    'Content-Type: text/plain; charset=utf-16',
    'Content-Type: ;;;',
    'Accept: text/html',
    'Accept: application/openmetrics-text; version=1.0.0; q=0.5',
    'Accept: ;q=,',
    'Host: b',
    'Accept-Encoding: gzip',
    'If-None-Match: *',
    'Range: bytes=0-1',
    'Cookie: a=b',
    'Te: trailers',
    'Accept-Version: 9.9.9',
  ),
  fc.tuple(fc.string({ maxLength: 10 }), fc.string({ unit: 'binary', maxLength: 30 })).map((pair) => pair.join(': ')),
);
const body = fc.oneof(
  fc.constant(''),
  fc.constantFrom('hello', '5\r\nhello\r\n0\r\n\r\n', '{"a":', 'zz\r\n'),
  fc.string({ unit: 'binary' }),
);
const request = fc
  .tuple(
    method,
    target,
    fc.constantFrom('1.1', '1.1', '1.0', '2.0', '0.9', '9'),
    fc.array(header, { maxLength: 4 }),
    body,
  )
  .map(([method, target, version, headers, body]) =>
    [`${method} ${target} HTTP/${version}`, 'Host: a', ...headers, '', body].join('\r\n'),
  );
/** Some in one connection, and whatever else may come over one. */
const bytes = fc.oneof(
  { weight: 4, arbitrary: request.map((text) => Buffer.from(text)) },
  damaged(request).map((text) => Buffer.from(text, 'latin1')),
  fc.array(request, { minLength: 2, maxLength: 3 }).map((requests) => Buffer.from(requests.join(''))),
  fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
);

property(
  'no bytes are answered with 5xx, but for the 503 of a probe, nor logged, nor echoed, and the next one is answered',
  fc.tuple(bytes, fc.boolean(), fc.boolean()),
  async ([bytes, ready, hangsUp]) => {
    isReady = ready;
    logged.length = 0;
    const answer = await exchange(bytes, hangsUp);
    // There is no Secret among the sinks, and a probe that checks nothing does not pass.
    const isUnready = !ready || bytes.includes('sinks=secret');
    for (const [, status = ''] of answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)) {
      const isAllowed = Number(status) < 500 || (status === '503' && isUnready) || status === '505';
      assert.ok(isAllowed, answer);
    }
    assert.ok(answer === '' || answer.startsWith('HTTP/1.1 '), answer);
    assert.ok(!answer.includes(CANARY));
    assert.deepEqual(logged, []);
    const [healthz] = (await once(get({ host: LOOPBACK, port, path: '/healthz', agent }), 'response')) as [
      IncomingMessage,
    ];
    assert.equal(healthz.statusCode, 200);
    assert.equal(await text(healthz), 'ok');
  },
  { before, costs: 10 },
);

/** A request that is not whole waits for more, and this long is patience enough. */
const PATIENCE_MS = 20;

/** All that comes back, to a client that hangs up at once or when it has an answer. */
async function exchange(bytes: Buffer, hangsUp: boolean): Promise<string> {
  const socket = connect(port, LOOPBACK);
  if (hangsUp) {
    socket.end(bytes);
  } else {
    socket.write(bytes);
    socket.setTimeout(PATIENCE_MS, () => socket.end());
    socket.once('data', () => socket.end());
  }
  let answer = '';
  try {
    for await (const chunk of socket.setEncoding('latin1')) answer += chunk as string;
  } catch {
    // A connection that is cut off has said what it had to.
  }
  if (answer !== '') answered += 1;
  return answer;
}
