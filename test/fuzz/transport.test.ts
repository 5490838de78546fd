import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { SinkError } from '../../src/credential/errors.ts';
import type { ApiServer, WatchEvent } from '../../src/kubernetes/api-server.ts';
import { clientFor } from '../support/api-client.ts';
import { property } from '../support/fuzz.ts';

/** What one connection gets: pieces that arrive one by one, and then its end. */
interface Wire {
  readonly pieces: readonly Buffer[];
  readonly end: 'close' | 'reset';
}

const TIMEOUT_MS = 30_000;

let api: ApiServer;
let wire: Wire;

async function before(t: TestContext): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('data', () => void send(socket, wire));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  ({ api } = await clientFor(t, server));
}

async function send(socket: Socket, { pieces, end }: Wire): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise(setImmediate);
  }
  if (end === 'close') socket.end();
  else socket.resetAndDestroy();
}

const status = fc.oneof(
  { weight: 3, arbitrary: fc.constant('200 OK') },
  fc.constantFrom('100 Continue', '101 Switching Protocols', '103 Early Hints', '204 No', '302 Found', '401 No', '503'),
);
const header = fc.constantFrom(
  'Connection: close',
  'Connection: keep-alive',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'Content-Length: 30',
  'Content-Length: 7',
  'Transfer-Encoding: chunked',
  'Retry-After: 1',
  'no header',
);
const body = fc.oneof(
  fc.constantFrom(
    '',
    '{"a":"ä🙂"}',
    '1e\r\n{"type":"ADDED","object":null}\n\r\n0\r\n\r\n',
    '<html>',
    '\n\n{}\nnull\n7\n',
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);
const message = fc
  .tuple(fc.constantFrom('1.1', '1.1', '1.0'), status, fc.array(header, { maxLength: 3 }), body)
  .map(([version, status, headers, body]) => [`HTTP/${version} ${status}`, ...headers, '', body].join('\r\n'));
/** One answer or several, cut anywhere, in pieces of any length. */
const anyWire: fc.Arbitrary<Wire> = fc
  .record({
    messages: fc.array(message, { minLength: 1, maxLength: 3 }),
    length: fc.oneof({ weight: 2, arbitrary: fc.constant(10_000) }, fc.nat(200)),
    size: fc.oneof(fc.constant(10_000), fc.integer({ min: 1, max: 40 })),
    end: fc.constantFrom('close' as const, 'reset' as const),
  })
  .map(({ messages, length, size, end }) => {
    const bytes = Buffer.from(messages.join('')).subarray(0, length);
    const count = Math.ceil(bytes.length / size);
    const pieces = Array.from({ length: count }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
    return { pieces, end };
  });

property(
  'whatever bytes come in the place of an answer, a request and a watch end with it, with an answer or a failure',
  anyWire,
  async (one) => {
    wire = one;
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    const { promise: hangs, reject } = Promise.withResolvers<never>();
    // Whoever waits for ever does not hear the signal either.
    deadline.addEventListener('abort', () => setImmediate(() => reject(new Error('it hangs'))));
    const events: WatchEvent[] = [];
    const watcher = { onOpen: () => {}, onEvent: (event: WatchEvent) => events.push(event) };
    for (const ask of [
      () => api.request({ method: 'PATCH', path: '/', body: { a: 1 }, signal: deadline }),
      () => api.watch('/', {}, watcher, { signal: deadline }),
    ]) {
      const outcome = await Promise.race([ask().catch((error: unknown) => error), hangs]);
      if (outcome instanceof Error) assert.ok(outcome instanceof SinkError, String(outcome));
    }
    for (const event of events) assert.ok(typeof event === 'object');
  },
  { before, costs: 2 },
);
