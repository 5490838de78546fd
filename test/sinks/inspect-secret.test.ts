import assert from 'node:assert/strict';
import test from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { Credential } from '../../src/credential/ports.ts';
import { inspectSecret } from '../../src/sinks/inspect-secret.ts';
import { renderSecret, type SecretObject, type SecretSpec } from '../../src/sinks/secret-object.ts';
import { credentialOf, identity, secretSpec } from '../support/sink-credentials.ts';
import { HOUR_MS } from '../support/fakes.ts';

const SPEC: SecretSpec = { ...secretSpec, data: { password: 'token', uri: 'uri' } };
const ours = credentialOf(1);

function issuedAfterOurs(ms: number): Credential {
  const service = { issuedAt: ours.service.issuedAt + ms, expiresAt: ours.service.issuedAt + ms + HOUR_MS };
  return { ...credentialOf(2), service };
}

function inspect(object: SecretObject | undefined, problem?: SinkError) {
  return inspectSecret('secret:apps/lakebase', { object, problem }, [ours], SPEC);
}

function lacking(object: SecretObject | undefined, problem?: SinkError): SinkError {
  const inspection = inspect(object, problem);
  assert.ok(inspection.state === 'lacks');
  return inspection.problem;
}

test('what nobody could look at is not said to be missing', () => {
  const silent = new SinkError('unreachable', 'no answer');
  assert.equal(lacking(undefined, silent), silent);
  assert.equal(lacking(undefined).failure, 'missing');
});

test('a Secret that was deleted is made again at the next look, and not before', () => {
  const { retryAfterMs } = lacking(undefined);
  assert.ok(retryAfterMs > 500 && retryAfterMs < 1_000, `${retryAfterMs}`);
});

test('what stands in a Secret is ours, another writer’s of the same identity, or foreign', () => {
  const published = renderSecret(ours, SPEC, undefined);
  assert.deepEqual(inspect(published), { state: 'holds', credential: ours });
  assert.deepEqual(inspect({ ...published, type: 'x' }), { state: 'marred', credential: ours });
  const shared = inspect(renderSecret(issuedAfterOurs(1_000), SPEC, undefined));
  assert.equal(shared.state === 'shared' && shared.found.fingerprint, credentialOf(2).fingerprint);
  const damaged = { ...published, data: { ...published.data, uri: 'eA==' } };
  assert.equal(lacking(damaged).failure, 'foreign_content', 'our token, and something else beside it');
});

test('only what an identity writes that began later is left alone for a while: in a roll-out its writer is to stay', () => {
  const successor: SecretSpec = { ...SPEC, identity: { ...identity, principal: 'another' } };
  const since = ours.service.issuedAt - HOUR_MS;
  for (const [ms, isLeft] of [
    [1, true],
    [0, false],
    [-1, false],
  ] as const) {
    const object = renderSecret(issuedAfterOurs(1_000), successor, undefined, since + ms);
    const inspection = inspectSecret('secret:apps/lakebase', { object, problem: undefined }, [ours], SPEC, since);
    assert.ok(inspection.state === 'lacks');
    const { failure, message, retryAfterMs } = inspection.problem;
    assert.equal(failure, 'foreign_content');
    assert.equal(retryAfterMs >= 30_000, isLeft, `${ms} ms later`);
    assert.equal(retryAfterMs === 0, !isLeft, `${ms} ms later`);
    assert.equal(message.endsWith('a token of a newer identity'), isLeft);
  }
});
