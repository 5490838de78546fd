import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import test from 'node:test';
import { inspect } from 'node:util';
import { readClaims } from '../../src/credential/claims.ts';
import { MintError } from '../../src/credential/errors.ts';
import type { Credential } from '../../src/credential/ports.ts';
import { parseResponse } from '../../src/minters/response.ts';
import { readTranscripts } from '../support/cli-transcripts.ts';
import { HOUR_MS } from '../support/fakes.ts';

const NOW = Date.parse('2030-01-01T00:00:00Z');
const REQUEST = { issuedAt: NOW, monotonicAt: 77, ttlMs: undefined };

function jwt(claims: unknown): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJlLWNhbmFyeQ`;
}

function rfc3339(at: number): string {
  return new Date(at).toISOString();
}

/** By the service's clock, which is ahead of ours by the skew. */
function answered({
  skewMs = 0,
  lifetimeMs = HOUR_MS,
  iat = true,
  exp = true,
  expire = true,
  ttlMs = HOUR_MS,
} = {}): Credential {
  const at = NOW + skewMs;
  const token = jwt({
    ...(iat ? { iat: at / 1_000 } : {}),
    ...(exp ? { exp: (at + lifetimeMs) / 1_000 } : {}),
  });
  const answer = { token, ...(expire ? { expire_time: rfc3339(at + lifetimeMs) } : {}) };
  return parseResponse(JSON.stringify(answer), { ...REQUEST, ttlMs });
}

function refusal(stdout: string): MintError {
  let refused: unknown;
  try {
    parseResponse(stdout, REQUEST);
  } catch (error) {
    refused = error;
  }
  assert.ok(refused instanceof MintError, `accepted ${stdout}`);
  return refused;
}

for (const skewMs of [0, 10 * 60_000, -10 * 60_000, 26 * HOUR_MS]) {
  test(`the local lifetime is right where the clocks differ by ${skewMs / 1_000} s`, () => {
    const { local, service, monotonicAt } = answered({ skewMs, lifetimeMs: 5 * 60_000, ttlMs: 5 * 60_000 });
    assert.deepEqual(local, { issuedAt: NOW, expiresAt: NOW + 5 * 60_000 });
    assert.deepEqual(service, { issuedAt: NOW + skewMs, expiresAt: NOW + skewMs + 5 * 60_000 });
    assert.equal(monotonicAt, 77);
  });
}

test('without iat the service is taken to share our clock', () => {
  const { local, service } = answered({ iat: false, skewMs: -10 * 60_000 });
  assert.equal(local.expiresAt, NOW + 50 * 60_000);
  assert.equal(service.issuedAt, NOW);
});

test('without iat a fast local clock makes a token that seems to be expired', () => {
  const { local } = answered({ iat: false, skewMs: -10 * 60_000, lifetimeMs: 5 * 60_000 });
  assert.ok(local.expiresAt < local.issuedAt);
});

test('where expire_time and exp differ, the earlier counts', () => {
  for (const [expireMs, expMs] of [
    [HOUR_MS, 20 * 60_000],
    [20 * 60_000, HOUR_MS],
  ] as const) {
    const token = jwt({ iat: NOW / 1_000, exp: (NOW + expMs) / 1_000 });
    const stdout = JSON.stringify({ token, expire_time: rfc3339(NOW + expireMs) });
    const { local, service } = parseResponse(stdout, REQUEST);
    assert.equal(service.expiresAt, NOW + 20 * 60_000);
    assert.equal(local.expiresAt, NOW + 20 * 60_000);
  }
});

test('either of expire_time and exp is enough', () => {
  assert.equal(answered({ expire: false }).service.expiresAt, NOW + HOUR_MS);
  assert.equal(answered({ exp: false }).service.expiresAt, NOW + HOUR_MS);
  const token = jwt({ exp: NOW / 1_000 + 60 });
  assert.equal(parseResponse(JSON.stringify({ token, expiration_time: null }), REQUEST).local.expiresAt, NOW + 60_000);
  const opaque = parseResponse(JSON.stringify({ token: 'opaque', expire_time: rfc3339(NOW + 60_000) }), REQUEST);
  assert.equal(opaque.local.expiresAt, NOW + 60_000);
});

test('the older API calls the expiry expiration_time', () => {
  const stdout = JSON.stringify({ token: 'opaque', expiration_time: '2030-01-01T01:30:00.123456789+01:00' });
  assert.equal(parseResponse(stdout, REQUEST).service.expiresAt, NOW + 30 * 60_000 + 123);
});

test('an expiry may be west of Greenwich, or in small letters', () => {
  for (const expiry of ['2029-12-31T23:30:00-01:00', '2030-01-01t00:30:00z']) {
    const stdout = JSON.stringify({ token: 'opaque', expire_time: expiry });
    assert.equal(parseResponse(stdout, REQUEST).service.expiresAt, NOW + 30 * 60_000, expiry);
  }
});

test('the lifetime is never more than what was asked for, an hour where nothing was', () => {
  const lifetimeOf = ({ local }: Credential): number => local.expiresAt - local.issuedAt;
  assert.equal(lifetimeOf(answered({ lifetimeMs: HOUR_MS, ttlMs: 5 * 60_000 })), 5 * 60_000);
  const stdout = JSON.stringify({ token: jwt({ iat: 0, exp: NOW / 500 }) });
  assert.equal(lifetimeOf(parseResponse(stdout, REQUEST)), HOUR_MS);
  assert.equal(lifetimeOf(answered({ iat: false, skewMs: HOUR_MS })), HOUR_MS, 'a slow clock adds nothing');
});

test('the fingerprint is the SHA-256 of the token, and the token stays as it is', () => {
  const token = jwt({ exp: NOW / 1_000 + 60 });
  const credential = parseResponse(`  ${JSON.stringify({ token, other: [1] })}\n\n`, REQUEST);
  assert.equal(credential.token.reveal(), token);
  assert.equal(credential.fingerprint, hash('sha256', token));
});

const EXPIRY = `"expire_time":"${rfc3339(NOW + HOUR_MS)}"`;
for (const [title, stdout, message] of [
  ['nothing', '', /did not print a JSON object/],
  ['text', 'canary', /did not print a JSON object/],
  ['half of an object', '{"token":"canary', /did not print a JSON object/],
  ['two objects', `{"token":"canary"}{"token":"canary"}`, /did not print a JSON object/],
  ['null', 'null', /did not print a JSON object/],
  ['a number', '7', /did not print a JSON object/],
  ['a text in JSON', '"canary"', /did not print a JSON object/],
  ['a list', `[{"token":"canary",${EXPIRY}}]`, /did not print a JSON object/],
  ['an empty object', '{}\n', /did not print a token/],
  ['no token', `{${EXPIRY}}`, /did not print a token/],
  ['an empty token', `{"token":"",${EXPIRY}}`, /did not print a token/],
  ['a token that is no text', `{"token":{"canary":1},${EXPIRY}}`, /did not print a token/],
  ['a token with a newline', `{"token":"canary\\n",${EXPIRY}}`, /white space or control/],
  ['a token with a blank', `{"token":"can ary",${EXPIRY}}`, /white space or control/],
  ['a token with a NUL', `{"token":"canary\\u0000",${EXPIRY}}`, /white space or control/],
  ['a token that no server would take', `{"token":"${'canary'.repeat(10_000)}",${EXPIRY}}`, /longer than any/],
  ['a token with a letter beyond ASCII', `{"token":"canäry",${EXPIRY}}`, /white space or control/],
  ['no expiry', '{"token":"canary.def.ghi"}', /neither the response nor the token/],
  ['an empty expiry', '{"token":"canary","expire_time":""}', /is not an RFC 3339 time/],
  ['an expiry without an offset', '{"token":"canary","expire_time":"2030-01-01T01:00:00"}', /is not an RFC 3339 time/],
  ['an expiry that is no day', '{"token":"canary","expire_time":"2030-13-01T01:00:00Z"}', /is not an RFC 3339 time/],
  ['an expiry that is a number', '{"token":"canary","expire_time":1893459600}', /is not an RFC 3339 time/],
] as const) {
  test(`${title} is a bad response, and the error has nothing of it`, () => {
    const error = refusal(stdout);
    assert.equal(error.failure, 'bad_response');
    assert.match(error.message, message);
    assert.doesNotMatch(
      inspect(error, { depth: 9, showHidden: true }).replaceAll(/ at .*/g, ''),
      /canary|can ary|canär/,
    );
  });
}

test('of what prints no JSON the command is to blame, and not the workspace', () => {
  assert.match(refusal('hello').remedy, /^set minter\.cli\.command to the Databricks CLI itself/);
  assert.match(refusal('{}').remedy, /^check that DATABRICKS_HOST/);
});

test('claims that are no times are as good as none', () => {
  for (const claim of ['1893459600', null, {}, 1e300, -1e300, Number.MAX_VALUE]) {
    const token = jwt({ iat: claim, exp: claim });
    const { service, local } = parseResponse(JSON.stringify({ token, expire_time: rfc3339(NOW + HOUR_MS) }), REQUEST);
    assert.deepEqual(service, { issuedAt: NOW, expiresAt: NOW + HOUR_MS }, JSON.stringify(claim));
    assert.deepEqual(local, service);
    assert.equal(refusal(JSON.stringify({ token })).failure, 'bad_response');
  }
});

test('claims that are made to trip whoever joins, shows or walks them are as good as none', () => {
  const deep = '['.repeat(50_000) + ']'.repeat(50_000);
  for (const claim of ['{"toString":1}', '[{"toString":1}]', '[{"toString":1,"join":1}]', `[${deep}]`]) {
    const payload = `{"aud":${claim},"iss":${claim},"sub":${claim}}`;
    const token = `e30.${Buffer.from(payload).toString('base64url')}.c2ln`;
    assert.equal(readClaims(token).subject, undefined);
    if (claim.includes(deep)) continue; // which is longer than a token may be
    const stdout = JSON.stringify({ token, expire_time: rfc3339(NOW + HOUR_MS) });
    assert.equal(parseResponse(stdout, REQUEST).subject, undefined);
  }
});

test('claims with fractions of a second give whole milliseconds', () => {
  for (const at of [NOW + 1, NOW + 123, NOW + 999]) {
    const token = jwt({ iat: at / 1_000, exp: (at + 4_000) / 1_000 });
    const { service } = parseResponse(JSON.stringify({ token }), REQUEST);
    assert.deepEqual(service, { issuedAt: at, expiresAt: at + 4_000 });
  }
});

test('whom the token is for is what it says itself, so that one for somebody else can be told apart', () => {
  const token = jwt({ sub: 'a-client-id', exp: NOW / 1_000 + 60 });
  assert.equal(parseResponse(JSON.stringify({ token }), REQUEST).subject, 'a-client-id');
});

test('a payload that cannot be read is as good as none', () => {
  for (const token of ['a.b.c', 'a..c', '...', `a.${Buffer.from('7').toString('base64url')}.c`, 'a.!!!.c']) {
    const { service } = parseResponse(JSON.stringify({ token, expire_time: rfc3339(NOW + HOUR_MS) }), REQUEST);
    assert.equal(service.issuedAt, NOW);
  }
});

for (const { name, stdout } of readTranscripts().filter(
  ({ argv, exitCode }) => exitCode === 0 && argv[0] !== 'version',
)) {
  test(`the transcript "${name}" is read`, () => {
    const token = jwt({ iat: NOW / 1_000, exp: (NOW + HOUR_MS) / 1_000 });
    const filled = stdout.replaceAll('{jwt}', token).replaceAll('{rfc3339}', '2030-01-01T01:00:00Z');
    if (name === 'empty object answered' || name === 'token without expire_time') {
      assert.equal(refusal(filled).failure, 'bad_response');
    } else {
      assert.equal(parseResponse(filled, REQUEST).local.expiresAt, NOW + HOUR_MS);
    }
  });
}
