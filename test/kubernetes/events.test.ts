import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiAnswer, ApiRequest } from '../../src/kubernetes/api-server.ts';
import { createEvents } from '../../src/kubernetes/events.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MINUTE_MS, RecordingObserver } from '../support/fakes.ts';

interface Posted {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly reason: string;
}

/** Secrets of one credential, in a cluster that takes events where it is told to. */
function startTelling(secrets: readonly { readonly namespace: string; readonly name: string }[]) {
  const clock = new FakeClock();
  const recorder = new RecordingObserver();
  const posted: Posted[] = [];
  const refusing = new Set<string>();
  const request = async ({ body }: ApiRequest): Promise<ApiAnswer> => {
    const event = body as Posted;
    posted.push(event);
    const status = refusing.has(event.metadata.namespace) ? 403 : 201;
    return await Promise.resolve({ status, body: undefined, retryAfterMs: 0 });
  };
  const observer = createEvents({
    api: { request },
    clock,
    credential: 'backstage',
    secrets,
    observer: recorder.observer,
  });
  const publish = async (): Promise<string[]> => {
    posted.length = 0;
    for (const { namespace, name } of secrets) {
      const sink = `secret:${namespace}/${name}`;
      observer.sinkFailed('backstage', sink, undefined!, 0); // so that the next publication is news
      observer.sinkWritten('backstage', sink, credentialAt(clock, 'token'), false);
    }
    await clock.idle();
    return posted.map(({ metadata }) => metadata.namespace);
  };
  return { clock, posted, publish, recorder, refusing };
}

test('a namespace that takes no events silences no other one, and is asked again after an hour', async () => {
  const { clock, publish, recorder, refusing } = startTelling([
    { namespace: 'closed', name: 'a' },
    { namespace: 'open', name: 'a' },
  ]);
  refusing.add('closed');
  assert.deepEqual(await publish(), ['closed', 'open']);
  await clock.advance(MINUTE_MS);
  assert.deepEqual(await publish(), ['open']);
  await clock.advance(HOUR_MS);
  assert.deepEqual(await publish(), ['closed', 'open']);
  assert.equal(recorder.of('eventsRefused').length, 1, 'which is said once');
  refusing.clear();
  await clock.advance(HOUR_MS);
  assert.deepEqual(await publish(), ['closed', 'open']);
  await clock.advance(MINUTE_MS);
  assert.deepEqual(await publish(), ['closed', 'open']);
});

test('the name of an event is one that Kubernetes takes, however long that of the Secret is', async () => {
  const names = ['a', 'a'.repeat(253), `${'a'.repeat(235)}-b${'c'.repeat(10)}`, `${'a'.repeat(233)}.-.b`];
  const { posted, publish } = startTelling(names.map((name) => ({ namespace: 'apps', name })));
  await publish();
  assert.equal(posted.length, names.length);
  for (const { metadata } of posted) {
    assert.ok(metadata.name.length <= 253, `${metadata.name.length} characters`);
    for (const label of metadata.name.split('.')) assert.match(label, /^[a-z\d](?:[a-z\d-]*[a-z\d])?$/);
  }
});
