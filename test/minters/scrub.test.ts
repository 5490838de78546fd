import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { Secret } from '../../src/credential/secret.ts';
import { scrub } from '../../src/minters/scrub.ts';
import { fill, readTranscripts } from '../support/cli-transcripts.ts';

/** Looks random, and is the same in each run. */
function noise(name: string, encoding: 'base64' | 'base64url' | 'hex'): string {
  return createHash('sha512').update(name).digest(encoding);
}

const JWT = `eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.${noise('payload', 'base64url')}.${noise('signature', 'base64url')}`;
const CLIENT_SECRET = `dose${noise('secret', 'hex').slice(0, 32)}`;
const OPAQUE = noise('opaque', 'base64url').slice(0, 60);
const SECRETS = { '{jwt}': JWT, '{access-token}': OPAQUE, '{client-secret}': CLIENT_SECRET };
const PLACES = {
  ...SECRETS,
  '{host}': 'https://dbc-1.cloud.databricks.com',
  '{client-id}': '6f1c2d3e-0000-4000-8000-123456789abc',
  '{tmp}': '/var/run/secrets',
};

/** The longest piece of the secret that is still there. */
function leaked(text: string, secret: string): string {
  let longest = '';
  for (let start = 0; start < secret.length; start += 1) {
    while (text.includes(secret.slice(start, start + longest.length + 1)) && start + longest.length < secret.length) {
      longest = secret.slice(start, start + longest.length + 1);
    }
  }
  return longest;
}

test('nothing secret of any recorded exchange gets through by its shape alone', () => {
  for (const { name, stdout, stderr } of readTranscripts()) {
    const [errors, output] = [fill(stderr, PLACES), fill(stdout, PLACES)];
    for (const text of [errors, output, `${errors}\n${output}`]) {
      const clean = scrub(text, []);
      for (const secret of Object.values(SECRETS)) assert.ok(leaked(clean, secret).length < 8, `${name}: ${clean}`);
      assert.doesNotMatch(clean, /eyJ/, name);
    }
  }
});

test('the answer that the CLI dumps when it cannot parse it gets through neither whole nor cut off anywhere', () => {
  const dump = readTranscripts().find(({ name }) => name === 'broken JSON answered')!.stderr;
  const whole = fill(dump, PLACES).replace('{"token":"eyJ', `{"token":"${JWT}","expire_time":`);
  const place = whole.indexOf(JWT);
  for (let cut = 1; cut <= JWT.length; cut += 1) {
    for (const text of [
      whole.slice(0, place + cut),
      `{"token":"${JWT.slice(0, cut)}`,
      `token=${JWT.slice(0, cut)}\nx`,
    ]) {
      assert.ok(leaked(scrub(text, []), JWT).length < 8, `${cut}: ${scrub(text, [])}`);
    }
  }
});

test('a secret that is known does not get through, whatever it looks like, nor do the halves of a torn one', () => {
  const secrets = [JWT, CLIENT_SECRET, OPAQUE, 'correct horse battery staple', noise('base64', 'base64')];
  for (const secret of secrets) {
    for (let cut = 0; cut < secret.length; cut += 1) {
      for (const text of [
        `said ${secret.slice(cut)}`,
        `said ${secret.slice(0, cut)}`,
        `said ${secret.slice(0, cut)}\n${secret.slice(cut)} end`,
      ]) {
        const clean = scrub(text, [new Secret(secret)]);
        const rest = leaked(clean, secret);
        assert.ok(rest.length < 12, `${text}: ${clean}`);
        assert.match(clean, /^said/);
      }
    }
  }
});

test('a secret that is known is redacted whole, however short it is, and the words around it stay', () => {
  for (const secret of ['4711', 'correct horse battery staple']) {
    assert.equal(scrub(`said ${secret} and more`, [new Secret(secret)]), 'said [secret] and more');
  }
});

test('a token that nobody knows does not get through because pieces of it are known: of another one of the workspace', () => {
  const [header, payload = '', signature = ''] = JWT.split('.');
  for (let from = 0; from < payload.length; from += 4) {
    for (const length of [8, 20, 30]) {
      const other = payload.slice(0, from) + noise('other', 'hex').slice(0, length) + payload.slice(from + length);
      const known = `${header}.${other}.${noise('another', 'base64url')}`;
      const clean = scrub(`Error: cannot use ${JWT} here`, [new Secret(known)]);
      for (const part of [payload, signature]) assert.ok(leaked(clean, part).length < 4, clean);
    }
  }
});

const BASIC = Buffer.from(`id:${CLIENT_SECRET}`).toString('base64');
const ACCESS_TOKEN = `dapi${noise('pat', 'hex').slice(0, 32)}`;

for (const [text, expected] of [
  [`Authorization: Bearer ${OPAQUE}`, 'Authorization: [secret]'],
  ['bearer abcdefgh was refused', '[secret] was refused'],
  ['Bearer  abcdefgh was refused', '[secret] was refused'],
  ['bearer credentialsabc was refused', '[secret] was refused'],
  [`Authorization: Basic ${BASIC}`, 'Authorization: [secret]'],
  [`client_secret=${CLIENT_SECRET}&grant_type=x`, 'client_secret=[secret]&grant_type=x'],
  ['{"client_secret": "abc def ghi", "x": 1}', '{"client_secret": [secret], "x": 1}'],
  ['{"access_token":"abc}def,ghi"}', '{"access_token":[secret]}'],
  [String.raw`{"access_token":"abc\"def"`, '{"access_token":[secret]'],
  ['token = "abc def" in the file', 'token = [secret] in the file'],
  ["Assertion='abc def' was refused", 'Assertion=[secret] was refused'],
  ['password: hunter2', 'password: [secret]'],
  ['Password:  hunter2', 'Password: [secret]'],
  ['token: 503abc was refused', 'token: [secret] was refused'],
  [`DATABRICKS_TOKEN=${ACCESS_TOKEN}`, 'DATABRICKS_TOKEN=[secret]'],
  ['DATABRICKS_TOKEN=abcdef', 'DATABRICKS_TOKEN=[secret]'],
  ['PGPASSWORD=hunter2', 'PGPASSWORD=[secret]'],
  ['client_secret: abc1', 'client_secret: [secret]'],
  [`found ${CLIENT_SECRET} in it`, 'found [secret] in it'],
  [`found ${ACCESS_TOKEN}-2 in it`, 'found [secret] in it'],
  [`found token_${ACCESS_TOKEN}ghi in it`, 'found token_[secret] in it'],
  [`postgresql://user:${CLIENT_SECRET}@host/db`, 'postgresql://user:[secret]@host/db'],
  [
    'parse "http://user:abc^d@ef@proxy:3128": net/url: invalid userinfo',
    'parse "http://user:[secret]@proxy:3128": net/url: invalid userinfo',
  ],
  [
    'parse "http://user:abc/def@proxy:3128": invalid port ":abc" after host',
    'parse "http://user:[secret]@proxy:3128": invalid port "[secret]" after host',
  ],
  ['subject_token=abcdefghi&scope=x', 'subject_token=[secret]&scope=x'],
  ['"assertion": "abcdefghi"', '"assertion": [secret]'],
  [
    String.raw`unexpected answer "{\"Token\":\"abc def\\ghi\",\"x\":1}"`,
    String.raw`unexpected answer "{\"Token\":[secret],\"x\":1}"`,
  ],
  [String.raw`said "{\"password\":\"abc\"}"`, String.raw`said "{\"password\":[secret]}"`],
  [String.raw`unexpected answer "{\"token\" : \"abcdef`, String.raw`unexpected answer "{\"token\" : [secret]`],
  ['map[token:abcdef expire_time:x]', 'map[token:[secret] expire_time:x]'],
  ['Authorization: abc123', 'Authorization: [secret]'],
  [
    String.raw`sent "GET / HTTP/1.1\r\nAuthorization: abc"`,
    String.raw`sent "GET / HTTP/1.1\r\nAuthorization: [secret]"`,
  ],
  ['got eyJhbGciOi.abcdef.ghi', 'got [secret]'],
  ['got eyJabcdef', 'got [secret]'],
  [`got ${OPAQUE}`, 'got [secret]'],
  [`NAME=${OPAQUE}`, 'NAME=[secret]'],
  [`got ${OPAQUE.slice(0, 20)}=${OPAQUE.slice(20, 40)} here`, 'got [secret] here'],
] as const) {
  test(`what looks like a secret is redacted, and nothing beside it: ${text.slice(0, 40)}`, () => {
    const clean = scrub(text, []);
    assert.equal(clean, expected);
    assert.match(clean, /\[secret\]/);
    for (const one of [clean, scrub(`${text}\n${text}`, [])]) {
      assert.doesNotMatch(one, /abc|def|ghi|hunter2|dapi|dose/, one);
      assert.ok(leaked(one, OPAQUE).length < 8);
      assert.ok(leaked(one, BASIC).length < 8);
    }
  });
}

for (const [text, clean] of [
  ['got eyJhbGci.abc.def and eyJhbGci.ghi.abc', 'got [secret] and [secret]'],
  ['bearer abcdef then BEARER ghiabc', '[secret] then [secret]'],
  ['dapi0123456789 and DAPI0123456789', '[secret] and [secret]'],
  ['http://u:abc@h and HTTP://u:def@h', 'http://u:[secret]@h and HTTP://u:[secret]@h'],
  [`Token = "abc def" and PASSWORD: 'ghi abc'`, 'Token = [secret] and PASSWORD: [secret]'],
  [String.raw`\"token\": \"abc\", \"Secret\": \"def\"`, String.raw`\"token\": [secret], \"Secret\": [secret]`],
  ['token=abc&CLIENT_SECRET=def', 'token=[secret]&CLIENT_SECRET=[secret]'],
  ['token:abc authorization:def', 'token:[secret] authorization:[secret]'],
] as const) {
  test(`each secret is redacted, however it is written, and the words around it stay: ${text}`, () => {
    assert.equal(scrub(text, []), clean);
  });
}

for (const text of [
  'Error: endpoint projects/backstage/branches/production/endpoints/primary does not exist',
  'Error: file-oidc auth: file "/var/run/secrets/lakebase/token" does not exist.',
  'Error: error getting token: Post "https://dbc-1.cloud.databricks.com/oidc/v1/token": {"error":"invalid_client","error_description":"Client authentication failed"}',
  'Error: resolve: /home/app/.databrickscfg has no nope profile configured.',
  'client_id=6f1c2d3e-0000-4000-8000-123456789abc, client_secret=***, databricks_cli_path=/usr/bin/databricks',
  'Error: token is revoked',
  'Error: basic authentication is not supported, use a bearer token',
  'Error: the bearer credential has expired',
  'dial tcp: lookup dapiface.internal: no such host',
  'Env: DATABRICKS_WORKSPACE_0123456789_PRODUCTION',
  'Error: databricksWorkspaceClientAuthenticationFailed',
  'dial tcp: lookup ep-cool-Name-123.database.us-east-1.cloud.databricks.com on 10.0.0.1:53: no such host',
  'please check https://docs.databricks.com/en/dev-tools/auth.html#databricks-client-unified-authentication',
  'Env: DATABRICKS_HOST, DATABRICKS_CLIENT_ID, DATABRICKS_OIDC_TOKEN_FILEPATH',
  'Error: subject_token is not a JWT',
  'proxyconnect tcp: dial tcp: lookup http://proxy:3128/ failed, ask admin@example.com',
  'Error: error getting token: 503 Service Unavailable',
  // What Databricks says of a token without a policy (workload-identity/databricks-service-principal-operator, docs/measured.md).
  `{"error_description":"Failed to process token: TOKEN_AUDIENCE_INVALID (Token audience 'x' invalid)."}`,
  'Failed to process token: TOKEN_INVALID (Ensure a valid federation policy has been configured).',
  'Error: open /var/run/secrets/token: permission denied',
  'Error: authorization: not allowed here',
  String.raw`Error: json: cannot unmarshal number into \"token\": wanted text`,
]) {
  test(`ordinary words stay readable: ${text.slice(0, 60)}`, () => {
    assert.equal(scrub(text, [new Secret(CLIENT_SECRET), new Secret('abc')]), text);
  });
}

test('what the recorded failures say in their first line stays readable', () => {
  for (const { name, stderr } of readTranscripts().filter(({ exitCode }) => exitCode === 1)) {
    const filled = fill(stderr, PLACES);
    const [first = ''] = filled.split(/\s*(?:\n\n|Request log:)/);
    const line = first.replaceAll(/\s+/g, ' ').trim();
    assert.equal(scrub(filled, [new Secret(CLIENT_SECRET)]), line.length > 800 ? `${line.slice(0, 800)}…` : line, name);
  }
});

test('the words are one line of at most 800 characters, without usage text and without a log of requests', () => {
  const usage = readTranscripts().find(({ name }) => name === 'unknown flag')!.stderr;
  assert.equal(scrub(usage, []), 'Error: unknown flag: --nope');
  const dump = readTranscripts().find(({ name }) => name === 'broken JSON answered')!.stderr;
  assert.doesNotMatch(scrub(dump, []), /Request log|Traceparent/);
  assert.equal(scrub('\n\nError: one', []), 'Error: one');
  assert.equal(scrub('one\ntwo\r\n\tthree', []), 'one two three');
  assert.equal(scrub('word '.repeat(1_000), []).length, 801);
  assert.equal(scrub('x'.repeat(800), []), 'x'.repeat(800));
  assert.equal(scrub('', []), '');
});

test('nothing in the words moves the cursor of a terminal, or turns around what stands there', () => {
  const words = '\u001b[2J\u001b[1;1H\u2713 ok \u0007\u009b31m\u202Edlrow\u2066\u200b!\u0000';
  assert.equal(scrub(words, []), '[2J [1;1H\u2713 ok 31m dlrow !');
});

test('a secret at the place where the words are cut off leaves no piece', () => {
  for (let before = 730; before < 810; before += 1) {
    const clean = scrub(`${'x '.repeat(before / 2)}${OPAQUE} tail`, [new Secret(OPAQUE)]);
    assert.ok(leaked(clean, OPAQUE).length < 8);
  }
});

test('long and hostile texts are scrubbed in no time', () => {
  const texts = [
    'token'.repeat(20_000),
    'a'.repeat(100_000),
    'eyJ.'.repeat(25_000),
    `${'aA1'.repeat(30_000)} `,
    '"'.repeat(100_000),
    '://:'.repeat(25_000),
    `${String.raw`token\"=`}${String.raw`\x`.repeat(2_000)}`,
  ];
  for (const text of texts) {
    const start = performance.now();
    scrub(text, [new Secret(JWT)]);
    const tookMs = performance.now() - start;
    assert.ok(tookMs < 1_000, `${text.slice(0, 10)} took ${Math.round(tookMs)} ms`);
  }
});
