import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { ApiAnswer } from '../../src/kubernetes/answer.ts';
import type { ApiRequest, ApiServer, WatchEvent } from '../../src/kubernetes/api-server.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { renderSecret } from '../../src/sinks/secret-object.ts';
import { SecretSink } from '../../src/sinks/secret.ts';
import { connection, credentialOf, identity } from '../support/sink-credentials.ts';
import { fakeApi } from '../support/api-client.ts';

interface Applied {
  readonly metadata: { readonly labels: object; readonly annotations: object };
  readonly data: object;
}

/** An API server that has no Secret yet, and answers an apply with this. */
function sinkAt(answerTo: (applied: Applied) => object): SecretSink {
  const request = async ({ method, body }: ApiRequest): Promise<ApiAnswer> =>
    await Promise.resolve(
      method === 'GET'
        ? { status: 404, body: { kind: 'Status' }, retryAfterMs: 0 }
        : { status: 201, body: answerTo(body as Applied), retryAfterMs: 0 },
    );
  const api = fakeApi({ request });
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  return new SecretSink({ ...spec, api, clock, force: false, credentialName: 'backstage', connection, identity });
}

test('a check finds nothing wrong with a key of ours that somebody has edited, as a write would not', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const check = async (operation: 'Apply' | 'Update', present: object): Promise<string> => {
    const managedFields = [{ manager: 'kubectl-edit', operation }];
    const stored = { ...rest, metadata: { ...metadata, ...present, resourceVersion: '7', managedFields } };
    const cause = { reason: 'FieldManagerConflict', field: '.data.password', message: 'conflict with "kubectl-edit"' };
    const answers = {
      GET: { status: 200, body: stored },
      POST: { status: 201, body: { status: { allowed: true } } },
      PATCH: { status: 409, body: { kind: 'Status', details: { causes: [cause] } } },
    };
    const request = async ({ method }: ApiRequest): Promise<ApiAnswer> =>
      await Promise.resolve({ ...answers[method], retryAfterMs: 0 });
    const api = fakeApi({ request });
    return await new SecretSink({ ...options, api }).examine(t);
  };
  assert.equal(await check('Update', {}), 'can be written');
  const foreign = { failure: 'conflict', message: /\.data\.password belongs to the field manager "kubectl-edit"/ };
  await assert.rejects(check('Apply', {}), foreign);
  await assert.rejects(check('Update', { annotations: {} }), foreign);
});

test('a look, for which a mint waits, is given up after two seconds, and then nothing is known', async (t) => {
  const asked: ApiRequest[] = [];
  const request = async (given: ApiRequest): Promise<never> => {
    asked.push(given);
    return await Promise.reject(new SinkError('unreachable', 'no answer'));
  };
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
  await sink.look(t);
  assert.deepEqual(
    asked.map(({ method, timeoutMs }) => [method, timeoutMs]),
    [['GET', 2_000]],
  );
  assert.equal((await sink.inspect([credentialOf(0)], t)).state, 'lacks');
});

test('a check tries an apply without making it, and says which rights are missing where they are needed', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const stored = { ...rest, metadata: { ...metadata, resourceVersion: '7' } };
  const none = { kind: 'Status', code: 404 };
  const tried: unknown[] = [];
  const check = async (present: object | undefined, ...denied: readonly string[]): Promise<string> => {
    const request = async ({ method, query, body }: ApiRequest): Promise<ApiAnswer> => {
      if (method === 'PATCH') tried.push(query?.['dryRun']);
      const verb = JSON.stringify(body ?? {}).match(/"verb":"(\w+)"/)?.[1] ?? '';
      const answers = {
        GET: present === undefined ? { status: 404, body: none } : { status: 200, body: present },
        POST: { status: 201, body: { status: { allowed: !denied.includes(verb) } } },
        PATCH: { status: 200, body: body as object },
      };
      return await Promise.resolve({ ...answers[method], retryAfterMs: 0 });
    };
    return await new SecretSink({ ...options, api: fakeApi({ request }) }).examine(t);
  };
  assert.equal(await check(undefined), 'does not exist yet and can be created');
  assert.equal(await check(stored), 'can be written');
  assert.match(await check(stored, 'create'), /^can be written, but not created again .* lacks the verb create$/);
  assert.deepEqual(tried, ['All', 'All', 'All']);
  await assert.rejects(check(undefined, 'create'), { failure: 'forbidden', message: /^cannot create / });
  await assert.rejects(check(stored, 'watch'), { failure: 'forbidden', message: /^cannot watch / });
  await assert.rejects(check({ ...stored, immutable: true }), { failure: 'refused' });
  assert.equal(tried.length, 3);
});

test('a check finds nothing wrong with a Secret that the running sidecar creates or writes at the same time', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const words = `Operation cannot be fulfilled on secrets "lakebase": the object has been modified; please apply your changes to the latest version and try again`;
  const check = async (seen: ApiAnswer): Promise<string> => {
    const request = async ({ method, body }: ApiRequest): Promise<ApiAnswer> => {
      const [, version = '8'] = /"resourceVersion":"(\d+)"/.exec(JSON.stringify(body)) ?? [];
      const answers = {
        GET: seen,
        POST: { status: 201, body: { status: { allowed: true } } },
        PATCH:
          version === '8'
            ? { status: 200, body: body as object }
            : { status: 409, body: { kind: 'Status', message: words } },
      };
      return await Promise.resolve({ ...answers[method], retryAfterMs: 0 });
    };
    return await new SecretSink({ ...options, api: fakeApi({ request }) }).examine(t);
  };
  const stored = { ...rest, metadata: { ...metadata, resourceVersion: '7' } };
  assert.equal(await check({ status: 200, body: stored, retryAfterMs: 0 }), 'can be written');
  const created = await check({ status: 404, body: { kind: 'Status' }, retryAfterMs: 0 });
  assert.equal(created, 'does not exist yet and can be created');
});

test('a write is made, not only tried, and never of a Secret that is immutable', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const stored = { ...rest, metadata: { ...metadata, resourceVersion: '7' } };
  const applied: object[] = [];
  const write = async (present: object): Promise<void> => {
    const request = async ({ method, path, query, body }: ApiRequest): Promise<ApiAnswer> => {
      if (method === 'PATCH') applied.push({ path, query });
      return await Promise.resolve({ status: 200, body: method === 'PATCH' ? body : present, retryAfterMs: 0 });
    };
    const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
    await sink.look(t);
    await sink.write(credentialOf(1), t);
  };
  await write(stored);
  const query = { fieldManager: 'lakebase-credential-sidecar.backstage', force: 'false' };
  assert.deepEqual(applied, [{ path: '/api/v1/namespaces/apps/secrets/lakebase', query }]);
  await assert.rejects(write({ ...stored, immutable: true }), { failure: 'refused', message: /is immutable/ });
  assert.equal(applied.length, 1);
});

test('a credential that got another name takes its Secret along, and one of another identity does not', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), { ...options, credentialName: 'before' }, undefined);
  const manager = 'lakebase-credential-sidecar.before';
  const causes = ['.data.password', '.metadata.labels.lakebase-credential-sidecar/credential'].map((field) => ({
    reason: 'FieldManagerConflict',
    field,
    message: `conflict with "${manager}"`,
  }));
  const managedFields = [{ manager, operation: 'Apply' }];
  const stored = { ...rest, metadata: { ...metadata, resourceVersion: '7', managedFields } };
  const request = async ({ method, query, body }: ApiRequest): Promise<ApiAnswer> => {
    const refusal = { status: 409, body: { kind: 'Status', details: { causes } } };
    const applied = query?.['force'] === 'true' ? { status: 200, body: body as object } : refusal;
    return await Promise.resolve({ ...(method === 'GET' ? { status: 200, body: stored } : applied), retryAfterMs: 0 });
  };
  const api = fakeApi({ request });
  const renamed = new SecretSink({ ...options, api });
  await renamed.look(t);
  await renamed.write(credentialOf(1), t);
  assert.equal((await renamed.inspect([credentialOf(1)], t)).state, 'holds');
  const other = new SecretSink({ ...options, api, identity: { ...identity, principal: 'somebody else' } });
  await other.look(t);
  await assert.rejects(other.write(credentialOf(1), t), { failure: 'conflict', message: /sidecar\.before"/ });
});

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

test('a key without the token that somebody has edited is no credential of ours, whatever the others hold', async (t) => {
  const data = { password: 'token', uri: 'uri' } as const;
  const spec = { namespace: 'apps', name: 'lakebase', data, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const applied = renderSecret(credentialOf(0), options, undefined);
  for (const [uri, state] of Object.entries({ [applied.data['uri']!]: 'holds', 'eA==': 'lacks' })) {
    const body = { ...applied, data: { ...applied.data, uri } };
    const request = async (): Promise<ApiAnswer> => await Promise.resolve({ status: 200, body, retryAfterMs: 0 });
    const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
    await sink.look(t);
    assert.equal((await sink.inspect([], t)).state, 'shared', 'its token may be used on');
    assert.equal((await sink.inspect([credentialOf(0)], t)).state, state);
  }
});

test('that a proxy finds nothing (404) does not mean that the Secret is gone', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const stored = { ...rest, metadata: { ...metadata, resourceVersion: '7' } };
  const answers = [
    { status: 200, body: stored },
    { status: 404, body: undefined },
    { status: 404, body: { kind: 'Status', reason: 'NotFound' } },
  ];
  const request = async (): Promise<ApiAnswer> => await Promise.resolve({ ...answers.shift()!, retryAfterMs: 0 });
  const api = fakeApi({ request });
  const sink = new SecretSink({ ...options, api });
  const states: string[] = [];
  while (answers.length > 0) {
    await sink.look(t);
    states.push((await sink.inspect([credentialOf(0)], t)).state);
  }
  assert.deepEqual(states, ['holds', 'holds', 'lacks']);
});

test('an answer to an apply that is not this Secret is no success', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  for (const strange of [{}, { metadata: { name: 'another', resourceVersion: '8' } }]) {
    const request = async ({ method }: ApiRequest): Promise<ApiAnswer> => {
      const body = method === 'GET' ? { metadata: { name: 'lakebase', resourceVersion: '7' } } : strange;
      return await Promise.resolve({ status: 200, body, retryAfterMs: 0 });
    };
    const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
    await sink.look(t);
    await assert.rejects(sink.write(credentialOf(0), t), {
      failure: 'unreachable',
      message: /the server that answered \(200\) is not the API server: its response is not a valid Secret$/,
    });
  }
});

test('a 409 is somebody who was faster only if the Secret is another one since', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  let resourceVersion = '7';
  let then = '7';
  const request = async ({ method }: ApiRequest): Promise<ApiAnswer> => {
    if (method === 'GET') {
      return await Promise.resolve({
        status: 200,
        body: { metadata: { name: 'lakebase', resourceVersion } },
        retryAfterMs: 0,
      });
    }
    resourceVersion = then;
    return await Promise.resolve({ status: 409, body: { message: 'not today' }, retryAfterMs: 0 });
  };
  const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
  await sink.look(t);
  await assert.rejects(sink.write(credentialOf(0), t), {
    failure: 'conflict',
    message: 'cannot patch secrets "lakebase" in namespace "apps": not today (409)',
    remedy: /admission policy or webhook/,
  });
  then = '8';
  await sink.write(credentialOf(0), t);
  assert.equal((await sink.inspect([credentialOf(0)], t)).state, 'lacks');
});

test('what is taken back by force and refused again without anybody having changed it is told, not tried each second', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const cause = { reason: 'FieldManagerConflict', field: '.data.password', message: 'conflict with "kubectl-edit"' };
  let resourceVersion = 7;
  let isHot = false;
  const request = async ({ method, query }: Parameters<ApiServer['request']>[0]): Promise<ApiAnswer> => {
    await Promise.resolve();
    if (isHot && query?.['force'] === 'true') resourceVersion += 1;
    const object = {
      ...rest,
      data: { password: 'ZWRpdGVk' },
      metadata: { ...metadata, resourceVersion: `${resourceVersion}` },
    };
    if (method === 'GET') return { status: 200, body: object, retryAfterMs: 0 };
    const refusal = query?.['force'] === 'true' ? { message: 'not today' } : { details: { causes: [cause] } };
    return { status: 409, body: refusal, retryAfterMs: 0 };
  };
  const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
  await sink.look(t);
  await assert.rejects(sink.write(credentialOf(0), t), { failure: 'conflict', message: /: not today \(409\)$/ });
  isHot = true;
  await sink.write(credentialOf(0), t);
});

test('what another writer has taken back meanwhile is not taken back once more, by force, with what may be worse', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const stored = (index: number, version: string, data?: object) => {
    const { metadata, ...rest } = renderSecret(credentialOf(index), options, undefined);
    return { ...rest, ...data, metadata: { ...metadata, resourceVersion: version } };
  };
  const cause = { reason: 'FieldManagerConflict', field: '.data.password', message: 'conflict with "kubectl-edit"' };
  let object = stored(0, '7', { data: { password: 'ZWRpdGVk' } });
  const isForced: (string | undefined)[] = [];
  const request = async ({ method, query }: ApiRequest): Promise<ApiAnswer> => {
    await Promise.resolve();
    if (method === 'GET') return { status: 200, body: object, retryAfterMs: 0 };
    isForced.push(query?.['force']);
    object = stored(1, '8');
    return { status: 409, body: { details: { causes: [cause] } }, retryAfterMs: 0 };
  };
  const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
  await sink.look(t);
  await sink.write(credentialOf(0), t);
  assert.deepEqual(isForced, ['false']);
  assert.equal((await sink.inspect([credentialOf(0)], t)).state, 'shared');
});

test('no piece of what was applied stands in what is told of a refusal, wherever the answer has it', async (t) => {
  const keys = { pgpass: 'pgpass', password: 'token' } as const;
  const spec = { namespace: 'apps', name: 'lakebase', data: keys, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { data } = renderSecret(credentialOf(0), options, undefined);
  const refusals = Object.values(data).flatMap((applied) =>
    [applied, applied.slice(0, -7), applied.slice(5, 90)].flatMap((piece) => {
      const cause = { reason: 'FieldManagerConflict', field: `.data.${piece}`, message: `conflict with "${piece}"` };
      return [
        { piece, status: 422, body: { message: `invalid value "${piece}…"` } },
        { piece, status: 409, body: { details: { causes: [cause] } } },
      ];
    }),
  );
  for (const { piece, ...refusal } of refusals) {
    const request = async ({ method }: ApiRequest): Promise<ApiAnswer> =>
      await Promise.resolve({
        ...(method === 'GET' ? { status: 404, body: { kind: 'Status' } } : refusal),
        retryAfterMs: 0,
      });
    const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
    await sink.look(t);
    await assert.rejects(sink.write(credentialOf(0), t), ({ message }: Error) => {
      assert.match(message, /\[redacted\]/);
      for (let at = 0; at + 12 <= piece.length; at += 1)
        assert.ok(!message.includes(piece.slice(at, at + 12)), message);
      return true;
    });
  }
});

test('nor does what stood in the Secret before, of which a webhook tells as well, not even in a check', async (t) => {
  const keys = { pgpass: 'pgpass', json: 'json', uri: 'uri' } as const;
  const spec = { namespace: 'apps', name: 'lakebase', data: keys, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const before = credentialOf(0);
  const { metadata, ...rest } = renderSecret(before, options, undefined);
  const stored = { ...rest, metadata: { ...metadata, resourceVersion: '7' } };
  for (const piece of [before.token.reveal(), ...Object.values(rest.data)].map((text) => text.slice(9, 300))) {
    const answers = {
      GET: { status: 200, body: stored },
      POST: { status: 201, body: { status: { allowed: true } } },
      PATCH: { status: 422, body: { message: `oldObject.data is "${piece}"` } },
    };
    const request = async ({ method }: ApiRequest): Promise<ApiAnswer> =>
      await Promise.resolve({ ...answers[method], retryAfterMs: 0 });
    const sink = new SecretSink({ ...options, api: fakeApi({ request }) });
    const told = ({ message }: Error): boolean => {
      assert.match(message, /oldObject\.data is "\[redacted\]"/);
      return true;
    };
    await assert.rejects(sink.examine(t), told);
    await assert.rejects(sink.write(credentialOf(1), t), told);
  }
});

test('what the watch tells of before an apply is answered is not forgotten for the answer', async (t) => {
  const spec = { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, type: 'Opaque' } as const;
  const options = { ...spec, clock, force: false, credentialName: 'backstage', connection, identity };
  const { metadata, ...rest } = renderSecret(credentialOf(0), options, undefined);
  const applied = { ...rest, metadata: { ...metadata, resourceVersion: '7' } };
  const later = { ...metadata, resourceVersion: '8' };
  const since = {
    missing: { type: 'DELETED', object: { ...rest, metadata: later } },
    foreign_content: { type: 'MODIFIED', object: { ...rest, data: { password: 'ZWRpdGVk' }, metadata: later } },
  };
  for (const [failure, event] of Object.entries(since)) {
    let tell: (event: WatchEvent) => void = () => {};
    const request = async ({ method }: ApiRequest): Promise<ApiAnswer> => {
      if (method === 'GET') return await Promise.resolve({ status: 404, body: { kind: 'Status' }, retryAfterMs: 0 });
      tell({ type: 'ADDED', object: applied });
      tell(event);
      tell({ type: 'MODIFIED', object: applied }); // and an older one is no news after it
      return await Promise.resolve({ status: 201, body: applied, retryAfterMs: 0 });
    };
    const watch: ApiServer['watch'] = async (_path, _query, { onEvent }, { signal }) => {
      tell = onEvent;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      return undefined;
    };
    const sink = new SecretSink({
      ...options,
      api: fakeApi({ request, watch }),
    });
    const stop = new AbortController();
    const watching = sink.watch({ onChange: () => {}, onTrouble: () => {} }, stop);
    await sink.look(t);
    await sink.write(credentialOf(0), t);
    const inspected = await sink.inspect([credentialOf(0)], t);
    assert.equal(inspected.state === 'lacks' ? inspected.problem.failure : inspected.state, failure);
    stop.abort();
    await assert.rejects(watching, stop.signal.reason);
  }
});
