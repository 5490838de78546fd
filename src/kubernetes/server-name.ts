import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';

/**
 * What a kubeconfig has as `tls-server-name` may be an address, as where a tunnel leads to a server that has no name. As with
 * kubectl the certificate must be for that address then, and the server is asked for no name: Node.js refuses to ask for one
 * that is an address.
 */
export function serverNameOptions(name: string | undefined): RequestOptions {
  if (name === undefined || isIP(name) === 0) return {};
  return { servername: '', checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate) };
}
