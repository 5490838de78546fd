import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { ApiRequest } from '../../src/kubernetes/api-server.ts';
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
  const answering = new Map<string, number>();
  const words = { kind: 'Status' };
  const request = async ({ body }: ApiRequest): Promise<ApiAnswer> => {
    const event = body as Posted;
    posted.push(event);
    const status = answering.get(event.metadata.namespace) ?? 201;
    return await Promise.resolve({ status, body: words, retryAfterMs: 0 });
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
  return { answering, clock, posted, publish, recorder, words };
}

test('a namespace that takes no events silences no other one, and is asked again after an hour', async () => {
  const { answering, clock, publish, recorder } = startTelling([
    { namespace: 'closed', name: 'a' },
    { namespace: 'open', name: 'a' },
  ]);
  answering.set('closed', 403);
  assert.deepEqual(await publish(), ['closed', 'open']);
  await clock.advance(MINUTE_MS);
  assert.deepEqual(await publish(), ['open']);
  await clock.advance(HOUR_MS);
  assert.deepEqual(await publish(), ['closed', 'open']);
  assert.equal(recorder.of('eventsRefused').length, 1, 'which is said once');
  answering.clear();
  await clock.advance(HOUR_MS);
  assert.deepEqual(await publish(), ['closed', 'open']);
  await clock.advance(MINUTE_MS);
  assert.deepEqual(await publish(), ['closed', 'open']);
  answering.set('closed', 403);
  await clock.advance(MINUTE_MS);
  await publish();
  assert.equal(recorder.of('eventsRefused').length, 2, 'and again where events were taken meanwhile');
});

test('an answer that is no refusal silences nothing: a token that just expired, an API server in trouble, a proxy', async () => {
  const { answering, clock, publish, recorder, words } = startTelling([{ namespace: 'apps', name: 'a' }]);
  for (const status of [401, 429, 500, 403]) {
    if (status === 403) words.kind = 'what only a proxy says';
    answering.set('apps', status);
    await clock.advance(MINUTE_MS);
    assert.deepEqual(await publish(), ['apps'], `after ${status}`);
  }
  assert.deepEqual(recorder.of('eventsRefused'), []);
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
