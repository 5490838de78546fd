import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Client as PgClient } from 'pg';
import { missing, nodePostgres, psql, type LogIn } from '../test/support/logins.ts';
import { DATABASE } from './layout.ts';

// A process of its own that logs in to the database again and again, with real clients that know the files only.

export interface ClientOrder {
  readonly volume: string;
  readonly user: string;
  readonly port: number;
  readonly caFile: string;
  readonly caCertificate: string;
}

export type ClientReport =
  | {
      readonly kind: 'failed';
      readonly client: string;
      readonly path: string;
      readonly from: number;
      readonly to: number;
      readonly error: string;
    }
  | { readonly kind: 'logins'; readonly count: number; readonly lagMs: number };

interface Client {
  readonly name: string;
  readonly directory: string;
  readonly path: string;
  readonly logIn: LogIn;
  readonly pauseMs: number;
}

/** What replaces the password file in node-postgres 9. */
const passwordFunction: LogIn = async ({ server, user, directory }) => {
  const client = new PgClient({
    ...server.connection,
    user,
    ssl: { ca: server.lakebase.caCertificate },
    password: async () => await readFile(`${directory}/token`, 'utf8'),
  });
  client.on('error', () => undefined); // the query says it too
  await client.connect();
  await client.query('SELECT 1');
  await client.end();
};

const CLIENTS: readonly Client[] = [
  { name: 'node-postgres', directory: 'backstage', path: 'backstage/pgpass', logIn: nodePostgres, pauseMs: 120 },
  {
    name: 'node-postgres with a password function',
    directory: 'backstage',
    path: 'backstage/token',
    logIn: passwordFunction,
    pauseMs: 150,
  },
  ...(missing.psql === false
    ? [{ name: 'psql', directory: 'reports', path: 'reports/pgpass', logIn: psql, pauseMs: 400 }]
    : []),
];
const COUNT_EVERY_MS = 1_000;

// node-postgres 9 will want a password function in place of its own look into PGPASSFILE; this is about 8.
process.noDeprecation = true;
let count = 0;
let lagMs = 0;

async function logInForEver({ name, directory, path, logIn, pauseMs }: Client, order: ClientOrder): Promise<never> {
  const { volume, user, port, caFile, caCertificate } = order;
  const server = { lakebase: { caCertificate }, connection: { host: 'localhost', port, database: DATABASE }, caFile };
  const reader = { server, user, directory: `${volume}/${directory}` };
  for (;;) {
    const from = Date.now();
    try {
      await logIn(reader);
      count += 1;
    } catch (error) {
      const said = (error as Error).message.replace(/\s+/g, ' ').slice(0, 200);
      report({ kind: 'failed', client: name, path, from, to: Date.now(), error: said });
    }
    const asleepAt = performance.now();
    await delay(pauseMs);
    lagMs = Math.max(lagMs, performance.now() - asleepAt - pauseMs);
  }
}

function report(what: ClientReport): void {
  process.send?.(what);
}

process.once('message', (order: ClientOrder) => {
  for (const client of CLIENTS) void logInForEver(client, order);
  setInterval(() => {
    report({ kind: 'logins', count, lagMs });
    count = 0;
    lagMs = 0;
  }, COUNT_EVERY_MS);
});
process.on('unhandledRejection', () => undefined); // of a connection that broke after its query was answered
// A terminal sends it to everybody, and whoever gave the order decides.
process.on('SIGINT', () => undefined);
// oxlint-disable-next-line unicorn/no-process-exit -- whoever gave the order is gone
process.on('disconnect', () => process.exit());
