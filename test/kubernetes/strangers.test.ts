import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deniedVerbs } from '../../src/kubernetes/access-review.ts';
import { conflictsIn, toSinkError } from '../../src/kubernetes/api-errors.ts';
import { asSecret, renderSecret } from '../../src/sinks/secret-object.ts';
import { connection, credentialOf, identity } from '../support/sink-credentials.ts';

const TARGET = { resource: 'secrets', namespace: 'backstage', name: 'lakebase' } as const;

test('what a proxy answers in the place of the API server is no Secret, whatever it is', () => {
  const spec = { namespace: 'b', name: 'l', data: { a: 'token' }, type: 'Opaque', connection, identity } as const;
  const secret = renderSecret(credentialOf(0), { ...spec, credentialName: 'backstage' }, undefined);
  for (const own of [secret, { ...secret, immutable: true }]) assert.equal(asSecret(own, 'l'), own);
  for (const stranger of [
    undefined,
    null,
    7,
    'ok',
    [],
    {},
    { metadata: null },
    { ...secret, data: ['a'] },
    { ...secret, data: { a: 1 } },
    { ...secret, type: {} },
    { ...secret, immutable: 'true' },
    { metadata: { name: 'l', annotations: 'a' } },
    { metadata: { name: 'l', managedFields: {} } },
    { metadata: { name: 'l', managedFields: [null] } },
    { metadata: { name: 'l', resourceVersion: 7 } },
  ]) {
    assert.equal(asSecret(stranger, 'l'), undefined, JSON.stringify(stranger));
  }
});

test('a refusal in any shape is put into words', () => {
  const odd = [null, 7, 'no', [], {}, { message: 7 }, { details: null }, { details: { causes: {} } }];
  for (const body of [...odd, { message: null, details: { causes: [null, 7, { message: [] }, { reason: 'x' }] } }]) {
    for (const status of [403, 409]) {
      const answer = { status, body, retryAfterMs: 0 };
      assert.match(toSinkError('patch', TARGET, answer).message, /^cannot patch .* the server answered \d+ \(\d+\)$/);
      assert.deepEqual(conflictsIn(answer), []);
    }
  }
});

test('nothing in a refusal moves the cursor of a terminal, or turns around what stands there', () => {
  const body = { kind: 'Status', message: 'no\u001b[2J \u202Eway\u009b31m' };
  const { message } = toSinkError('patch', TARGET, { status: 403, body, retryAfterMs: 0 });
  assert.match(message, /: no \[2J way 31m \(403\)$/);
});

test('who sends elsewhere, as to a login page, or denies something in words of its own, is not the API server, and that is said', () => {
  for (const [status, body] of [
    [302, undefined],
    [403, undefined],
    [404, undefined],
    [404, { type: 'error', message: 'no such cluster' }],
  ] as const) {
    const { failure, message, remedy } = toSinkError('get', TARGET, { status, body, retryAfterMs: 0 });
    assert.equal(failure, 'unreachable');
    assert.doesNotMatch(message, /the API server answered/);
    assert.match(remedy, /^find out which proxy or login page answers/, 'in a pod there is no kubeconfig to change');
  }
  const gone = { kind: 'Status', message: 'namespaces "backstage" not found' };
  assert.equal(toSinkError('patch', TARGET, { status: 404, body: gone, retryAfterMs: 0 }).failure, 'no_namespace');
});

test('who answers a question about permissions with something else is not said to have denied them', async (t) => {
  for (const body of [undefined, null, {}, { status: 'Success' }, { status: { allowed: 'yes' } }]) {
    const api = { request: async () => await Promise.resolve({ status: 200, body, retryAfterMs: 0 }) };
    await assert.rejects(deniedVerbs(api, TARGET, t), { failure: 'unreachable' });
  }
});
