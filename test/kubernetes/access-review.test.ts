import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deniedVerbs } from '../../src/kubernetes/access-review.ts';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { Target } from '../../src/kubernetes/api-errors.ts';
import type { ApiRequest } from '../../src/kubernetes/api-server.ts';
import { fakeApi } from '../support/api-client.ts';

const SECRET: Target = { resource: 'secrets', namespace: 'apps', name: 'lakebase' };

test('each right that keeping a Secret takes is asked about, for that Secret alone, and those that are denied are told', async (t) => {
  const asked: ApiRequest[] = [];
  const request = async (given: ApiRequest): Promise<ApiAnswer> => {
    asked.push(given);
    const allowed = !JSON.stringify(given.body).includes('"verb":"patch"');
    return await Promise.resolve({ status: 201, body: { status: { allowed } }, retryAfterMs: 0 });
  };
  assert.deepEqual(await deniedVerbs(fakeApi({ request }), SECRET, t), ['patch']);
  for (const { method, path, signal } of asked) {
    assert.deepEqual([method, path], ['POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews']);
    assert.equal(signal, t.signal);
  }
  assert.deepEqual(
    asked.map(({ body }) => body),
    ['get', 'watch', 'patch', 'create'].map((verb) => ({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { namespace: 'apps', verb, resource: 'secrets', name: 'lakebase' } },
    })),
  );
});

test('a review that is refused, or answered by something else, says nothing about rights', async (t) => {
  const review = async (status: number, body: object): Promise<string[]> =>
    await deniedVerbs(
      fakeApi({ request: async () => await Promise.resolve({ status, body, retryAfterMs: 0 }) }),
      SECRET,
      t,
    );
  await assert.rejects(review(403, { kind: 'Status', message: 'not today', status: { allowed: false } }), {
    failure: 'forbidden',
    message: 'cannot review the access to secrets "lakebase" in namespace "apps": not today (403)',
  });
  // Of a cluster where the ClusterRole system:basic-user is not for everybody.
  const words =
    'selfsubjectaccessreviews.authorization.k8s.io is forbidden: User "system:serviceaccount:apps:sidecar" cannot create resource "selfsubjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope';
  await assert.rejects(review(403, { kind: 'Status', message: words }), {
    failure: 'forbidden',
    message: `cannot review the access to secrets "lakebase" in namespace "apps": ${words} (403)`,
    remedy: 'give the user that the error message names the right that it says is missing',
  });
  await assert.rejects(review(200, { status: { allowed: 'yes' } }), {
    failure: 'unreachable',
    message: /its response is not a valid SelfSubjectAccessReview$/,
  });
});
