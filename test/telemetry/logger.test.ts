import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Logger } from 'pino';
import { ConfigError, MintError, SinkError } from '../../src/credential/errors.ts';
import { Secret } from '../../src/credential/secret.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { CANARY } from '../support/statuses.ts';

function logged(write: (log: Logger) => void, level = 'info') {
  let text = '';
  write(createLogger({ level, version: '1.2.3' }, { write: (line) => void (text += line) }));
  const [line] = text.split('\n').flatMap((one) => (one === '' ? [] : [JSON.parse(one) as Record<string, unknown>]));
  return { text, line: line ?? {}, err: (line?.['err'] ?? {}) as Record<string, unknown> };
}

describe('a log line', () => {
  test('is JSON with an RFC 3339 time, a level in a word, and the version', () => {
    const { line } = logged((log) => log.info({ credential: 'backstage' }, 'minted'));
    assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.deepEqual(
      { ...line, time: '' },
      { level: 'info', time: '', version: '1.2.3', credential: 'backstage', msg: 'minted' },
    );
  });

  test('below the level is not written', () => {
    assert.equal(logged((log) => log.debug('mint started')).text, '');
  });

  const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl';
  const leaks: [string, object, string?][] = [
    ['a Secret', { credential: { token: new Secret(CANARY) } }],
    ['a token', { token: CANARY }],
    ['a nested password', { connection: { password: CANARY } }],
    ['a client secret two levels down', { auth: { identity: { clientSecret: CANARY } } }],
    ['what OAuth and Kubernetes call a secret', { secret: CANARY, client_secret: CANARY, access_token: CANARY }],
    ['a header', { request: { headers: { authorization: CANARY } } }],
    ['a token in the middle of a field', { detail: `answered {"token":"${jwt}"}` }],
    ['a token in an unsuspicious list', { args: [jwt] }],
    ['a token in an error', { err: new Error(`cannot parse ${jwt}`, { cause: new Error(jwt) }) }],
    ['what hangs on an error', { err: Object.assign(new Error('exit 1'), { stdout: CANARY, all: [CANARY] }) }],
    ['what a library calls a code', { err: Object.assign(new Error('no'), { code: { CANARY }, failure: [CANARY] }) }],
    ['what hangs on the cause of an error', { err: new Error('no', { cause: { stdout: CANARY } }) }],
    ['what was thrown and is no error', { err: CANARY }],
    ['a token cut off in its middle', { detail: jwt.slice(0, 30) }],
    ['a token in the message', {}, `got ${jwt}`],
  ];
  for (const [title, fields, message = 'something'] of leaks) {
    test(`hides ${title}`, () => {
      const { text } = logged((log) => log.error(fields, message), 'trace');
      assert.match(text, /"msg"/);
      assert.doesNotMatch(text, new RegExp(`${CANARY}|eyJ`));
    });
  }
});

describe('an error in a log line', () => {
  test('has name, code, failure, message and causes, and no stack if it was foreseen', () => {
    const { err } = logged((log) =>
      log.warn({ err: new MintError('auth', 'the workspace refuses', { detail: 'no' }) }),
    );
    assert.deepEqual(err, { name: 'MintError', code: 'mint', failure: 'auth', message: 'the workspace refuses' });
  });

  test('that was foreseen has no stack of what caused it either', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const error = new SinkError('unreachable', 'the API server cannot be reached', { cause });
    assert.deepEqual(logged((log) => log.warn({ err: error })).err['cause'], {
      name: 'Error',
      code: 'ECONNREFUSED',
      message: 'connect ECONNREFUSED',
    });
    assert.match(logged((log) => log.warn({ err: error }), 'debug').text, /logger\.test\.ts/);
  });

  test('shows its chain of causes with their codes', () => {
    const cause = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' });
    const { err } = logged((log) => log.error({ err: new Error('cannot listen', { cause }) }));
    assert.equal((err['cause'] as Record<string, unknown>)['code'], 'EADDRINUSE');
  });

  test('ends a chain of causes that runs in a circle', () => {
    const error: Error = new Error('one');
    error.cause = error;
    assert.equal(logged((log) => log.error({ err: error })).line['msg'], 'one');
  });

  test('has a stack if it was not foreseen', () => {
    assert.match(String(logged((log) => log.error({ err: new TypeError('a bug') })).err['stack']), /logger\.test\.ts/);
  });

  test('that lists thousands of mistakes is cut, so that its line is not too long to be written', () => {
    const issues = Array.from({ length: 4_000 }, (_, i) => ({
      path: `credentials[${i}].ttl`,
      message: 'is no duration',
    }));
    const error = new ConfigError(issues);
    error.cause = new ConfigError(issues);
    const { text, err } = logged((log) => log.warn({ err: error }, 'not reloaded'), 'debug');
    assert.match(String(err['message']), /^credentials\[0\]\.ttl: is no duration\n[^]+ …$/);
    assert.ok(text.length < 128 * 1024, `${text.length} characters`);
  });

  test('has a stack in any case at debug, also where that comes later', () => {
    const error = new ConfigError([{ path: 'http.port', message: 'must be a port' }]);
    const later = logged((log) => {
      log.level = 'debug';
      log.child({ credential: 'backstage' }).error({ err: error });
    });
    assert.ok(later.err['stack']);
    const { err } = logged((log) => log.error({ err: error }), 'debug');
    assert.equal(err['message'], 'http.port: must be a port');
    assert.ok(err['stack']);
  });
});
