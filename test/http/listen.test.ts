import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import Fastify from 'fastify';
import { limitConnections } from '../../src/http/limits.ts';
import { listen } from '../../src/http/listen.ts';

/** What cannot be brought about on every machine. */
const refusals = {
  EACCES: { name: 'StartupError', message: /^cannot listen on 127\.0\.0\.1:80: .* set http\.port .* \(EACCES\)$/ },
  EAFNOSUPPORT: { name: 'StartupError', message: /set http\.host to "0\.0\.0\.0" \(EAFNOSUPPORT\)$/ },
  EAI_AGAIN: { name: 'StartupError', message: /set http\.host .* \(EAI_AGAIN\)$/ },
  EAI_FAIL: { name: 'StartupError', message: /set http\.host .* \(EAI_FAIL\)$/ },
  EMFILE: { name: 'Error', message: 'as it was' },
};

for (const [code, expected] of Object.entries(refusals)) {
  test(`${code} is ${expected.name === 'Error' ? 'a bug, because no setting mends it' : 'a startup error that names the setting'}`, async () => {
    const server = Fastify();
    server.listen = () => Promise.reject(Object.assign(new Error('as it was'), { code }));
    await assert.rejects(listen(server, { host: '127.0.0.1', port: 80 }), expected);
  });
}

/** Linux has all of 127.0.0.0/8. */
const hasSecond = await once(createServer().listen(0, '127.0.0.2').unref(), 'listening').then(
  () => true,
  () => false,
);
const skip = !hasSecond && 'it needs 127.0.0.2: `sudo ifconfig lo0 alias 127.0.0.2 && npm test`';

test('localhost is what this machine calls so', async (t) => {
  const server = Fastify();
  t.after(async () => await server.close());
  const { host } = await listen(server, { host: 'localhost', port: 0 });
  assert.equal(host, (await lookup('localhost')).address);
});

test('one limit holds at all addresses of localhost, and all of them are closed together', { skip }, async (t) => {
  const server = Fastify({ forceCloseConnections: true });
  limitConnections(server.server);
  server.get('/', (_request, reply) => reply.send('here'));
  // 192.0.2.0/24 is reserved for documentation: no machine has it.
  const addresses = ['127.0.0.1', '192.0.2.1', '127.0.0.2'];
  const { host, port } = await listen(server, { host: 'localhost', port: 0 }, (name) =>
    Promise.resolve(name === 'localhost' ? addresses : []),
  );
  t.after(async () => await server.close());
  assert.equal(host, '127.0.0.1');
  const open = async (address: string): Promise<Socket> => {
    const socket = connect(port, address);
    await once(socket, 'connect');
    return socket.on('error', () => {});
  };
  const oldest = await open('127.0.0.2');
  const closed = once(oldest, 'close');
  oldest.resume();
  const others = await Promise.all(Array.from({ length: 600 }, (_, i) => open(`127.0.0.${1 + (i % 2)}`)));
  await closed;
  for (const address of ['127.0.0.1', '127.0.0.2']) {
    const asking = await open(address);
    asking.write('GET / HTTP/1.0\r\n\r\n');
    assert.match(await text(asking), /^HTTP\/1\.1 200 [^]*here$/, address);
  }
  await server.close();
  for (const socket of others) socket.destroy();
  for (const address of ['127.0.0.1', '127.0.0.2']) await assert.rejects(open(address), { code: 'ECONNREFUSED' });
});
