import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiServer } from '../../../src/kubernetes/api-server.ts';
import { temporaryDirectory, SharedCleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import type { Sidecar } from '../../support/sidecar.ts';
import { kubeconfigFor, whyNotBuilt } from './api-server.ts';
import { SECRET, type Account } from './namespace.ts';
import { annotation, assertFrugal, MANAGER, SecretsWorld } from './world.ts';

const DATA = { password: 'token', pgpass: 'pgpass', uri: 'uri' };
const TRACE = { log: { level: 'trace' } };
const skip = await whyNotBuilt();

describe('a Secret on a real API server', { skip }, () => {
  const shared = new SharedCleanup();
  let world: SecretsWorld;
  let account: Account;
  let sidecar: Sidecar;
  const stopped: Sidecar[] = [];

  before(async () => {
    world = await SecretsWorld.start(shared);
    account = await world.account('backstage');
    sidecar = await world.start(shared, { account, secret: { data: DATA }, config: TRACE });
    await sidecar.ready();
  });
  after(async () => {
    await assertFrugal(world.api);
    await shared.undo();
  });

  const token = () => world.newest();

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
          'f:lakebase-credential-sidecar/since': {},
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

  test('asks the API server for nothing while nothing happens', async () => {
    const asked = async () => (await world.api.audit('system:serviceaccount:')).length;
    const before = await asked();
    await delay(3_000);
    assert.equal(await asked(), before);
  });

  const harms = {
    'is deleted': ['delete', 'secret', SECRET],
    'has our key edited': ['patch', 'secret', SECRET, '--type=merge', '-p', '{"data":{"password":"bWluZQ=="}}'],
    'has our key edited, and all annotations taken away': [
      'patch',
      'secret',
      SECRET,
      '--type=merge',
      '-p',
      '{"data":{"password":"bWluZQ=="},"metadata":{"annotations":null}}',
    ],
    'has our key removed': ['patch', 'secret', SECRET, '--type=json', '-p', '[{"op":"remove","path":"/data/pgpass"}]'],
    'has a key of ours without the bare token edited': [
      'patch',
      'secret',
      SECRET,
      '--type=merge',
      '-p',
      '{"data":{"uri":"bWluZQ=="}}',
    ],
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
      const isRight = async (): Promise<boolean> => {
        const now = await world.secret();
        return (
          JSON.stringify(now?.data) === JSON.stringify(before.data) &&
          JSON.stringify(now?.metadata.annotations) === JSON.stringify(before.metadata.annotations) &&
          JSON.stringify(now?.metadata.labels) === JSON.stringify(before.metadata.labels)
        );
      };
      await eventually('it is right', isRight, { onTimeout: () => sidecar.stdout.slice(-2_000) });
      assert.ok(performance.now() - from < 2_000, `${performance.now() - from} ms`);
      assert.equal(world.workspace.minted.length, minted);
      // Who asks may see the Secret before the sidecar has its answer.
      await eventually('it is counted', async () => (await repairs()) > repaired);
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

  test('of which a key was edited while nobody watched gets it back from another key: nothing is minted', async () => {
    const minted = world.workspace.minted.length;
    const { data } = (await world.secret())!;
    await stop();
    await world.kubectl(harms['has our key edited']);
    sidecar = await startAgain();
    await eventually('it is right', async () => JSON.stringify((await world.secret())?.data) === JSON.stringify(data));
    await sidecar.ready();
    assert.equal(world.workspace.minted.length, minted);
  });

  async function restart(secret: object = {}): Promise<Sidecar> {
    await stop();
    return await (await startAgain(secret)).ready();
  }

  async function stop(): Promise<void> {
    await sidecar.stop();
    stopped.push(sidecar);
  }

  async function startAgain(secret: object = {}): Promise<Sidecar> {
    return await world.start(shared, { account, secret: { data: DATA, ...secret }, config: TRACE });
  }

  test('says of the connection what is configured now, as soon as that has changed, with the same token', async () => {
    const minted = world.workspace.minted.length;
    const repairs = async () => (await sidecar.metrics()).get('sink_repairs_total', { credential: 'backstage' });
    const repaired = await repairs();
    const config = await readFile(sidecar.configFile, 'utf8');
    await writeFile(sidecar.configFile, config.replace('"port":5432', '"port":6543'));
    await eventually('it says so', async () => (await world.read('uri'))?.includes('@localhost:6543/'));
    assert.equal(world.workspace.minted.length, minted);
    assert.equal(await repairs(), repaired);
  });

  test('loses the keys that are configured no longer, and keeps those of others', async () => {
    sidecar = await restart({ data: { password: 'token' } });
    await eventually(
      'they are gone',
      async () => Object.keys((await world.secret())?.data ?? {}).join() === 'password,theirs',
    );
  });

  test('is the only place that has the token', async () => {
    const { body: page } = await sidecar.get('/status', { headers: { accept: 'text/html' } });
    const { body: status } = await sidecar.get('/status');
    const { text: metrics } = await sidecar.metrics();
    const events = await world.kubectl(['get', 'events', '-o', 'json']);
    assert.match(status, /secret:apps\/lakebase/);
    for (const { token } of world.workspace.minted) {
      for (const text of [token, token.slice(-40), Buffer.from(token).toString('base64')]) {
        for (const said of [...stopped.map(({ stdout }) => stdout), sidecar.stdout, page, status, metrics, events]) {
          assert.ok(!said.includes(text));
        }
      }
    }
  });

  const users = {
    'a client certificate': () => ({ 'client-certificate': world.api.admin.cert, 'client-key': world.api.admin.key }),
    'a program that gives a token': async (directory: string, token: string) => {
      const command = join(directory, 'login');
      const status = { token, expirationTimestamp: new Date(Date.now() + 60_000).toISOString() };
      const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status };
      await writeFile(command, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`, { mode: 0o755 });
      return { exec: { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' } };
    },
  };
  for (const [what, user] of Object.entries(users)) {
    test(`is written by who logs in to the cluster with ${what}`, async (t) => {
      const elsewhere = await world.inNamespace(`apps-${what.length}`);
      const { tokenFile } = await elsewhere.account('backstage');
      const directory = await temporaryDirectory(t);
      const kubeconfig = join(directory, 'kubeconfig');
      const login = await user(directory, await readFile(tokenFile, 'utf8'));
      await writeFile(kubeconfig, kubeconfigFor(world.api, login));
      const writer = await elsewhere.start(t, { account: { ...account, kubeconfig } });
      await writer.ready();
      assert.equal(await elsewhere.read(), world.newest());
    });
  }

  test('is asked for as whom a kubeconfig says, with uid, groups and extras', async (t) => {
    const kubeconfig = join(await temporaryDirectory(t), 'kubeconfig');
    const { cert, key } = world.api.admin;
    const user = {
      'client-certificate': cert,
      'client-key': key,
      as: 'jürgen',
      'as-uid': '7',
      'as-groups': ['writers', 'readers'],
      'as-user-extra': { 'acme.example/project': ['a', 'b'], 'ü%': ['c'] },
    };
    await writeFile(kubeconfig, kubeconfigFor(world.api, user));
    const api = new ApiServer(kubeconfig, 'test');
    await api.prepare(t);
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const answer = await api.request({ method: 'POST', path, body, signal: t.signal });
    assert.deepEqual((answer.body as { status: unknown }).status, {
      userInfo: {
        username: 'jürgen',
        uid: '7',
        groups: ['writers', 'readers', 'system:authenticated'],
        extra: { 'acme.example/project': ['a', 'b'], 'ü%': ['c'] },
      },
    });
  });
});
