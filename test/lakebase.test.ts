import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Client, type ClientConfig, DatabaseError } from 'pg';
import { temporaryDirectory } from './support/cleanup.ts';
import { startLakebase, type Lakebase } from './support/lakebase.ts';
import { missing } from './support/logins.ts';
import { startPostgres, type Postgres, whyNoPostgres } from './support/postgres.ts';
import { startWorkspace, type Workspace } from './support/workspace.ts';

const DATABASE = 'databricks_postgres';

describe('a stand-in Lakebase', { skip: whyNoPostgres() }, () => {
  let workspace: Workspace;
  let postgres: Postgres;
  let lakebase: Lakebase;

  before(async () => {
    [workspace, postgres] = await Promise.all([startWorkspace(), startPostgres()]);
    lakebase = await startLakebase({ jwks: workspace.jwks, socketPath: postgres.socketPath });
    await postgres.ensureRole(workspace.clientId);
    await postgres.ensureDatabase(DATABASE);
  });

  after(async () => {
    await Promise.all([lakebase.close(), workspace.close()]);
    await postgres.close();
  });

  function clientWith(password: string, config: ClientConfig = {}): Client {
    const { host, port, caCertificate: ca } = lakebase;
    const client = new Client({
      host,
      port,
      user: workspace.clientId,
      database: DATABASE,
      ssl: { ca },
      password,
      ...config,
    });
    client.on('error', () => {}); // The server may end a session that nobody is using.
    return client;
  }

  async function refusal(client: Client): Promise<DatabaseError> {
    const error: unknown = await client.connect().then(
      () => client.end(),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof Error, 'the login succeeded');
    assert.ok(error instanceof DatabaseError, error.message);
    return error;
  }

  async function ask(client: Client, sql: string): Promise<unknown> {
    await client.connect();
    try {
      const { rows } = await client.query<{ answer: unknown }>(sql);
      return rows[0]?.answer;
    } finally {
      await client.end();
    }
  }

  test('logs a token in as its service principal, over verified TLS, and records it', async () => {
    const token = await workspace.signCredential();
    const user = await ask(clientWith(token, { application_name: 'backstage' }), 'SELECT current_user AS answer');
    assert.equal(user, workspace.clientId);
    const { at, ...login } = lakebase.logins.at(-1)!;
    assert.ok(Math.abs(at - Date.now()) < 60_000);
    assert.deepEqual(login, {
      user: workspace.clientId,
      database: DATABASE,
      applicationName: 'backstage',
      ok: true,
      reason: undefined,
      tokenFingerprint: hash('sha256', token),
    });
  });

  const refused = [
    { it: 'an expired token', reason: 'expired', sign: () => workspace.signCredential({ lifetimeMs: -1 }) },
    {
      it: 'the token of another identity',
      reason: 'another identity',
      sign: () => workspace.signCredential({ subject: 'x' }),
    },
    { it: 'a static password', reason: 'not a token', sign: () => Promise.resolve('hunter2') },
    {
      it: 'a token of another workspace',
      reason: 'bad signature',
      sign: async () => {
        const other = await startWorkspace();
        await other.close();
        return other.signCredential({ subject: workspace.clientId });
      },
    },
    {
      it: 'a token that was changed',
      reason: 'bad signature',
      sign: async () => (await workspace.signCredential()).replace(/.{6}$/, 'AAAAAA'),
    },
  ];
  for (const { it, reason, sign } of refused) {
    test(`refuses ${it}`, async () => {
      const { code, message, detail, severity } = await refusal(clientWith(await sign()));
      assert.deepEqual([severity, code], ['FATAL', '28P01']);
      assert.equal(message, `password authentication failed for user '${workspace.clientId}'`);
      assert.equal(detail, `The token is refused: ${reason}.`);
      assert.equal(lakebase.logins.at(-1)?.reason, reason);
    });
  }

  test('refuses a login without TLS before it asks for the password', async () => {
    const { code, message } = await refusal(clientWith(await workspace.signCredential(), { ssl: false }));
    assert.equal(code, '28000');
    assert.match(message, /^connection is insecure/);
    assert.equal(lakebase.logins.at(-1)?.tokenFingerprint, undefined);
  });

  test('is not believed by a client that verifies against another certificate', async () => {
    const token = await workspace.signCredential();
    await assert.rejects(clientWith(token, { ssl: true }).connect(), /self-signed certificate/);
  });

  test('passes on what the database itself refuses', async () => {
    const token = await workspace.signCredential();
    assert.equal((await refusal(clientWith(token, { database: 'nowhere' }))).code, '3D000');
  });

  test('goes by the clock of the service, to the millisecond', async () => {
    let now = Date.now();
    const { socketPath } = postgres;
    const own = await startLakebase({ jwks: workspace.jwks, socketPath, now: () => now });
    const { port, caCertificate: ca } = own;
    const password = await workspace.signCredential({ issuedAt: now, lifetimeMs: 1000 });
    const expiresAt = Math.floor(now / 1000) * 1000 + 1000;
    now = expiresAt - 1;
    assert.equal(await ask(clientWith(password, { port, ssl: { ca } }), 'SELECT 1 AS answer'), 1);
    now = expiresAt;
    assert.equal((await refusal(clientWith(password, { port, ssl: { ca } }))).code, '28P01');
    await own.close();
  });

  test('keeps a session after its token has expired', async () => {
    let now = Date.now();
    const own = await startLakebase({ jwks: workspace.jwks, socketPath: postgres.socketPath, now: () => now });
    const config = { port: own.port, ssl: { ca: own.caCertificate } };
    const token = await workspace.signCredential();
    const client = clientWith(token, config);
    await client.connect();
    now += 7_200_000;
    assert.equal((await refusal(clientWith(token, config))).code, '28P01');
    assert.equal((await client.query('SELECT 1')).rowCount, 1);
    const ended = new Promise((resolve) => client.once('end', resolve));
    await own.close();
    await ended;
  });

  test('carries large results and cancellation', async () => {
    const token = await workspace.signCredential();
    const length = await ask(
      clientWith(token),
      "SELECT length(string_agg(repeat('x', 1000), '')) AS answer FROM generate_series(1, 5000)",
    );
    assert.equal(length, 5_000_000);
    const victim = clientWith(token);
    await victim.connect();
    const { processID, secretKey } = victim as unknown as { processID: number; secretKey: number };
    const sleeping = assert.rejects(victim.query('SELECT pg_sleep(60)'), { code: '57014' });
    const request = Buffer.alloc(16);
    [16, 80877102, processID, secretKey].forEach((value, at) => request.writeInt32BE(value, at * 4));
    const observer = await postgres.connect();
    const isAsleep = `SELECT 1 FROM pg_stat_activity WHERE pid = ${processID} AND wait_event = 'PgSleep'`;
    while ((await observer.query(isAsleep)).rowCount === 0);
    connect(lakebase.port, lakebase.host).end(request);
    await sleeping;
    await Promise.all([victim.end(), observer.end()]);
  });

  test('survives clients that break off at any point, among fifty that log in at once', async () => {
    const token = await workspace.signCredential();
    const openings = [
      [],
      [0],
      [0, 0, 0, 8, 4, 210, 22, 47],
      [0, 0, 0, 1, 0, 0, 0, 0],
      [22, 3, 1, 0, 200, 1, 0, 0, 196],
    ];
    const rude = openings.map(async (bytes) => {
      const socket = connect(lakebase.port, lakebase.host);
      await once(socket, 'connect');
      if (bytes.length > 0)
        await promisify(socket.write.bind(socket) as (data: Buffer, done: () => void) => void)(Buffer.from(bytes));
      socket.resetAndDestroy();
    });
    const polite = Array.from({ length: 50 }, (_, number) => ask(clientWith(token), `SELECT ${number} AS answer`));
    const vanishing = Array.from({ length: 10 }, async () => {
      const client = clientWith(token);
      await client.connect();
      const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
      stream.destroy();
    });
    await Promise.all([...rude, ...vanishing]);
    assert.deepEqual(
      await Promise.all(polite),
      Array.from({ length: 50 }, (_, number) => number),
    );
  });

  test('says so when there is no database behind it', async () => {
    const alone = await startLakebase({ jwks: workspace.jwks, socketPath: join(tmpdir(), 'nobody-listens-here') });
    const config = { port: alone.port, ssl: { ca: alone.caCertificate } };
    assert.equal((await refusal(clientWith(await workspace.signCredential(), config))).code, '57P03');
    await alone.close();
  });

  test('is none the worse for a temporary directory whose path is too long for a socket', async (t) => {
    const parent = await temporaryDirectory(t);
    await chmod(parent, 0o755); // the server of root is that of somebody else
    const directory = join(parent, 'x'.repeat(60));
    await mkdir(directory);
    const { TMPDIR } = process.env;
    t.after(() => (TMPDIR === undefined ? delete process.env['TMPDIR'] : (process.env['TMPDIR'] = TMPDIR)));
    process.env['TMPDIR'] = directory;
    const own = await startPostgres();
    await own.ensureDatabase(DATABASE);
    await own.close();
    assert.deepEqual([await readdir(directory), existsSync(dirname(own.socketPath))], [[], false]);
  });

  test('lets psql in with a good token, and not with an expired one', { skip: missing.psql }, async (t) => {
    const directory = await temporaryDirectory(t);
    const certificate = join(directory, 'ca.pem');
    await writeFile(certificate, lakebase.caCertificate);
    const psql = async (token: string) => {
      const conninfo = `host=${lakebase.host} port=${lakebase.port} dbname=${DATABASE} user=${workspace.clientId}`;
      const tls = `sslmode=verify-full sslrootcert='${certificate}'`;
      return promisify(execFile)('psql', [`${conninfo} ${tls}`, '-X', '-A', '-t', '-c', 'SELECT current_user'], {
        env: { PATH: process.env['PATH'], HOME: directory, PGPASSWORD: token },
      });
    };
    assert.equal((await psql(await workspace.signCredential())).stdout, `${workspace.clientId}\n`);
    const expired = await workspace.signCredential({ lifetimeMs: -1 });
    await assert.rejects(
      psql(expired),
      /FATAL: +password authentication failed for user '.*'\s+DETAIL: +The token is refused: expired\./,
    );
  });
});
