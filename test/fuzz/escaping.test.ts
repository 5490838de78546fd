import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { execa } from 'execa';
import * as fc from 'fast-check';
import { Client } from 'pg';
import type { Connection } from '../../src/credential/ports.ts';
import { FORMATS } from '../../src/credential/formats.ts';
import { parseToken, render } from '../../src/sinks/render.ts';
import { credentialOf } from '../support/sink-credentials.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { jwt, printableToken, property } from '../support/fuzz.ts';
import { missing } from '../support/logins.ts';
import { type PasswordServer, startPasswordServer } from '../support/password-server.ts';

/** One psql logs in so often. */
const BATCH = 20;

const anything = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .map((text) => text.toWellFormed().replaceAll('\0', ''));
/** What the configuration takes for a role or a database. */
const word = fc
  .oneof(
    anything,
    printableToken,
    fc.string({ unit: fc.constantFrom(':', '\\', "'", '"', '%', '@', '/', '?', '#', '&', '=', 'a'), minLength: 1 }),
  )
  .map((text) => text.replaceAll(/[\s\p{Cc}]/gu, ''))
  .filter((text) => text !== '');
/** The configuration takes colons in an IPv6 address only. */
const anyHost = anything.filter((text) => !text.includes(':'));
/** As libpq takes it for one host: no list, no directory of sockets. */
const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
const token = fc.oneof(jwt, printableToken);
const login = fc.record({ host, user: word, database: word, token });

let directory = '';
let server: PasswordServer;

async function before(t: TestContext): Promise<void> {
  directory = await temporaryDirectory(t);
  server = await startPasswordServer(t);
}

property(
  'the token is found again in every format, and a reader of URLs finds all parts of the uri',
  fc.record({ host: fc.oneof(host, anyHost), user: anything, database: anything, token: fc.oneof(token, anything) }),
  ({ token, ...to }) => {
    const connection = { ...to, port: 6432 };
    for (const format of FORMATS) {
      if (format === 'pgpass' && /[\r\n]/.test(to.host + to.user + token)) continue; // refused
      assert.equal(parseToken(format, render(format, credentialOf(0, token), connection)), token, format);
    }
    const url = new URL(render('uri', credentialOf(0, token), connection));
    assert.equal(decodeURIComponent(url.username), to.user);
    assert.equal(decodeURIComponent(url.password), token);
    // A dot is no name in a path, encoded or not; libpq, which knows no such paths, takes it.
    if (!/^\.\.?$/.test(to.database)) assert.equal(decodeURIComponent(url.pathname), `/${to.database}`);
    if (!isIPv6(to.host)) assert.equal(decodeURIComponent(url.hostname), to.host);
    assert.equal(url.port, '6432');
  },
);

property(
  'no text makes a parser throw, and a token that it finds is one that stands there',
  fc.tuple(
    fc.constantFrom(...FORMATS),
    fc.oneof(
      fc.string({ unit: 'binary' }),
      anything.map((text) => `a:1:*:b:${text}\n`),
      anything.map((text) => `PGPASSWORD='${text}'\n`),
      anything.map((text) => `postgresql://a:${text}@b`),
      fc.json(),
    ),
  ),
  ([format, content]) => {
    const token = parseToken(format, content);
    assert.ok(token === undefined || (token !== '' && content.length >= token.length));
  },
);

property(
  'a shell that reads env files gets every value as it was',
  fc.array(fc.record({ host: anything, user: anything, database: anything, token: anything }), {
    minLength: BATCH,
    maxLength: BATCH,
  }),
  async (values) => {
    const files = await Promise.all(
      values.map(async ({ token, ...connection }, i) => {
        const file = join(directory, `env-${i}`);
        await writeFile(file, render('env', credentialOf(0, token), connection));
        return file;
      }),
    );
    const script = `for file; do (. "$file"; printf '%s\\0' "$PGHOST" "$PGUSER" "$PGDATABASE" "$PGPASSWORD"); done`;
    const { stdout } = await execa('sh', ['-euc', script, 'sh', ...files], { stripFinalNewline: false });
    assert.deepEqual(
      stdout.split('\0').slice(0, -1),
      values.flatMap(({ host, user, database, token }) => [host, user, database, token]),
    );
  },
  { before, batch: BATCH, costs: 5 },
);

property(
  'libpq logs in as the user and with the token of a password file and of a uri',
  fc.array(login, { minLength: BATCH / 2, maxLength: BATCH / 2 }),
  async (logins) => {
    const commands = await Promise.all(
      logins.map(async ({ token, ...to }, i) => {
        const connection: Connection = { ...to, port: server.port, sslmode: 'disable' };
        const credential = credentialOf(0, token);
        const passfile = join(directory, `pgpass-${i}`);
        await writeFile(passfile, render('pgpass', credential, connection), { mode: 0o600 });
        const uri = `${render('uri', credential, connection)}&hostaddr=127.0.0.1`;
        const withoutPassword = uri.replace(/:[^:@]*@/, '@');
        return `\\connect '${uri}'\n\\connect '${withoutPassword}&passfile=${encodeURIComponent(passfile)}'\n`;
      }),
    );
    server.logins.length = 0;
    const { stderr, exitCode } = await execa('psql', ['--no-psqlrc', '--quiet', '-d', uriOfAnybody()], {
      input: commands.join(''),
      env: { PGPASSFILE: '/nonexistent', PGCLIENTENCODING: 'UTF8' },
      reject: false,
    });
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(
      server.logins.slice(1),
      logins.flatMap(({ user, database, token: password }) => [1, 2].map(() => ({ user, database, password }))),
    );
  },
  { before, batch: BATCH, costs: 10, skip: missing.psql },
);

/** psql wants a connection before it reads commands. */
function uriOfAnybody(): string {
  return `postgresql://a:b@localhost:${server.port}/c?sslmode=disable&hostaddr=127.0.0.1`;
}

property(
  'node-postgres logs in as the user and with the token of a password file',
  // It takes a colon after a backslash for an escaped one, also where the backslash is escaped itself.
  login.filter(({ user }) => !user.endsWith('\\')),
  async ({ user, database, token }) => {
    const passfile = join(directory, 'pgpass');
    const connection = { host: '127.0.0.1', port: server.port, user, database };
    await writeFile(passfile, render('pgpass', credentialOf(0, token), connection), { mode: 0o600 });
    server.logins.length = 0;
    process.env['PGPASSFILE'] = passfile;
    const client = new Client(connection);
    await client.connect();
    await client.end();
    assert.deepEqual(server.logins, [{ user, database, password: token }]);
  },
  { before, costs: 10 },
);
