import { unwantedPort } from './ports.ts';
import { createSigner } from './tokens.ts';
import { Workspace, type WorkspaceOptions } from './workspace-server.ts';

export type { Workspace };

export async function startWorkspace(options: WorkspaceOptions = {}): Promise<Workspace> {
  const [signer, subjectSigner] = await Promise.all([createSigner(), createSigner()]);
  // After an outage it listens there again.
  const workspace = new Workspace({ ...options, port: options.port ?? (await unwantedPort()) }, signer, subjectSigner);
  await workspace.listen();
  return workspace;
}

/** A process of its own: one line of JSON tells where it is and who may log in, any signal ends it. */
async function main(tokenLifetimeSeconds: string | undefined): Promise<void> {
  const workspace = await startWorkspace({ tokenLifetimeMs: Number(tokenLifetimeSeconds) * 1000 });
  const { url, clientId, clientSecret } = workspace;
  console.log(JSON.stringify({ url, clientId, clientSecret }));
}

if (process.argv[1] === import.meta.filename) await main(process.argv[2]);
