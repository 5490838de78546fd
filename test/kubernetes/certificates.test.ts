import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { generate, type GenerateResult } from 'selfsigned';
import type { ApiServer } from '../../src/kubernetes/api-server.ts';
import { clientFor } from '../support/api-client.ts';
import type { Cleanup } from '../support/cleanup.ts';
import { HOUR_MS } from '../support/fakes.ts';

interface Certificate {
  readonly name?: string;
  readonly ip?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
  /** Signed by itself when left out. */
  readonly by?: GenerateResult;
}

/** For the loopback address unless another one is given. */
async function certificateOf({
  name = randomUUID(),
  ip = '127.0.0.1',
  sinceMs = -HOUR_MS,
  untilMs = HOUR_MS,
  by,
}: Certificate): Promise<GenerateResult> {
  return await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    ...(by !== undefined && { ca: { key: by.private, cert: by.cert } }),
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() + sinceMs),
    notAfterDate: new Date(Date.now() + untilMs),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip }] },
    ],
  });
}

/** A client of a server that shows `shown`, and says which one it was asked for, by a kubeconfig that trusts `trusted`, and may name what is in the certificate. */
async function clientOf(t: Cleanup, shown: GenerateResult, trusted = shown, serverName?: string): Promise<ApiServer> {
  const server = createServer({ key: shown.private, cert: shown.cert }, ({ socket }, response) => {
    assert.ok(socket instanceof TLSSocket);
    response.end(JSON.stringify({ askedFor: socket.servername }));
  });
  t.after(() => server.close());
  const { api, kubeconfig } = await clientFor(t, server, trusted.cert);
  const text = await readFile(kubeconfig, 'utf8');
  if (serverName !== undefined) {
    await writeFile(kubeconfig, text.replace('"server":', `"tls-server-name":${JSON.stringify(serverName)},"server":`));
  }
  return api;
}

/** What a server shows whose authority is not the one that is trusted, and what Node.js calls that. */
async function byOtherAuthorities(trusted: GenerateResult) {
  const remedy = /^make sure that the certificate authority in the kubeconfig/;
  const root = await certificateOf({ name: 'kubernetes' });
  const leaf = await certificateOf({ by: root });
  const chain = { ...leaf, cert: `${leaf.cert}\n${root.cert}` };
  return [
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', remedy, leaf, trusted],
    ['SELF_SIGNED_CERT_IN_CHAIN', remedy, chain, trusted],
    // As after a cluster was set up anew.
    ['CERT_SIGNATURE_FAILURE', remedy, leaf, await certificateOf({ name: 'kubernetes' })],
  ] as const;
}

test('a certificate that is refused is explained by what to do about it', async (t) => {
  const good = await certificateOf({});
  const { status } = await (await clientOf(t, good)).request({ method: 'GET', path: '/', signal: t.signal });
  assert.equal(status, 200);
  const refused = [
    ['CERT_NOT_YET_VALID', /^check the clock of this machine/, await certificateOf({ sinceMs: HOUR_MS / 2 })],
    ['CERT_HAS_EXPIRED', /^check the clock of this machine/, await certificateOf({ untilMs: -HOUR_MS / 2 })],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /tls-server-name$/, await certificateOf({ ip: '127.0.0.2' })],
    [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      /^make sure that the certificate authority in the kubeconfig/,
      await certificateOf({}),
      good,
    ],
    ...(await byOtherAuthorities(good)),
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

test('an authority that another one has signed is enough, as it is for kubectl: a cluster may have an intermediate one', async (t) => {
  const intermediate = await certificateOf({ by: await certificateOf({}) });
  const shown = await certificateOf({ by: intermediate });
  const { status } = await (
    await clientOf(t, shown, intermediate)
  ).request({ method: 'GET', path: '/', signal: t.signal });
  assert.equal(status, 200);
  const stranger = await clientOf(t, await certificateOf({ by: await certificateOf({}) }), intermediate);
  await assert.rejects(stranger.request({ method: 'GET', path: '/', signal: t.signal }), {
    message: /cannot be reached: UNABLE_TO_GET_ISSUER_CERT_LOCALLY$/,
    remedy: /^make sure that the certificate authority in the kubeconfig/,
  });
});

test('a kubeconfig may name an address that the certificate is for, as it may for kubectl, and no name is asked for: a tunnel leads from another one', async (t) => {
  const shown = await certificateOf({ ip: '10.0.0.1' });
  const tunnel = await clientOf(t, shown, shown, '10.0.0.1');
  const ask = async (api: ApiServer) => await api.request({ method: 'GET', path: '/', signal: t.signal });
  const { status, body } = await ask(tunnel);
  assert.deepEqual([status, body], [200, { askedFor: false }]);
  let isOpen = false;
  await tunnel.watch('/', {}, { onOpen: () => (isOpen = true), onEvent: () => {} }, { signal: t.signal });
  assert.ok(isOpen);
  const ofLoopback = await certificateOf({});
  await assert.rejects(ask(await clientOf(t, ofLoopback, ofLoopback, '10.0.0.1')), {
    message: /cannot be reached: ERR_TLS_CERT_ALTNAME_INVALID$/,
  });
});
