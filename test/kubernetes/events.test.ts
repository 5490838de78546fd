import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import type { Observer } from '../../src/credential/ports.ts';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { ApiRequest } from '../../src/kubernetes/api-server.ts';
import { createEvents } from '../../src/kubernetes/events.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MINUTE_MS, RecordingObserver } from '../support/fakes.ts';

interface Posted {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly reason: string;
  readonly message: string;
}

const SECRET = 'secret:apps/a';
const WRITTEN = { isRepair: false, failuresBefore: 0 };

/** Secrets of one credential, in a cluster that takes events where it is told to. */
function startTelling(secrets: readonly { readonly namespace: string; readonly name: string }[]) {
  const clock = new FakeClock();
  const recorder = new RecordingObserver();
  const posted: Posted[] = [];
  const answering = new Map<string, number>();
  const words = { kind: 'Status' };
  const requests: ApiRequest[] = [];
  const request = async (asked: ApiRequest): Promise<ApiAnswer> => {
    requests.push(asked);
    const event = asked.body as Posted;
    posted.push(event);
    const status = answering.get(event.metadata.namespace) ?? 201;
    if (status === 0) throw new SinkError('unreachable', 'nobody answers');
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
      observer.sinkWritten('backstage', sink, credentialAt(clock, 'token'), WRITTEN);
    }
    await clock.idle();
    return posted.map(({ metadata }) => metadata.namespace);
  };
  const fail = (consecutiveFailures: number): void => {
    const error = new MintError('timeout', 'words', { remedy: 'look at the network', detail: 'what the CLI printed' });
    observer.mintFailed('backstage', error, { consecutiveFailures, durationMs: 0, retryAt: 0, remainingMs: undefined });
  };
  const write = (sink = SECRET): void => observer.sinkWritten('backstage', sink, credentialAt(clock, 'token'), WRITTEN);
  const told = (): string[] => posted.splice(0).map(({ reason }) => reason);
  return { answering, clock, fail, observer, posted, publish, recorder, requests, told, words, write };
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
  assert.match(recorder.of('eventsRefused')[0]![1].message, /^cannot create events in namespace "closed": /);
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

test('the name of an event begins with that of the Secret, and is one that Kubernetes takes, however long that is', async () => {
  const names = ['a', 'my-app.db', 'a'.repeat(253), `${'a'.repeat(235)}-b${'c'.repeat(10)}`, `${'a'.repeat(233)}.-.b`];
  const { posted, publish } = startTelling(names.map((name) => ({ namespace: 'apps', name })));
  await publish();
  assert.equal(posted.length, names.length);
  for (const [index, { metadata }] of posted.entries()) {
    assert.ok(metadata.name.length <= 253, `${metadata.name.length} characters`);
    assert.ok(metadata.name.startsWith(names[index]!.slice(0, 230)), metadata.name);
    for (const label of metadata.name.split('.')) assert.match(label, /^[a-z\d](?:[a-z\d-]*[a-z\d])?$/);
  }
});

test('an event says which Secret and credential it is about, what happened and when, and not what the CLI printed', async () => {
  const { clock, fail, observer, requests, write } = startTelling([{ namespace: 'apps', name: 'a' }]);
  write();
  fail(3);
  observer.expired('backstage');
  await clock.idle();
  const source = { component: 'lakebase-credential-sidecar' };
  const time = '2030-01-01T00:00:00.000Z';
  const told = [
    ['CredentialPublished', 'Normal', 'published, valid until 2030-01-01T01:00:00.000Z'],
    ['MintFailing', 'Warning', '3 attempts in a row failed (timeout): look at the network'],
    ['CredentialExpired', 'Warning', 'expired without a successor; logins with it fail'],
  ] as const;
  for (const [index, [reason, type, words]] of told.entries()) {
    const { method, path, body } = requests[index]!;
    assert.deepEqual([method, path], ['POST', '/api/v1/namespaces/apps/events']);
    const { name } = (body as Posted).metadata;
    assert.match(name, /^a\.[\da-f]{16}$/);
    assert.deepEqual(body, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace: 'apps', name },
      involvedObject: { apiVersion: 'v1', kind: 'Secret', namespace: 'apps', name: 'a' },
      reason,
      message: `credential backstage: ${words}`,
      type,
      source,
      reportingComponent: source.component,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    });
  }
  assert.equal(requests.length, told.length);
});

test('a publication is news at first and after trouble, failing mints are at the third in a row', async () => {
  const { clock, fail, observer, told, write } = startTelling([{ namespace: 'apps', name: 'a' }]);
  for (const trouble of [
    () => {},
    () => observer.sinkFailed('backstage', SECRET, undefined!, 0),
    () => fail(3),
    () => observer.expired('backstage'),
  ]) {
    trouble();
    await clock.advance(MINUTE_MS);
    told();
    write();
    await clock.advance(MINUTE_MS);
    write();
    assert.deepEqual(told(), ['CredentialPublished'], String(trouble));
  }
  for (const count of [1, 2]) fail(count);
  assert.deepEqual(told(), []);
  for (const count of [3, 4]) fail(count);
  await clock.advance(MINUTE_MS);
  for (const count of [5, 6]) fail(count);
  assert.deepEqual(told(), ['MintFailing']);
  write('file:/run/lakebase/pgpass');
  assert.deepEqual(told(), [], 'a file has no events');
});

test('the same is not told again of a Secret within a minute, and a namespace that refused is left alone for an hour', async () => {
  const { answering, clock, observer, told, write } = startTelling([
    { namespace: 'apps', name: 'a' },
    { namespace: 'apps', name: 'b' },
  ]);
  const expire = (): string[] => {
    observer.expired('backstage');
    return told();
  };
  assert.equal(expire().length, 2, 'for each Secret');
  write();
  assert.deepEqual(told(), ['CredentialPublished'], 'which is something else');
  await clock.advance(MINUTE_MS - 1);
  assert.equal(expire().length, 0);
  await clock.advance(1);
  answering.set('apps', 403);
  assert.equal(expire().length, 2);
  await clock.advance(HOUR_MS - 1);
  assert.equal(expire().length, 0);
  await clock.advance(1);
  assert.equal(expire().length, 2);
});

test('an API server that cannot be reached costs an event and nothing else', async () => {
  const { answering, clock, publish, recorder } = startTelling([{ namespace: 'apps', name: 'a' }]);
  answering.set('apps', 0);
  assert.deepEqual(await publish(), ['apps']);
  await clock.advance(MINUTE_MS);
  assert.deepEqual(await publish(), ['apps'], 'the next one is tried again');
  assert.deepEqual(recorder.of('eventsRefused'), []);
});

test('everything is passed on to who else listens', () => {
  const clock = new FakeClock();
  const heard: unknown[][] = [];
  const said: readonly [keyof Observer, ...unknown[]][] = [
    ['adopted', 'backstage', 'a credential', 7],
    ['expired', 'backstage'],
    ['mintFailed', 'backstage', 'an error', { consecutiveFailures: 1 }],
    ['sinkFailed', 'backstage', SECRET, 'an error', 7],
    ['sinkWritten', 'backstage', SECRET, credentialAt(clock, 'token'), WRITTEN],
  ];
  const listener = Object.fromEntries(said.map(([name]) => [name, (...all: unknown[]) => heard.push([name, ...all])]));
  const observer = createEvents({
    api: { request: async () => assert.fail(await Promise.resolve('asked')) },
    clock,
    credential: 'backstage',
    secrets: [],
    observer: listener as unknown as Observer,
  });
  for (const [name, ...all] of said) (observer[name] as (...all: readonly unknown[]) => void)(...all);
  assert.deepEqual(heard, said);
});

test('a bug while an event is posted ends the process, as any other bug does', () => {
  const program = `
    import { createEvents } from ${JSON.stringify(import.meta.resolve('../../src/kubernetes/events.ts'))};
    const request = async () => await undefined.bug;
    const clock = { now: () => 0, monotonic: () => 0 };
    const secrets = [{ namespace: 'apps', name: 'a' }];
    createEvents({ api: { request }, clock, credential: 'c', secrets, observer: { expired() {} } }).expired('c');`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  assert.equal(status, 1);
  assert.match(stderr, /TypeError.* \(reading 'bug'\)/);
});
