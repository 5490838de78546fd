import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { test } from 'node:test';
import { generate, type GenerateResult } from 'selfsigned';
import type { ApiServer } from '../../src/kubernetes/api-server.ts';
import { clientFor } from '../support/api-client.ts';
import type { Cleanup } from '../support/sidecar-wait.ts';

const HOUR_MS = 3_600_000;

/** Signed by itself, for the loopback address unless another one is given. */
async function certificateOf({ ip = '127.0.0.1', sinceMs = -HOUR_MS, untilMs = HOUR_MS }): Promise<GenerateResult> {
  return await generate([{ name: 'commonName', value: 'api' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() + sinceMs),
    notAfterDate: new Date(Date.now() + untilMs),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip }] },
    ],
  });
}

/** A client of a server that shows `shown`, by a kubeconfig that trusts `trusted`. */
async function clientOf(t: Cleanup, shown: GenerateResult, trusted = shown): Promise<ApiServer> {
  const server = createServer({ key: shown.private, cert: shown.cert }, (_request, response) => response.end('{}'));
  t.after(() => server.close());
  return (await clientFor(t, server, trusted.cert)).api;
}

test('a certificate that is refused is explained by what to do about it', async (t) => {
  const good = await certificateOf({});
  const { status } = await (await clientOf(t, good)).request({ method: 'GET', path: '/', signal: t.signal });
  assert.equal(status, 200);
  const refused = [
    ['CERT_NOT_YET_VALID', /^check the clock of this machine/, await certificateOf({ sinceMs: HOUR_MS / 2 })],
    ['CERT_HAS_EXPIRED', /^check the clock of this machine/, await certificateOf({ untilMs: -HOUR_MS / 2 })],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /tls-server-name$/, await certificateOf({ ip: '127.0.0.2' })],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /^let the certificate authority of the kubeconfig/, await certificateOf({}), good],
  ] as const;
  for (const [code, remedy, shown, trusted] of refused) {
    const api = await clientOf(t, shown, trusted);
    await assert.rejects(api.request({ method: 'GET', path: '/', signal: t.signal }), {
      failure: 'unreachable',
      message: new RegExp(String.raw`^the API server 127\.0\.0\.1:\d+ cannot be reached: ${code}$`),
      remedy,
    });
  }
});
