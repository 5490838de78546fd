import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import Fastify from 'fastify';
import { listen } from '../../src/http/listen.ts';
import { answerInTurn, limitConnections } from '../../src/http/limits.ts';
import { eventually } from '../support/eventually.ts';

test('what is asked on one connection is answered one after the other', async (t) => {
  const server = Fastify();
  answerInTurn(server);
  const handled: string[] = [];
  const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
  server.get('/:name', (request, reply) => {
    handled.push(request.url);
    void mayAnswer.then(() => reply.send('ok'));
    return reply;
  });
  t.after(async () => await server.close());
  const socket = connect(await listen(server, { host: '127.0.0.1', port: 0 }));
  t.after(() => socket.destroy());
  let answers = '';
  socket.on('data', (chunk) => (answers += String(chunk)));
  socket.write(['/a', '/b', '/c'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  await eventually('the first is handled', () => handled.length > 0);
  await setImmediate();
  assert.deepEqual(handled, ['/a']);
  answer();
  await eventually('all are answered', () => answers.split('HTTP/1.1 200').length === 4);
  assert.deepEqual(handled, ['/a', '/b', '/c']);
  socket.end();
  await once(socket, 'close');
});

test('one connection too many closes the oldest that is still open, and no other', async () => {
  const server = createServer();
  limitConnections(server);
  const sockets: Socket[] = [];
  const arrive = (count: number): number[] => {
    const arrived = Array.from({ length: count }, () => new Socket());
    sockets.push(...arrived);
    for (const socket of arrived) server.emit('connection', socket);
    return [...sockets.entries()].filter(([, { destroyed }]) => destroyed).map(([index]) => index);
  };
  assert.deepEqual(arrive(600), []);
  sockets[1]!.destroy();
  await once(sockets[1]!, 'close');
  assert.deepEqual(arrive(1), [1], 'there was room again');
  assert.deepEqual(arrive(1), [0, 1]);
  assert.deepEqual(arrive(2), [0, 1, 2, 3], 'also of those that come at once');
});

test('who sends more requests than one connection may, without waiting for answers, loses it', async (t) => {
  const server: Server = createServer((_request, response) => response.end());
  server.maxRequestsPerSocket = 3;
  limitConnections(server);
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(4));
  assert.doesNotMatch(await text(socket), / 503 /, 'nothing is answered to what is too much');
});
