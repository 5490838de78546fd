import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiAnswer, ApiServer } from '../../src/kubernetes/api-server.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { SecretSink } from '../../src/sinks/secret.ts';
import { connection, credentialOf, identity } from '../fixtures/sink-credentials.ts';

interface Applied {
  readonly metadata: { readonly labels: object; readonly annotations: object };
  readonly data: object;
}

/** An API server that has no Secret yet, and answers an apply with this. */
function sinkAt(answerTo: (applied: Applied) => object): SecretSink {
  const request = async ({ method, body }: { readonly method: string; readonly body?: unknown }): Promise<ApiAnswer> =>
    await Promise.resolve(
      method === 'GET'
        ? { status: 404, body: {}, retryAfterMs: 0 }
        : { status: 201, body: answerTo(body as Applied), retryAfterMs: 0 },
    );
  const api = { prepare: async () => {}, request } as unknown as ApiServer;
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  return new SecretSink({ ...spec, api, clock, force: false, credentialName: 'backstage', connection, identity });
}

test('what the cluster makes of a Secret on its way is no success, and says where to look', async (t) => {
  for (const change of [
    ({ metadata, ...rest }: Applied) => ({ ...rest, metadata: { ...metadata, labels: {} } }),
    ({ metadata, ...rest }: Applied) => ({ ...rest, metadata: { ...metadata, annotations: {} } }),
    (applied: Applied) => ({ ...applied, data: { password: 'bm90IG91cnM=' } }),
  ]) {
    const sink = sinkAt(change);
    await sink.look(t);
    await assert.rejects(sink.write(credentialOf(0), t), {
      failure: 'conflict',
      message: /^secret:apps\/lakebase was applied, but something in the cluster/,
      remedy: /webhook or policy/,
    });
  }
  const sink = sinkAt((applied) => applied);
  await sink.look(t);
  await sink.write(credentialOf(0), t);
  assert.equal((await sink.inspect([credentialOf(0)], t)).state, 'holds');
});
