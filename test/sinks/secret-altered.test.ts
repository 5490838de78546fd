import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WatchHandlers } from '../../src/kubernetes/api-server.ts';
import { SecretSink } from '../../src/sinks/secret.ts';
import { connection, identity } from '../support/sink-credentials.ts';
import { fakeApi } from '../support/api-client.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { HOUR_MS, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { World } from '../support/keeping.ts';

interface Applied {
  readonly metadata: { readonly resourceVersion: string };
}

/** An API server with one Secret and a webhook that takes the annotations away. */
class AlteringServer {
  readonly #watchers = new Set<WatchHandlers['onEvent']>();
  #object: Applied | undefined;
  applied = 0;

  readonly api = fakeApi({
    request: async ({ method, body }) => {
      const applied = body as Applied;
      await Promise.resolve();
      const version = this.#object?.metadata.resourceVersion ?? '1';
      if (method === 'GET')
        return {
          status: this.#object === undefined ? 404 : 200,
          body: this.#object ?? { kind: 'Status' },
          retryAfterMs: 0,
        };
      this.applied += 1;
      if (applied.metadata.resourceVersion !== version) return { status: 409, body: {}, retryAfterMs: 0 };
      const metadata = { ...applied.metadata, annotations: {}, resourceVersion: `${Number(version) + 1}` };
      this.#object = { ...applied, metadata };
      for (const tell of this.#watchers) tell({ type: 'MODIFIED', object: this.#object });
      return { status: 200, body: this.#object, retryAfterMs: 0 };
    },
    watch: async (_path, _query, { onEvent }, { signal }) => {
      this.#watchers.add(onEvent);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      return undefined;
    },
  });
}

test('two writers of a Secret that something in the cluster alters do not make each other write each second', async (t) => {
  const clock = new FakeClock();
  const world = new World({ clock });
  const server = new AlteringServer();
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  for (const writer of ['a', 'b']) {
    const sinks = [new SecretSink({ ...options, api: server.api })];
    world.add(new ScriptedMinter(clock, [{ lifetimeMs: HOUR_MS }], writer), { sinks });
  }
  world.run(t);
  await clock.advance(MINUTE_MS);
  const before = server.applied;
  await clock.advance(10 * MINUTE_MS);
  const aMinute = (server.applied - before) / 10;
  assert.ok(aMinute >= 2 && aMinute <= 12, `${aMinute} in a minute`);
});
