import { execFile, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import postgresJs from 'postgres';
import { startLakebase, type Lakebase } from './lakebase.ts';
import { startPostgres } from './postgres.ts';
import { temporaryDirectory, undoAfter, type Cleanup } from './cleanup.ts';
import type { Workspace } from './workspace.ts';

export const DATABASE = 'app';
/** A client that logs in again and again does not do it without a breath. */
const PAUSE_MS = 50;

/** What clients know of a server. */
export interface LoginTarget {
  readonly lakebase: Pick<Lakebase, 'caCertificate'>;
  /** What files have to say besides the token. */
  readonly connection: { readonly host: string; readonly port: number; readonly database: string };
  readonly caFile: string;
}

export interface Server extends LoginTarget {
  readonly lakebase: Lakebase;
}

/** A Lakebase that takes the workspace's tokens, with a real PostgreSQL behind. */
export async function startServer(t: Cleanup, workspace: Workspace): Promise<Server> {
  const postgres = await startPostgres();
  undoAfter(t, () => postgres.close());
  const lakebase = await startLakebase({
    jwks: workspace.jwks,
    socketPath: postgres.socketPath,
    now: () => workspace.now(),
  });
  undoAfter(t, () => lakebase.close());
  await postgres.ensureRole(workspace.clientId);
  await postgres.ensureDatabase(DATABASE);
  const caFile = join(await temporaryDirectory(t), 'ca.pem');
  await writeFile(caFile, lakebase.caCertificate);
  return { lakebase, connection: { host: lakebase.host, port: lakebase.port, database: DATABASE }, caFile };
}

/** The directory of the files, and whose they are. */
export interface Reader {
  readonly server: LoginTarget;
  readonly user: string;
  readonly directory: string;
}

/** Logs in once, on a new connection, as somebody who knows the files only. @throws what the client says */
export type LogIn = (reader: Reader) => Promise<void>;

/** node-postgres with a password file and no password, as a stock Backstage has it. */
export const nodePostgres: LogIn = async ({ server, user, directory }) => {
  process.env['PGPASSFILE'] = join(directory, 'pgpass');
  const client = new Client({ ...server.connection, user, ssl: { ca: server.lakebase.caCertificate } });
  client.on('error', () => {
    // The query says it too.
  });
  await client.connect();
  await client.query('SELECT 1');
  await client.end();
};

/** A client that knows no password file, and asks a function at each connection. */
export const passwordFunction: LogIn = async ({ server, user, directory }) => {
  const { host, port, database } = server.connection;
  const sql = postgresJs({
    host,
    port,
    database,
    user,
    ssl: { ca: server.lakebase.caCertificate },
    password: async () => await readFile(join(directory, 'token'), 'utf8'),
    max: 1,
    connect_timeout: 5,
  });
  try {
    await sql`SELECT 1`;
  } finally {
    await sql.end();
  }
};

const run = promisify(execFile);

export const psql: LogIn = async ({ server, user, directory }) => {
  const { host, port, database } = server.connection;
  const target = `host=${host} port=${port} dbname=${database} user=${user} sslmode=verify-ca sslrootcert=${server.caFile}`;
  const env = { PATH: process.env['PATH'], PGPASSFILE: join(directory, 'pgpass') };
  await run('psql', ['-w', '-X', '-At', '-c', 'SELECT 1', target], { env });
};

const ASYNCPG = `
import asyncio, asyncpg, ssl, sys
host, port, database, user, ca = sys.argv[1:]
async def main():
    context = ssl.create_default_context(cafile=ca)
    connection = await asyncpg.connect(host=host, port=int(port), database=database, user=user, ssl=context)
    await connection.fetchval('SELECT 1')
    await connection.close()
asyncio.run(main())
`;

export const asyncpg: LogIn = async ({ server, user, directory }) => {
  const { host, port, database } = server.connection;
  const env = { ...process.env, PGPASSFILE: join(directory, 'pgpass') };
  await run('python3', ['-c', ASYNCPG, host, `${port}`, database, user, server.caFile], { env });
};

/** False, or why the client cannot be tried here. */
export const missing: Readonly<Record<'psql' | 'asyncpg', string | false>> = {
  psql:
    spawnSync('psql', ['--version']).status === 0
      ? false
      : 'psql is not on the PATH: apt-get install postgresql-client',
  asyncpg:
    spawnSync('python3', ['-c', 'import asyncpg']).status === 0 ? false : 'asyncpg is missing: pip install asyncpg',
};

export interface Attempts {
  successes: number;
  readonly failures: { readonly beganAt: number; readonly at: number; readonly error: unknown }[];
}

/** Logs in again and again until the signal; `attempts` tells meanwhile. */
export async function logInUntil(
  signal: AbortSignal,
  logIn: LogIn,
  reader: Reader,
  attempts: Attempts = { successes: 0, failures: [] },
): Promise<Attempts> {
  while (!signal.aborted) {
    const beganAt = Date.now();
    try {
      await logIn(reader);
      attempts.successes += 1;
    } catch (error) {
      attempts.failures.push({ beganAt, at: Date.now(), error });
    }
    await delay(PAUSE_MS);
  }
  return attempts;
}
