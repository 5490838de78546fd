import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { ApiServer } from '../../src/kubernetes/api-server.ts';
import type { SecretSinkOptions } from '../../src/sinks/secret.ts';
import { type Cleanup, temporaryDirectory } from './cleanup.ts';

export interface Client {
  readonly api: ApiServer;
  readonly kubeconfig: string;
}

/** The text of a kubeconfig; whatever certificate the server shows is taken, unless an authority is given. */
export function kubeconfigOf(server: string, token: string, authority?: string): string {
  const trust =
    authority === undefined
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': Buffer.from(authority).toString('base64') };
  return JSON.stringify({
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server, ...trust } }],
    users: [{ name: 'u', user: { token } }],
  });
}

/**
 * A client of a server in the place of the API server: without TLS, or with it where an authority is given. Whoever made
 * the server ends it.
 */
export async function clientFor(t: Cleanup, server: Server, authority?: string): Promise<Client> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const scheme = authority === undefined ? 'http' : 'https';
  const kubeconfig = join(await temporaryDirectory(t), 'kubeconfig');
  await writeFile(kubeconfig, kubeconfigOf(`${scheme}://127.0.0.1:${port}`, 'first', authority));
  return { api: new ApiServer(kubeconfig, 'test'), kubeconfig };
}

/** A client of whatever answers; it logs in with the token in the kubeconfig. */
export async function clientOf(t: Cleanup, answer: RequestListener): Promise<Client> {
  const server = createServer(answer);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return await clientFor(t, server);
}

/** In the place of a client: what is not given fails. */
export function fakeApi({
  prepare = async () => {},
  ...given
}: Partial<SecretSinkOptions['api']>): SecretSinkOptions['api'] {
  const fail = async (): Promise<never> => await Promise.reject(new Error('nobody should ask for this'));
  return { prepare, request: fail, watch: fail, ...given };
}
