import assert from 'node:assert/strict';
import { test } from 'node:test';
import { confidentialIn } from '../../src/sinks/confidential.ts';
import { renderSecret } from '../../src/sinks/secret-object.ts';
import { credentialOf, secretSpec } from '../support/sink-credentials.ts';

function objectWith(data: Readonly<Record<string, string>>) {
  return { ...renderSecret(credentialOf(0), secretSpec, undefined), data };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

test('what stands under keys of ours, and the token in it, is not for others to see; other keys are not looked at', () => {
  const token = credentialOf(0).token.reveal();
  const object = objectWith({ password: base64(token), other: base64('x'.repeat(100)) });
  assert.deepEqual(confidentialIn(object, secretSpec), [base64(token), token]);
  assert.deepEqual(confidentialIn(objectWith({}), secretSpec), []);
  assert.deepEqual(confidentialIn(undefined, secretSpec), []);
});

test('a word that somebody has put there by hand is no secret: an error that has it stays readable', () => {
  assert.deepEqual(confidentialIn(objectWith({ password: base64('password') }), secretSpec), []);
});

test('of a value that fills the Secret only the beginning counts: to look for all of it in an error would take seconds', () => {
  const found = confidentialIn(objectWith({ password: base64('x'.repeat(1_000_000)) }), secretSpec);
  assert.deepEqual(
    found.map(({ length }) => length),
    [16_384, 16_384],
  );
});
