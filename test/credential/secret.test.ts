import assert from 'node:assert/strict';
import test from 'node:test';
import { format, inspect } from 'node:util';
import { Secret } from '../../src/credential/secret.ts';

test('a secret shows its text to nobody but who asks for it by name', () => {
  const secret = new Secret('canary');
  const shown = [
    ['', secret].join(),
    String(secret),
    JSON.stringify({ secret, list: [secret] }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    format('%s %o %O %j', secret, secret, secret, secret),
    JSON.stringify(Object.entries(secret)),
    inspect(new Error('failed', { cause: { secret } })),
    JSON.stringify(Object.assign({}, secret)),
  ].join('\n');
  assert.doesNotMatch(shown, /canary/);
  assert.match(shown, /\[secret\]/);
  assert.equal(secret.reveal(), 'canary');
});
