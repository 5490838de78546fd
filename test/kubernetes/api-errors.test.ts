import assert from 'node:assert/strict';
import test from 'node:test';
import {
  conflictsIn,
  isNotFound,
  quotable,
  type Target,
  toSinkError,
  unreachable,
} from '../../src/kubernetes/api-errors.ts';

const SECRET: Target = { resource: 'secrets', namespace: 'backstage', name: 'lakebase' };

function refused(status: number, message: string, causes: readonly unknown[] = []) {
  return { status, body: { kind: 'Status', message, details: { causes } }, retryAfterMs: 0 };
}

for (const [status, failure, remedy] of [
  [400, 'unknown', /^read the error message: `check` prints it/],
  [401, 'forbidden', /token of the service account/],
  [403, 'forbidden', /admission policy or webhook/],
  [404, 'no_namespace', /create the namespace/],
  [409, 'conflict', /admission policy or webhook/],
  [410, 'unreachable', /can reach the API server/],
  [413, 'refused', /1 MiB/],
  [422, 'refused', /1 MiB/],
  [429, 'throttled', /is less busy/],
  [500, 'unreachable', /what is wrong with the API server/],
  [503, 'unreachable', /what is wrong with the API server/],
] as const) {
  test(`an API server that answers ${status} is told as ${failure}, in its own words and with what to do`, () => {
    const error = toSinkError('patch', SECRET, refused(status, 'for a reason'));
    assert.equal(error.failure, failure);
    assert.equal(error.message, `cannot patch secrets "lakebase" in namespace "backstage": for a reason (${status})`);
    assert.match(error.remedy, remedy);
  });
}

for (const [status, words] of [
  // A webhook that gives no code, as Kyverno's; its own words may be anything.
  [400, 'admission webhook "validate.kyverno.svc-fail" denied the request: a label is missing'],
  [412, 'admission webhook "say.example.com" denied the request without explanation'],
  [
    422,
    `secrets "lakebase" is forbidden: ValidatingAdmissionPolicy 'owners' with binding 'b' denied request: a label is missing`,
  ],
] as const) {
  test(`what a webhook or policy of the cluster denies with ${status} is told as that, and not as a fault of the Secret`, () => {
    const { failure, message, remedy } = toSinkError('patch', SECRET, refused(status, words));
    assert.equal(failure, 'forbidden');
    assert.ok(message.endsWith(`: ${words} (${status})`), message);
    assert.match(remedy, /admission policy or webhook/);
  });
}

test('a webhook that has no time, or cannot be asked, has denied nothing', () => {
  const words = 'admission webhook "say.example.com" denied the request: no time';
  for (const [status, failure, todo] of [
    [429, 'throttled', /is less busy/],
    [500, 'unreachable', /why the webhook that the error message names fails/],
    [503, 'unreachable', /why the webhook that the error message names fails/],
  ] as const) {
    const error = toSinkError('patch', SECRET, refused(status, words));
    assert.equal(error.failure, failure);
    assert.match(error.remedy, todo);
  }
});

test('a webhook that is away is what to look at, and not the network to the API server, which has answered', () => {
  const words =
    'Internal error occurred: failed calling webhook "mutate.kyverno.svc-fail": failed to call webhook: Post "https://kyverno-svc.kyverno.svc:443/mutate/fail?timeout=10s": dial tcp 10.96.1.2:443: connect: connection refused';
  const { failure, message, remedy } = toSinkError('patch', SECRET, refused(500, words));
  assert.equal(failure, 'unreachable');
  assert.ok(message.endsWith(`: ${words} (500)`), message);
  assert.match(remedy, /^find out why the webhook .* or why the API server cannot call it/);
});

test('a gateway that answers because it cannot reach the API server says where to look: at the network', () => {
  for (const body of [undefined, { message: 'no healthy upstream' }]) {
    const { remedy } = toSinkError('patch', SECRET, { status: 503, body, retryAfterMs: 0 });
    assert.match(remedy, /can reach the API server/);
  }
});

test('what a quota of the namespace refuses is told as that, and not as a policy of the cluster', () => {
  const words =
    'secrets "lakebase" is forbidden: exceeded quota: few, requested: count/secrets=1, used: count/secrets=9';
  const { failure, message, remedy } = toSinkError('patch', SECRET, refused(403, words));
  assert.equal(failure, 'forbidden');
  assert.ok(message.endsWith(`: ${words} (403)`), message);
  assert.match(remedy, /^give the namespace a larger quota/);
});

test('what changed while the API server counted it against a quota is tried again, and no policy is to blame', () => {
  const words =
    'Operation cannot be fulfilled on resourcequotas "few": the object has been modified; please apply your changes to the latest version and try again';
  const { failure, remedy } = toSinkError('patch', SECRET, refused(409, words));
  assert.equal(failure, 'conflict');
  assert.match(remedy, /^nothing: it is tried again/);
});

test('a missing permission is told with the user who lacks it, and with the rule that gives it', () => {
  const words = 'secrets "lakebase" is forbidden: User "system:serviceaccount:backstage:app" cannot patch resource';
  const { failure, message, remedy } = toSinkError('get', SECRET, refused(403, words));
  const rule =
    '- {apiGroups: [""], resources: [secrets], resourceNames: [lakebase], verbs: [get, watch, patch, create]}';
  assert.equal(failure, 'forbidden');
  assert.equal(
    message,
    `cannot patch secrets "lakebase" in namespace "backstage": system:serviceaccount:backstage:app lacks the rule ${rule}`,
  );
  assert.ok(remedy.includes(`namespace backstage`) && remedy.includes(rule), remedy);
  const events = toSinkError('create', { resource: 'events', namespace: 'backstage' }, refused(403, words));
  assert.match(events.message, /lacks the rule - \{apiGroups: \[""\], resources: \[events\], verbs: \[create\]\}$/);
});

test('a right to something else that is missing, as to impersonate, is not told as one to the Secret', () => {
  const words =
    'users "writer" is forbidden: User "ci" cannot impersonate resource "users" in API group "" at the cluster scope';
  const { message, remedy } = toSinkError('patch', SECRET, refused(403, words));
  assert.equal(message, `cannot patch secrets "lakebase" in namespace "backstage": ${words} (403)`);
  assert.match(remedy, /^give the user that the error message names the right/);
});

test('an apply that an older API server forbids without a reason lacks the verb create', () => {
  const { message, remedy } = toSinkError('patch', SECRET, refused(403, 'secrets "lakebase" is forbidden: '));
  assert.match(message, /^cannot create secrets "lakebase" in namespace "backstage": this process lacks the rule - /);
  assert.match(remedy, /^add this rule to a Role in the namespace backstage/);
  const { message: other } = toSinkError('patch', SECRET, refused(403, 'secrets "lakebase" is forbidden: not today'));
  assert.match(other, /is forbidden: not today \(403\)$/);
  const { message: ofLook } = toSinkError('get', SECRET, refused(403, 'secrets "lakebase" is forbidden: '));
  assert.match(ofLook, /^cannot get secrets .*: secrets "lakebase" is forbidden: \(403\)$/, 'a look creates nothing');
});

test('what a webhook may not do is no missing permission of ours', () => {
  const words = 'failed calling webhook "policy": User "system:serviceaccount:policy:hook" cannot list resource "pods"';
  const { failure, message } = toSinkError('patch', SECRET, refused(500, words));
  assert.equal(failure, 'unreachable');
  assert.ok(message.endsWith(`${words} (500)`), message);
});

test('a limit on open files that keeps a connection from being opened is what to raise', () => {
  const { failure, remedy } = unreachable('', Object.assign(new Error('too many'), { code: 'EMFILE' }));
  assert.deepEqual([failure, remedy], ['unreachable', 'raise the limit on the open files of the sidecar (ulimit -n)']);
});

test('a server is left alone for as long as it asks for', () => {
  const { retryAfterMs } = toSinkError('patch', SECRET, { ...refused(429, 'slow down'), retryAfterMs: 7_000 });
  assert.equal(retryAfterMs, 7_000);
});

test('a namespace that is being deleted is not taken for a missing permission', () => {
  const { remedy } = toSinkError('patch', SECRET, refused(403, 'no', [{ reason: 'NamespaceTerminating' }]));
  assert.match(remedy, /wait until the namespace is gone/);
});

test('of a conflict, each field is told with its manager; other causes are none, nor is a 409 without any', () => {
  const message = 'conflict with "kubectl-edit" using v1';
  const causes = [
    { reason: 'FieldManagerConflict', message, field: '.data.password' },
    { reason: 'FieldManagerConflict', message: 'conflict', field: '.type' },
    { reason: 'FieldValueInvalid', message, field: '.data' },
  ];
  assert.deepEqual(conflictsIn(refused(409, 'no', causes)), [
    { manager: 'kubectl-edit', field: '.data.password' },
    { manager: 'another manager', field: '.type' },
  ]);
  assert.deepEqual(conflictsIn(refused(409, 'the object has been modified')), []);
  assert.deepEqual(conflictsIn(refused(422, 'no', causes)), []);
});

test('only an API server that answers 404 says that something is not there: trouble of any other kind says nothing', () => {
  for (const status of [401, 403, 404, 410, 429, 500, 503]) {
    assert.equal(isNotFound(refused(status, 'no')), status === 404, `${status}`);
  }
  assert.equal(isNotFound({ status: 404, body: undefined, retryAfterMs: 0 }), false, 'that was a proxy');
});

test('words of others are quoted without what must not be said, without tokens of any kind, and in short', () => {
  assert.equal(quotable('a webhook saw hunter2', ['hunter2']), 'a webhook saw [redacted]');
  const jwt = 'eyJhbGciOiJSUzI1NiJ9.e30.c2ln';
  const base64 = Buffer.from(jwt).toString('base64');
  assert.equal(quotable(`saw ${jwt} and ${base64}`), 'saw [redacted] and [redacted]');
  assert.equal(quotable(`saw "${base64}+/9==" there`), 'saw "[redacted]" there');
  // Tokens of one workspace share pieces, which alone must not be what is taken out.
  const other = `${jwt.slice(0, 16)}#`;
  assert.equal(quotable(`saw ${jwt} there`, [other]), 'saw [redacted] there');
  assert.equal(quotable('x'.repeat(2_000)).length, 500);
});
