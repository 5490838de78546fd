import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
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
