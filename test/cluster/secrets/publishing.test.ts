import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/sidecar-wait.ts';
import type { Sidecar } from '../../support/sidecar.ts';
import { SharedCleanup } from '../support/pods-story.ts';
import { whyNotBuilt } from './api-server.ts';
import { annotation, MANAGER, SECRET, SecretsWorld, type Account } from './world.ts';

const DATA = { password: 'token', pgpass: 'pgpass', uri: 'uri' };
const skip = await whyNotBuilt();

describe('a Secret on a real API server', { skip }, () => {
  const shared = new SharedCleanup();
  let world: SecretsWorld;
  let account: Account;
  let sidecar: Sidecar;

  before(async () => {
    world = await SecretsWorld.start(shared);
    account = await world.account('backstage');
    sidecar = await world.start(shared, { account, secret: { data: DATA }, config: { log: { level: 'debug' } } });
    await sidecar.ready();
  });
  after(() => shared.undo());

  const token = () => world.workspace.minted.at(-1)!.token;

  test('is made with what was minted, in every format, and says whose it is and until when', async () => {
    const secret = (await world.secret())!;
    const { issuedAt, expiresAt } = world.workspace.minted[0]!;
    assert.equal(secret.type, 'Opaque');
    assert.deepEqual(Object.keys(secret.data ?? {}), ['password', 'pgpass', 'uri']);
    assert.equal(await world.read('password'), token());
    assert.equal(await world.read('pgpass'), `localhost:5432:*:${world.workspace.clientId}:${token()}\n`);
    assert.match((await world.read('uri'))!, /^postgresql:\/\/.*@localhost:5432\/app\?sslmode=require$/);
    assert.equal(Date.parse(annotation(secret, 'issued-at')!), issuedAt);
    assert.equal(Date.parse(annotation(secret, 'expires-at')!), expiresAt);
    assert.match(annotation(secret, 'identity')!, /^[0-9a-f]{64}$/);
    assert.match(annotation(secret, 'fingerprint')!, /^[0-9a-f]{64}$/);
    assert.equal(secret.metadata.labels?.['lakebase-credential-sidecar/credential'], 'backstage');
    assert.equal(secret.metadata.annotations?.['reloader.stakater.com/ignore'], 'true');
    assert.equal(secret.metadata.annotations?.['argocd.argoproj.io/sync-options'], 'Prune=false');
    assert.ok(!JSON.stringify(secret.metadata).includes(token()));
  });

  test('has exactly our keys under our manager', async (t) => {
    const { metadata } = (await world.secret())!;
    const [ours, ...others] = metadata.managedFields;
    assert.deepEqual([ours?.manager, ours?.operation, others], [MANAGER, 'Apply', []]);
    assert.deepEqual(ours?.fieldsV1, {
      'f:data': { 'f:password': {}, 'f:pgpass': {}, 'f:uri': {} },
      'f:metadata': {
        'f:annotations': {
          'f:argocd.argoproj.io/compare-options': {},
          'f:argocd.argoproj.io/sync-options': {},
          'f:lakebase-credential-sidecar/expires-at': {},
          'f:lakebase-credential-sidecar/fingerprint': {},
          'f:lakebase-credential-sidecar/identity': {},
          'f:lakebase-credential-sidecar/issued-at': {},
          'f:lakebase-credential-sidecar/keys': {},
          'f:reloader.stakater.com/ignore': {},
        },
        'f:labels': { 'f:lakebase-credential-sidecar/credential': {} },
      },
      'f:type': {},
    });
    t.diagnostic(JSON.stringify(ours));
  });

  test('is written once, and not again while nothing has changed', async () => {
    const { metadata } = (await world.secret())!;
    await delay(3_000);
    assert.equal((await world.secret())!.metadata.resourceVersion, metadata.resourceVersion);
    assert.equal((await sidecar.metrics()).get('sink_writes_total', { result: 'success' }), 1);
  });

  const harms = {
    'is deleted': ['delete', 'secret', SECRET],
    'has our key edited': ['patch', 'secret', SECRET, '--type=merge', '-p', '{"data":{"password":"bWluZQ=="}}'],
    'has our key removed': ['patch', 'secret', SECRET, '--type=json', '-p', '[{"op":"remove","path":"/data/pgpass"}]'],
    'has an annotation of ours changed': [
      'annotate',
      '--overwrite',
      'secret',
      SECRET,
      'lakebase-credential-sidecar/expires-at=never',
    ],
    'has our label removed': ['label', 'secret', SECRET, 'lakebase-credential-sidecar/credential-'],
  };
  for (const [what, harm] of Object.entries(harms)) {
    test(`that ${what} is right again within two seconds, with the same token and no mint`, async () => {
      const before = (await world.secret())!;
      const minted = world.workspace.minted.length;
      const repairs = async () => (await sidecar.metrics()).get('sink_repairs_total', { credential: 'backstage' }) ?? 0;
      const repaired = await repairs();
      await world.kubectl(harm);
      const from = performance.now();
      await eventually('it is right', async () => {
        const now = await world.secret();
        return (
          JSON.stringify(now?.data) === JSON.stringify(before.data) &&
          JSON.stringify(now?.metadata.annotations) === JSON.stringify(before.metadata.annotations) &&
          JSON.stringify(now?.metadata.labels) === JSON.stringify(before.metadata.labels)
        );
      });
      assert.ok(performance.now() - from < 2_000, `${performance.now() - from} ms`);
      assert.equal(world.workspace.minted.length, minted);
      assert.equal(await repairs(), repaired + 1);
      assert.ok(await sidecar.isReady());
      // Three repairs in a minute are allowed, and these tests are quick.
      if (repaired % 3 === 2) sidecar = await restart();
    });
  }

  test('keeps the keys and annotations of others, and what somebody has told Reloader', async () => {
    await world.kubectl(['patch', 'secret', SECRET, '--type=merge', '-p', '{"data":{"theirs":"dGhlaXJz"}}']);
    await world.kubectl([
      'annotate',
      '--overwrite',
      'secret',
      SECRET,
      'reloader.stakater.com/ignore=false',
      'their/note=1',
    ]);
    await world.kubectl(['patch', 'secret', SECRET, '--type=merge', '-p', '{"data":{"password":"bWluZQ=="}}']);
    await world.holds(token());
    const { metadata } = (await world.secret())!;
    assert.equal(await world.read('theirs'), 'theirs');
    assert.equal(metadata.annotations?.['reloader.stakater.com/ignore'], 'false');
    assert.equal(metadata.annotations?.['their/note'], '1');
  });

  test('is adopted after a restart: nothing is minted, and nothing written', async () => {
    const minted = world.workspace.minted.length;
    const { metadata } = (await world.secret())!;
    sidecar = await restart();
    await sidecar.logged('adopted');
    await sidecar.ready();
    assert.equal(world.workspace.minted.length, minted);
    assert.equal((await world.secret())!.metadata.resourceVersion, metadata.resourceVersion);
    assert.equal((await sidecar.metrics()).get('adoptions_total'), 1);
  });

  async function restart(secret: object = {}): Promise<Sidecar> {
    await sidecar.stop();
    const restarted = await world.start(shared, { account, secret: { data: DATA, ...secret } });
    return await restarted.ready();
  }

  test('loses the keys that are configured no longer, and keeps those of others', async () => {
    sidecar = await restart({ data: { password: 'token' } });
    await eventually(
      'they are gone',
      async () => Object.keys((await world.secret())?.data ?? {}).join() === 'password,theirs',
    );
  });
});
