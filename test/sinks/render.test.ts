import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { parseEnv } from 'node:util';
import { Client } from 'pg';
import { type Format, FORMATS } from '../../src/credential/formats.ts';
import { parseToken, render } from '../../src/sinks/render.ts';
import { connection, credentialOf } from '../support/sink-credentials.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { run } from './programs.ts';

const JWT = 'eyJhbGciOi.eyJzdWIiOi-_.c2lnbmF0dXJl';
const NASTY = String.raw`:\'"$(x)\:%2F@/?#&+~!*;=|<>é🙂\\`;

const credential = credentialOf(0, JWT);
const host = 'ep-calm-lake.database.example.com';

test('each format has exactly the documented bytes', () => {
  const rendered = Object.fromEntries(FORMATS.map((format) => [format, render(format, credential, connection)]));
  assert.deepEqual(rendered, {
    pgpass: `${host}:5432:*:0f1e2d3c:${JWT}\n`,
    token: JWT,
    json:
      `{"token":"${JWT}","issuedAt":"2026-11-23T12:00:02.000Z","expiresAt":"2026-11-23T13:00:02.000Z",` +
      `"host":"${host}","port":5432,"database":"databricks_postgres","user":"0f1e2d3c"}\n`,
    env:
      `PGHOST='${host}'\nPGPORT='5432'\nPGDATABASE='databricks_postgres'\nPGUSER='0f1e2d3c'\n` +
      `PGPASSWORD='${JWT}'\nPGSSLMODE='require'\n`,
    uri: `postgresql://0f1e2d3c:${JWT}@${host}:5432/databricks_postgres?sslmode=require`,
  });
});

test('what is not known is a star, null or a default, as the format has it', () => {
  assert.equal(render('pgpass', credential, { host: '*', user: 'u' }), `*:*:*:u:${JWT}\n`);
  assert.deepEqual(JSON.parse(render('json', credential, {})), {
    token: JWT,
    issuedAt: '2026-11-23T12:00:02.000Z',
    expiresAt: '2026-11-23T13:00:02.000Z',
    host: null,
    port: 5432,
    database: null,
    user: null,
  });
  assert.equal(
    render('env', credential, { host: 'h', database: 'd', user: 'u' }),
    `PGHOST='h'\nPGPORT='5432'\nPGDATABASE='d'\nPGUSER='u'\nPGPASSWORD='${JWT}'\nPGSSLMODE='require'\n`,
  );
  assert.equal(
    render('uri', credential, { host: 'h', database: 'd', user: 'u' }),
    `postgresql://u:${JWT}@h:5432/d?sslmode=require`,
  );
});

test('a format that lacks what it needs is refused, not guessed', () => {
  assert.throws(() => render('pgpass', credential, { user: 'u' }), /a pgpass file needs connection\.host/);
  assert.throws(() => render('pgpass', credential, { host: 'h' }), /a pgpass file needs connection\.user/);
  for (const format of ['env', 'uri'] as const) {
    for (const missing of ['host', 'database', 'user'] as const) {
      const rest = { ...connection, [missing]: undefined };
      assert.throws(() => render(format, credential, rest), new RegExp(`${format} file needs connection\\.${missing}`));
    }
  }
});

test('colons and backslashes are escaped in every pgpass field, and no line break gets in', () => {
  const line = render('pgpass', credentialOf(0, String.raw`a:b\c`), {
    host: '::1',
    port: 6432,
    user: String.raw`x\y:z`,
  });
  assert.equal(line, String.raw`\:\:1:6432:*:x\\y\:z:a\:b\\c` + '\n');
  assert.throws(() => render('pgpass', credential, { host: 'h', user: 'u\n*:*:*:*:other' }), /line break/);
});

test('a uri percent-encodes what means something where it stands, and brackets an IPv6 host', () => {
  const awkward = { host: 'fe80::1%eth0', port: 6432, database: "a/b?c'd", user: "u@(x)!*:'", sslmode: 'verify-full' };
  assert.equal(
    render('uri', credentialOf(0, NASTY), awkward),
    `postgresql://u%40%28x%29%21%2A%3A%27:${encodeNasty()}@[fe80::1%25eth0]:6432/a%2Fb%3Fc%27d?sslmode=verify-full`,
  );
  assert.match(
    render('uri', credential, { ...connection, host: '/var/run/postgresql' }),
    /@%2Fvar%2Frun%2Fpostgresql:5432\//,
  );
});

test('node-postgres reads a database with reserved characters in its name from a uri', () => {
  const database = "me+you@example.com:$a&b,c;d=e%f'g h";
  const uri = render('uri', credential, { ...connection, database, sslmode: 'verify-full' });
  assert.equal(new Client({ connectionString: uri }).database, database);
  assert.equal(decodeURIComponent(new URL(uri).pathname), `/${database}`);
});

test('a shell that reads the env file gets every value as it was', async (t) => {
  const file = join(await temporaryDirectory(t), 'env');
  const awkward = { ...connection, user: `o'neil "$HOME" \`id\` \\` };
  await writeFile(file, render('env', credentialOf(0, NASTY), awkward));
  const { stdout } = await run('sh', ['-euc', '. "$0"; printf "%s\\n" "$PGUSER" "$PGPASSWORD" "$PGHOST"', file]);
  assert.equal(stdout, `${awkward.user}\n${NASTY}\n${connection.host}\n`);
});

test('Node.js, and systemd, whose single quotes know no escape, read a name with a single quote as a shell does', async (t) => {
  const file = join(await temporaryDirectory(t), 'env');
  const user = "o'brien+x@example.com;#1!";
  const rendered = render('env', credential, { ...connection, user });
  assert.match(rendered, /^PGUSER="o'brien\+x@example\.com;#1!"$/m);
  assert.equal(parseEnv(rendered)['PGUSER'], user);
  assert.equal(parseEnv(rendered)['PGPASSWORD'], JWT);
  await writeFile(file, rendered);
  assert.equal((await run('sh', ['-euc', '. "$0"; printf "%s\\n" "$PGUSER"', file])).stdout, `${user}\n`);
});

test('the token that was rendered is found again, whatever is in it and around it', () => {
  const awkward = { host: '::1', database: "d'\\:", user: "u:@\\'PGPASSWORD='x" };
  for (const format of FORMATS) {
    for (const token of [JWT, NASTY, `'`, '\\', ':', "'\\''"]) {
      for (const around of [connection, awkward]) {
        assert.equal(parseToken(format, render(format, credentialOf(0, token), around)), token, `${format} ${token}`);
      }
    }
  }
});

test('nothing is found in what was not rendered, and no parser throws', () => {
  const foreign: Record<Format, readonly string[]> = {
    pgpass: [
      '',
      '\n',
      'h:1:*:u:\n',
      'h:1:*:u\n',
      '# comment\n',
      `h:1:*:u:${JWT}`,
      `h:1:*:u:a\nh:1:*:u:b\n`,
      'h:1:*:u:a\\\n',
    ],
    token: [''],
    json: ['', '{', 'null', '[]', '1', '{}', '{"token":1}', '{"token":""}', '{"token":null}'],
    env: ['', `PGPASSWORD=''\n`, 'PGPASSWORD=x\n', `PGPASSWORD='x\n`, `export PGPASSWORD='x'\n`, `PGPASSWORD='x'y'\n`],
    uri: [
      '',
      'postgresql://',
      'postgresql://u@h/d',
      'postgresql://u:@h/d',
      'postgresql://u:%E0%A4@h/d',
      'mysql://u:x@h/d',
    ],
  };
  for (const format of FORMATS) {
    for (const content of foreign[format]) {
      assert.equal(parseToken(format, content), undefined, `${format} ${JSON.stringify(content)}`);
    }
  }
});

/** Byte by byte, as RFC 3986 says it. */
function encodeNasty(): string {
  const isUnreserved = /^[A-Za-z0-9\-._~]$/;
  return [...Buffer.from(NASTY)]
    .map((byte) => ({ byte, character: String.fromCharCode(byte) }))
    .map(({ byte, character }) =>
      byte < 128 && isUnreserved.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
}
