import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Credential } from '../../src/credential/ports.ts';
import { inspectSecret } from '../../src/sinks/inspect-secret.ts';
import {
  asSecret,
  compare,
  isApplier,
  recognise,
  renderSecret,
  renderTrial,
  salvage,
  type SecretObject,
  type SecretSpec,
  sinceOf,
  wasOurs,
  whyUnfit,
} from '../../src/sinks/secret-object.ts';
import { connection, credentialOf, identity, secretSpec } from '../support/sink-credentials.ts';
import { HOUR_MS } from '../support/fakes.ts';

const PREFIX = 'lakebase-credential-sidecar/';
const SPEC: SecretSpec = { ...secretSpec, data: { password: 'token', pgpass: 'pgpass', uri: 'uri' } };
const one = credentialOf(1);
const two = credentialOf(2);

function published(credential = one, spec = SPEC): SecretObject {
  return renderSecret(credential, spec, undefined);
}

function withAnnotations(object: SecretObject, changes: Readonly<Record<string, string>>): SecretObject {
  const annotations = Object.fromEntries(Object.entries(changes).map(([name, value]) => [`${PREFIX}${name}`, value]));
  return {
    ...object,
    metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, ...annotations } },
  };
}

/** As the service makes them. */
function jwtOf(credential: Credential, claims: object): Credential {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return credentialOf(1, `${part({ alg: 'RS256' })}.${part(claims)}.c2ln${credential.fingerprint.slice(0, 8)}`);
}

test('another writer is recognised by what it published, and by nothing else', () => {
  const found = recognise(published(), SPEC);
  assert.deepEqual(
    [found?.token.reveal(), found?.service, found?.fingerprint, found?.local],
    [one.token.reveal(), one.service, one.fingerprint, undefined],
  );
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const { data = {} } = published();
  const living = (lifetimeMs: number): SecretObject =>
    withAnnotations(published(), { 'expires-at': new Date(one.service.issuedAt + lifetimeMs).toISOString() });
  const strange: Record<string, SecretObject> = {
    'no data': { ...published(), data: {} },
    'another token': { ...published(), data: { ...data, password: base64(two.token.reveal()) } },
    'one key with another token': { ...published(), data: { ...data, pgpass: published(two).data!['pgpass']! } },
    'no token in a key': { ...published(), data: { ...data, pgpass: base64('x') } },
    'another fingerprint': withAnnotations(published(), { fingerprint: two.fingerprint }),
    'another identity': published(one, { ...SPEC, identity: { ...identity, principal: 'somebody else' } }),
    'another workspace': published(one, { ...SPEC, identity: { ...identity, workspace: 'https://other.example.com' } }),
    'no times': withAnnotations(published(), { 'expires-at': 'never' }),
    'a life that ends before it begins': withAnnotations(published(), { 'expires-at': '2026-01-01T00:00:00Z' }),
    'no life': living(0),
    'a life of hours': living(HOUR_MS * 2),
    'a life of more than an hour': living(HOUR_MS + 61_000),
    'no annotations': { ...published(), metadata: {} },
  };
  for (const [what, object] of Object.entries(strange)) assert.equal(recognise(object, SPEC), undefined, what);
  assert.ok(recognise(living(HOUR_MS + 60_000), SPEC), 'the service rounds');
});

test('one key that still has what was published is enough for who starts with nothing', () => {
  const { data = {} } = published();
  const keys = (changes: Readonly<Record<string, string>>): SecretObject => ({
    ...published(),
    data: { ...data, ...changes },
  });
  for (const key of ['password', 'pgpass']) {
    for (const value of ['eA==', published(two).data![key]!]) {
      assert.equal(salvage(keys({ [key]: value }), SPEC)?.token.reveal(), one.token.reveal(), key);
    }
  }
  const { password, pgpass } = published(two).data!;
  assert.equal(salvage(keys({ password: password!, pgpass: pgpass! }), SPEC), undefined, 'none has it');
  const theirs = published(one, { ...SPEC, identity: { ...identity, principal: 'somebody else' } });
  assert.equal(salvage({ ...theirs, data: { ...data, password: 'eA==' } }, SPEC), undefined, 'of another identity');
});

test('a key may have any name that Kubernetes takes', () => {
  const data = Object.fromEntries([['constructor', 'token' as const]]);
  const spec: SecretSpec = { ...SPEC, data };
  assert.equal(recognise({ ...published(one, spec), data: {} }, spec), undefined);
  assert.equal(recognise(published(one, spec), spec)?.fingerprint, one.fingerprint);
});

test('what no service gives as a token is not recognised, though all else fits', () => {
  const tokenOnly: SecretSpec = { ...SPEC, data: { password: 'token' } };
  for (const forged of ['two\nlines', 'a blank', 'nul\0']) {
    const credential = credentialOf(1, forged);
    assert.equal(recognise(published(credential, tokenOnly), tokenOnly), undefined, JSON.stringify(forged));
  }
});

test('since when an identity writes stands beside its token, no later than that, and nowhere else', () => {
  const { issuedAt } = one.service;
  const other = { ...SPEC, identity: { ...identity, principal: 'somebody else' } };
  for (const spec of [SPEC, other]) {
    assert.equal(sinceOf(renderSecret(one, spec, undefined, issuedAt - 5_000), SPEC), issuedAt - 5_000);
    assert.equal(sinceOf(published(one, spec), SPEC), issuedAt, 'by a writer that does not tell yet');
  }
  for (const since of ['9999-12-31T00:00:00Z', 'long ago', '']) {
    assert.equal(sinceOf(withAnnotations(published(), { since }), SPEC), issuedAt, since);
  }
  assert.equal(sinceOf(withAnnotations(published(), { fingerprint: 'y' }), SPEC), undefined);
});

test('whoever writes the Secret cannot make a token live longer than the service has signed', () => {
  const exp = one.service.expiresAt / 1_000;
  const honest = jwtOf(one, { exp, sub: 'me' });
  assert.equal(recognise(published(honest), SPEC)?.subject, 'me');
  assert.equal(recognise(published(jwtOf(one, { exp: exp - 1 })), SPEC), undefined);
});

test('a reader gets a credential if all our keys have it; the rest is only marred', () => {
  const object = published();
  assert.equal(compare(object, one, SPEC), 'same');
  assert.equal(compare({ ...object, data: { ...object.data, theirs: 'eA==' } }, one, SPEC), 'same');
  assert.equal(compare(object, two, SPEC), 'other');
  assert.equal(compare({ ...object, data: { password: object.data!['password']! } }, one, SPEC), 'other');
  assert.equal(compare(withAnnotations(object, { 'issued-at': 'x' }), one, SPEC), 'marred');
  assert.equal(compare({ ...object, metadata: { ...object.metadata, labels: {} } }, one, SPEC), 'marred');
  assert.equal(compare({ ...object, type: 'other' }, one, SPEC), 'marred');
  assert.equal(compare(published(one, { ...SPEC, data: { ...SPEC.data, more: 'token' } }), one, SPEC), 'marred');
});

test('what an earlier configuration says of the connection is only marred, what others make of a key is not ours', () => {
  const before = published(one, { ...SPEC, connection: { ...connection, host: 'former.example.com' } });
  const managedBy = (manager: string, ...keys: string[]): SecretObject => {
    const fields = Object.fromEntries(keys.map((key) => [`f:${key}`, {}]));
    const managedFields = [{ manager, operation: 'Apply', fieldsV1: { 'f:data': fields } }];
    return { ...before, metadata: { ...before.metadata, managedFields } };
  };
  const ours = 'lakebase-credential-sidecar.backstage';
  const stateOf = (object: SecretObject, credential = one): string =>
    inspectSecret('secret:apps/lakebase', { object, problem: undefined }, [credential], SPEC).state;
  assert.equal(stateOf(managedBy(ours, 'password', 'pgpass', 'uri')), 'marred');
  assert.equal(stateOf(managedBy(ours, 'password', 'pgpass', 'uri'), two), 'shared');
  assert.equal(stateOf(managedBy(ours, 'password', 'pgpass')), 'lacks');
  assert.equal(stateOf(managedBy('kubectl-edit', 'password', 'pgpass', 'uri')), 'lacks');
  assert.equal(stateOf(before), 'lacks');
  const { uri: _, ...data } = published().data!;
  const bereft = { ...managedBy(ours, 'password', 'pgpass', 'uri'), data };
  assert.equal(stateOf(bereft), 'lacks', 'a webhook has taken a key away');
  const { managedFields = [] } = managedBy(ours, 'password', 'pgpass', 'uri').metadata;
  const successor = published(two, { ...SPEC, identity: { ...identity, principal: 'somebody else' } });
  const theirs = { ...successor, metadata: { ...successor.metadata, managedFields } };
  assert.equal(stateOf(theirs), 'lacks', 'the same release, with another identity');
});

test('what a person has told Reloader and Argo CD is not ours any more', () => {
  const told = { ...published(), metadata: { annotations: { 'reloader.stakater.com/ignore': 'false' } } };
  const requestsIn = (object: SecretObject | undefined) =>
    Object.entries(renderSecret(one, SPEC, object).metadata.annotations).filter(([name]) => !name.startsWith(PREFIX));
  const [reloader, ...argo] = requestsIn(undefined);
  assert.deepEqual(reloader, ['reloader.stakater.com/ignore', 'true']);
  assert.deepEqual(argo, [
    ['argocd.argoproj.io/compare-options', 'IgnoreExtraneous'],
    ['argocd.argoproj.io/sync-options', 'Prune=false'],
  ]);
  assert.deepEqual(requestsIn(told), argo);
  assert.deepEqual(requestsIn(published()), [reloader, ...argo], 'what is ours already is applied again');
});

test('a field was ours if it was published by this identity, and an applier is one that applies', () => {
  const managedFields = [
    { manager: 'theirs', operation: 'Apply' },
    { manager: 'kubectl-edit', operation: 'Update' },
  ];
  const object = { ...published(), metadata: { ...published().metadata, managedFields } };
  assert.ok(wasOurs('.data.password', object, SPEC));
  assert.ok(wasOurs(`.metadata.annotations.${PREFIX}keys`, object, SPEC));
  assert.ok(wasOurs(`.metadata.labels.${PREFIX}credential`, object, SPEC));
  assert.ok(!wasOurs('.metadata.labels.theirs', object, SPEC));
  assert.ok(!wasOurs('.data.theirs', object, SPEC));
  for (const other of ['pass', 'password2']) assert.ok(!wasOurs(`.data.${other}`, object, SPEC));
  assert.ok(!wasOurs('.data.password', published(one, { ...SPEC, identity: { ...identity, resource: 'x' } }), SPEC));
  assert.ok(!wasOurs('.data.password', { ...published(), metadata: {} }, SPEC));
  const { [`${PREFIX}keys`]: _, ...annotations } = published().metadata.annotations ?? {};
  assert.ok(!wasOurs('.data.password', { ...published(), metadata: { annotations } }, SPEC));
  assert.ok(isApplier('theirs', object) && !isApplier('kubectl-edit', object) && !isApplier('nobody', object));
});

test('a field was ours also where annotations were taken away, all or one, as the label that we applied tells', () => {
  const { annotations = {}, labels = {} } = published().metadata;
  const managedFields = [{ manager: 'lakebase-credential-sidecar.backstage', operation: 'Apply' }];
  const isOurs = (metadata: SecretObject['metadata'], field = '.data.password'): boolean =>
    wasOurs(field, { ...published(), metadata: { labels, managedFields, ...metadata } }, SPEC);
  const without = (name: string): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(annotations).filter(([one]) => one !== `${PREFIX}${name}`));
  for (const left of [{}, without('keys'), without('identity')]) {
    assert.ok(isOurs({ annotations: left }));
    assert.ok(!isOurs({ annotations: left }, '.data.theirs'));
  }
  assert.ok(!isOurs({ labels: {} }));
  assert.ok(!isOurs({ labels: { [`${PREFIX}credential`]: 'another' } }));
  assert.ok(!isOurs({ managedFields: [{ manager: 'kubectl-edit', operation: 'Update' }] }));
  assert.ok(!isOurs({ annotations: { [`${PREFIX}identity`]: 'of somebody else' } }));
});

test('what no apply can change is said: a Secret that is immutable, or has another type', () => {
  assert.equal(whyUnfit(published(), SPEC), undefined);
  assert.equal(whyUnfit({ ...published(), immutable: false }, SPEC), undefined);
  assert.match(whyUnfit({ ...published(), immutable: true }, SPEC) ?? '', /is immutable/);
  const wipe = `\u001B[2K${'x'.repeat(1_000_000)}`;
  assert.match(whyUnfit({ ...published(), type: wipe }, SPEC) ?? '', /^has the type \[2Kx{100,1000}, but Opaque/);
  assert.match(whyUnfit({ ...published(), type: 'kubernetes.io/tls' }, SPEC) ?? '', /kubernetes\.io\/tls.*Opaque/);
});

test('a dry run applies what is applied then, with the same keys, but with no token in them', () => {
  const { data, ...rest } = renderTrial(SPEC);
  const { metadata, data: applied, ...alike } = renderSecret(one, SPEC, undefined);
  const { name, namespace } = SPEC;
  assert.deepEqual(rest, { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type: 'Opaque' });
  assert.deepEqual(rest, { ...alike, metadata: { name: metadata.name, namespace: metadata.namespace } });
  assert.deepEqual(Object.keys(data), Object.keys(applied));
  for (const value of Object.values(data)) assert.equal(Buffer.from(value, 'base64').toString(), 'dry run');
});

test('in which order the keys are configured makes no difference to what others are told of them', () => {
  const turned = { ...SPEC, data: Object.fromEntries(Object.entries(SPEC.data).toReversed()) };
  assert.deepEqual(annotationsIn(turned), annotationsIn(SPEC));
});

function annotationsIn(spec: SecretSpec) {
  return renderSecret(one, spec, undefined).metadata.annotations;
}

test('what is no Secret is not taken for one, whatever answers in the place of the API server', () => {
  const texts = { a: 'text' };
  const whole = {
    metadata: {
      name: 'lakebase',
      resourceVersion: '1',
      annotations: texts,
      labels: texts,
      managedFields: [{ manager: 'one' }],
    },
    type: 'Opaque',
    immutable: true,
    data: texts,
  };
  const found = (value: unknown) => asSecret(value, 'lakebase');
  for (const secret of [whole, { metadata: { name: 'lakebase' } }]) assert.equal(found(secret), secret);
  for (const strange of [undefined, null, 1, 'text', [], {}, { metadata: null }, { metadata: [] }, { metadata: {} }]) {
    assert.equal(found(strange), undefined, JSON.stringify(strange));
  }
  for (const [key, ...values] of [
    ['name', null, 'another'],
    ['annotations', null, [], 'text', { a: 1 }, { a: 'text', b: null }],
    ['labels', null, [], 'text', { a: 1 }],
    ['managedFields', null, {}, 'text', [null], [{}, 1]],
    ['resourceVersion', null, 1, {}],
  ] as const) {
    for (const value of values) {
      const metadata = { ...whole.metadata, [key]: value };
      assert.equal(found({ ...whole, metadata }), undefined, `${key}: ${JSON.stringify(value)}`);
    }
  }
  for (const [key, ...values] of [
    ['data', null, [], 'text', { a: 1 }],
    ['type', null, 1, {}],
    ['immutable', null, 'true', 1],
  ] as const) {
    for (const value of values) {
      assert.equal(found({ ...whole, [key]: value }), undefined, `${key}: ${JSON.stringify(value)}`);
    }
  }
});
