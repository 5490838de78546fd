import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { ENDPOINT } from '../../support/sidecar-setup.ts';
import { workspaceFor } from '../../support/sidecar-clis.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { eventually } from '../../support/eventually.ts';
import type { Workspace } from '../../support/workspace.ts';
import { whyNoHelm } from '../programs.ts';
import { KeptSecret, SECRET } from './kept-secret.ts';
import { CHART, ChartWorld, HELMS, type Pod } from './world.ts';

const PREVIOUS = join(import.meta.dirname, '../../fixtures/lakebase-credential-sidecar-0.1.0.tgz');
const OWNER = 'meta.helm.sh/release-name';
const skip = await whyNoHelm();

describe('Secrets of the chart, and the program that writes them', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;
  let workspace: Workspace;

  before(async () => {
    world = await ChartWorld.start(shared);
    workspace = await workspaceFor(shared, { tokenLifetimeMs: 3_600_000 });
  });

  for (const helm of HELMS) {
    const prepare = (name: string) => KeptSecret.prepare(world, helm, workspace, name);
    const lastToken = () => lastTokenOf(workspace);

    test(`${helm}: upgrades and rollbacks leave every key as it is; one that is deleted is made again, and stays`, async (t) => {
      const kept = await prepare('stays');
      await kept.install('one', kept.values());
      assert.equal((await kept.secret())!.data, undefined);
      await (await kept.start(t, 'one')).ready();
      const token = lastToken();
      await kept.holds(token);
      const seen = await kept.watch(t);
      await kept.upgrade('one', kept.values([SECRET], { keepSecrets: true }));
      await kept.rollback('one', 1);
      await kept.upgrade('one', kept.values());
      await kept.assertOnly(seen, token, 3);

      await kept.delete();
      await kept.holds(token);
      const { metadata } = (await kept.secret())!;
      assert.equal(metadata.annotations?.[OWNER], undefined);
      await kept.upgrade('one', kept.values());
      const secret = (await kept.secret())!;
      assert.deepEqual([secret.metadata.uid, secret.metadata.annotations?.[OWNER]], [metadata.uid, 'one']);
      await kept.holds(token);
    });

    test(`${helm}: they go with the release, though the program still runs`, async (t) => {
      const kept = await prepare('goes');
      await kept.install('one', kept.values());
      const sidecar = await (await kept.start(t, 'one')).ready();
      await kept.uninstall('one');
      await eventually('it tells why not', async () =>
        (await sidecar.status()).credentials[0]?.sinks.some(({ state }) => state !== 'holds'),
      );
      assert.equal(await kept.secret(), undefined);
    });

    test(`${helm}: so does one that is configured no longer, though the program has not read that yet`, async (t) => {
      const kept = await prepare('less');
      await kept.install('one', kept.values([SECRET, 'reports-lakebase']));
      const sidecar = await (await kept.start(t, 'one')).ready();
      await kept.upgrade('one', kept.values());
      const tried = await sidecar.logged('sink not written');
      assert.equal((tried['err'] as { failure: string }).failure, 'forbidden');
      assert.equal(await kept.secret('reports-lakebase'), undefined);
      assert.notEqual(await kept.secret(), undefined);
    });

    test(`${helm}: kept ones serve a release of another name, which mints nothing and upgrades`, async (t) => {
      const kept = await prepare('kept');
      const values = kept.values([SECRET], { keepSecrets: true });
      await kept.install('one', values);
      const sidecar = await (await kept.start(t, 'one')).ready();
      const token = lastToken();
      const seen = await kept.watch(t);
      await sidecar.stop();
      await kept.uninstall('one');
      await kept.install('two', values);
      const count = workspace.minted.length;
      await (await kept.start(t, 'two')).ready();
      assert.equal(workspace.minted.length, count);
      await kept.upgrade('two', values);
      await kept.upgrade('two', kept.values());
      await kept.uninstall('two');
      await kept.holds(token);
      await kept.assertOnly(seen, token, 1);
    });

    test(`${helm}: an upgrade from 0.1.0, whose Secrets are the program's, and back loses none and leaves nothing else behind`, async (t) => {
      const kept = await prepare('previous');
      const before = await world.everything();
      const values = (names = [SECRET]) => ({ ...kept.values(names), injection: { enabled: true } });
      await kept.install('one', values(), PREVIOUS);
      await (await kept.start(t, 'one')).ready();
      const token = lastToken();
      const seen = await kept.watch(t);
      await kept.upgrade('one', values([SECRET, 'reports-lakebase']));
      assert.equal((await kept.secret('reports-lakebase'))!.data, undefined);
      await kept.upgrade('one', values());
      assert.equal(await kept.secret('reports-lakebase'), undefined);
      await kept.rollback('one', 1);
      await kept.upgrade('one', values());
      await kept.uninstall('one');
      await kept.holds(token);
      await kept.assertOnly(seen, token, 1);
      const left = (await world.everything()).filter((name) => !before.includes(name));
      assert.deepEqual(left, [`Secret v1 ${kept.apps} ${SECRET}`]);
    });
  }

  for (const helm of HELMS) {
    test(`${helm} test runs check as the Deployment would run it, and leaves no pod`, async (t) => {
      const kept = await KeptSecret.prepare(world, helm, workspace, 'test');
      await kept.install('one', kept.values());
      const { code, stdout } = await kept.check(t, 'one');
      assert.equal(code, 0, stdout);
      const before = await world.everything();
      await kept.helmTest('one', async (pod) => {
        const where = ['pod', pod, '--namespace', kept.releases];
        const stored = JSON.parse(await world.api.kubectl(['get', ...where, '-o', 'json'])) as Pod;
        assert.deepEqual(stored.spec.containers[0]!['args'], ['check']);
        const done = JSON.stringify({ status: { phase: 'Succeeded' } });
        await world.api.kubectl(['patch', ...where, '--subresource=status', '--type=merge', '-p', done]);
      });
      assert.deepEqual(await world.everything(), before);
    });
  }

  test('an upgrade that changes whose tokens they are gets its pods ready beside those of before, which leave them the Secret', async (t) => {
    const kept = await KeptSecret.prepare(world, 'helm4', workspace, 'identity');
    await kept.install('one', kept.values());
    const before = [await (await kept.start(t, 'one')).ready(), await (await kept.start(t, 'one')).ready()];
    const endpoint = ENDPOINT.replace('primary', 'secondary');
    const sinks = [{ secret: { namespace: kept.apps, name: SECRET, data: { password: 'token' } } }];
    await kept.upgrade('one', kept.values([], { config: { credentials: [{ name: SECRET, endpoint, sinks }] } }));
    const next = await (await kept.start(t, 'one')).ready();
    const areReady = async () => await Promise.all(before.map((one) => one.isReady()));
    await eventually('the old ones have noticed', async () => !(await areReady()).includes(true));
    await kept.holds(lastTokenOf(workspace));
    assert.ok(await next.isReady());
  });

  test('names that YAML would read as numbers or truths are names', async () => {
    const kept = new KeptSecret(world, 'helm4', workspace, 'numbers');
    const secret = { namespace: '2024', name: '1e3', type: '1', data: { password: 'token' } };
    const values = kept.values([SECRET], {
      config: { credentials: [{ name: SECRET, endpoint: ENDPOINT, sinks: [{ secret }] }] },
      imagePullSecrets: ['0x10'],
      serviceAccount: { name: 'true' },
      identity: { workspaceHost: 'https://w.example.com', clientId: '1', clientSecretName: '1.5' },
    });
    const all = { ...values, fullnameOverride: '123' };
    for (const helm of HELMS) {
      const rendered = await world.helm(
        helm,
        ['template', '7', CHART, '--namespace', '2025', '--kube-version', '1.36.1'],
        all,
      );
      const objects = parseAllDocuments(rendered).map((document) => document.toJS() as unknown);
      const strings = new Set<string>();
      JSON.stringify(objects, (key, value: unknown) => {
        if (/^(?:name|namespace|type|serviceAccountName|app\.kubernetes\.io\/instance)$/.test(key)) {
          assert.equal(typeof value, 'string', `${key}: ${String(value)}`);
          strings.add(value as string);
        }
        if (key === 'resourceNames') assert.deepEqual(value, ['1e3']);
        return value;
      });
      for (const name of ['2024', '1e3', '1', '0x10', 'true', '1.5', '123', '7', '2025'])
        assert.ok(strings.has(name), name);
    }
  });

  test('a namespace that is not there is named before anything is installed', async () => {
    for (const helm of HELMS) {
      const kept = new KeptSecret(world, helm, workspace, 'nowhere');
      await world.namespace(kept.releases);
      const before = await world.everything();
      await assert.rejects(
        kept.install('one', kept.values()),
        new RegExp(`secretSync\\.config\\.credentials: there is no namespace ${kept.apps}: create it first`),
      );
      assert.deepEqual(await world.everything(), before);
    }
  });

  test('so is one that is being deleted, in which nothing can be made any more', async () => {
    for (const helm of HELMS) {
      const kept = await KeptSecret.prepare(world, helm, workspace, 'going');
      await world.api.kubectl(['delete', 'namespace', kept.apps, '--wait=false']);
      const before = await world.everything();
      await assert.rejects(
        kept.install('one', kept.values()),
        new RegExp(
          `secretSync\\.config\\.credentials: the namespace ${kept.apps} is being deleted: wait until it is gone`,
        ),
      );
      assert.deepEqual(await world.everything(), before);
    }
  });
});

function lastTokenOf({ minted }: Workspace): string {
  return minted.at(-1)!.token;
}
