import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import Fastify from 'fastify';
import { listen } from '../../src/http/listen.ts';
import { answerInTurn } from '../../src/http/limits.ts';
import { eventually } from '../support/sidecar-wait.ts';

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
