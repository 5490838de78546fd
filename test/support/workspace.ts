import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { JSONWebKeySet } from 'jose';
import { unwantedPort } from './ports.ts';
import { createSigner } from './tokens.ts';
import { trust } from './workspace-oidc.ts';
import { Workspace, type WorkspaceOptions } from './workspace-server.ts';

export type { Workspace };

export async function startWorkspace(options: WorkspaceOptions = {}): Promise<Workspace> {
  const [signer, subjectSigner] = await Promise.all([createSigner(), createSigner()]);
  // After an outage it listens there again.
  const workspace = new Workspace({ ...options, port: options.port ?? (await unwantedPort()) }, signer, subjectSigner);
  await workspace.listen();
  return workspace;
}

/** A process of its own: one line of JSON tells where it is, any signal ends it. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      host: { type: 'string' },
      port: { type: 'string' },
      'public-url': { type: 'string' },
      'client-id': { type: 'string' },
      'client-secret': { type: 'string' },
      'token-lifetime-seconds': { type: 'string' },
      'trusted-jwks': { type: 'string' },
      'trusted-issuer': { type: 'string' },
      'trusted-audience': { type: 'string', default: 'databricks' },
    },
  });
  const { 'trusted-jwks': jwksFile, 'trusted-issuer': issuer, 'token-lifetime-seconds': lifetime } = values;
  if ((jwksFile === undefined) !== (issuer === undefined)) {
    throw new Error('--trusted-jwks and --trusted-issuer belong together');
  }
  const workspace = await startWorkspace({
    host: values.host,
    port: Number(values.port ?? 0),
    publicUrl: values['public-url'],
    clientId: values['client-id'],
    clientSecret: values['client-secret'],
    tokenLifetimeMs: lifetime === undefined ? undefined : Number(lifetime) * 1000,
    verifySubjectToken:
      jwksFile === undefined || issuer === undefined
        ? undefined
        : trust({
            jwks: JSON.parse(await readFile(jwksFile, 'utf8')) as JSONWebKeySet,
            issuer,
            audience: values['trusted-audience'],
          }),
  });
  const { url, clientId, clientSecret } = workspace;
  console.log(JSON.stringify({ url, clientId, clientSecret, jwksUri: `${url}/oidc/jwks.json` }));
}

if (process.argv[1] === import.meta.filename) await main();
