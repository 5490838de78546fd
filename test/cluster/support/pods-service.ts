import type { JSONWebKeySet } from 'jose';
import { certificateFor } from '../../support/certificate.ts';
import { startLakebase, type Lakebase } from '../../support/lakebase.ts';
import { unwantedPort } from '../../support/ports.ts';
import { startPostgres } from '../../support/postgres.ts';
import { undoAfter, type Cleanup } from '../../support/cleanup.ts';
import { trust, type VerifySubjectToken } from '../../support/workspace-oidc.ts';
import { startWorkspace, type Workspace } from '../../support/workspace.ts';
import type { Cluster } from '../cluster.ts';
import { workspaceCertificate } from './pods-certificate.ts';

/** As the examples in manifests/ have them: pods find the stand-ins under the names of the service. */
export const LAKEBASE_HOST = 'ep-calm-river-a1b2c3.database.us-east-1.cloud.databricks.com';
export const CLIENT_ID = '0f1e2d3c-0000-4000-8000-000000000001';
export const DATABASE = 'databricks_postgres';

/** The stand-in workspace, and a stand-in Lakebase with a real PostgreSQL behind it, where pods can reach them. */
export interface Service {
  readonly workspace: Workspace;
  readonly lakebase: Lakebase;
  /** The address for LAKEBASE_HOST. */
  readonly address: string;
}

export interface ServiceOptions {
  readonly tokenLifetimeMs?: number;
  /** Who is trusted; nobody but `workspace.serviceAccountToken()` when left out. */
  readonly verifySubjectToken?: VerifySubjectToken;
  /** The workspace speaks TLS, as whoever installs the chart must have it; the sidecar's image trusts it. */
  readonly isSecure?: boolean;
}

export async function startService(t: Cleanup, cluster: Cluster, options: ServiceOptions = {}): Promise<Service> {
  const port = await unwantedPort();
  const address = cluster.hostAddress;
  const { isSecure = false, ...others } = options;
  const workspace = await startWorkspace({
    ...others,
    port,
    publicUrl: `${isSecure ? 'https' : 'http'}://${address}:${port}`,
    clientId: CLIENT_ID,
    certificate: isSecure ? await workspaceCertificate(address) : undefined,
  });
  undoAfter(t, () => workspace.close());
  // Taken back while the server still holds the port: then nobody else has it yet.
  await cluster.expose(t, port);
  const postgres = await startPostgres();
  undoAfter(t, () => postgres.close());
  const lakebase = await startLakebase(
    {
      jwks: workspace.jwks,
      socketPath: postgres.socketPath,
      now: () => workspace.now(),
      port: await unwantedPort(),
    },
    await certificateFor([LAKEBASE_HOST]),
  );
  undoAfter(t, () => lakebase.close());
  await cluster.expose(t, lakebase.port);
  await postgres.ensureRole(CLIENT_ID);
  await postgres.ensureDatabase(DATABASE);
  const client = await postgres.connect(DATABASE);
  await client.query(`GRANT CREATE ON DATABASE ${DATABASE} TO "${CLIENT_ID}"`);
  await client.end();
  return { workspace, lakebase, address };
}

/** A federation policy for a service account of this cluster, or for all, with the keys that its API server publishes. */
export async function trustServiceAccount(
  cluster: Cluster,
  namespace: string,
  name?: string,
): Promise<VerifySubjectToken> {
  const read = async (path: string): Promise<unknown> => JSON.parse(await cluster.kubectl(['get', '--raw', path]));
  const { issuer, jwks_uri: jwksUri } = (await read('/.well-known/openid-configuration')) as Record<string, string>;
  const jwks = (await read(new URL(jwksUri!).pathname)) as JSONWebKeySet;
  return trust({
    issuer: issuer!,
    jwks,
    audience: 'databricks',
    ...(name === undefined ? {} : { subject: `system:serviceaccount:${namespace}:${name}` }),
  });
}
