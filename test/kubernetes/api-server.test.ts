import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ApiServer } from '../../src/kubernetes/api-server.ts';
import { temporaryDirectory } from '../support/sidecar-wait.ts';

/** A client of a server that has no time, and asks for as many seconds as its path says. */
async function clientOfBusyServer(t: TestContext): Promise<ApiServer> {
  const server = createServer((request, response) => {
    response.writeHead(429, { 'retry-after': request.url!.slice(1) }).end('{}');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const kubeconfig = join(await temporaryDirectory(t), 'kubeconfig');
  const { port } = server.address() as AddressInfo;
  await writeFile(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: {} }],
    }),
  );
  return new ApiServer(kubeconfig, 'test');
}

test('a server that asks for time gets it, but no more than a minute: a token may expire meanwhile', async (t) => {
  const api = await clientOfBusyServer(t);
  const waits: number[] = [];
  for (const asked of ['7', '60', '3600', '1e9', '0', '-1', 'soon']) {
    const { retryAfterMs } = await api.request({ method: 'GET', path: `/${asked}`, signal: t.signal });
    waits.push(retryAfterMs);
  }
  assert.deepEqual(waits, [7_000, 60_000, 60_000, 60_000, 0, 0, 0]);
});
