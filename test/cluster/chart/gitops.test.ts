import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { temporaryDirectory, undoAfter } from '../../support/cleanup.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { whyNoHelm } from '../programs.ts';
import { injection, secretSync } from './ci-values.ts';
import { switchingChart } from './umbrella.ts';
import { CHART, ChartWorld, DEFAULTS, HELMS, secretSyncInto, type Helm } from './world.ts';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly matchConstraints: { readonly resourceRules: unknown } };
}

const IMAGE = { repository: 'registry.example.com/lakebase-credential-sidecar' };
const NEEDED = /metadata:\n {4}labels:\n.*\n(?: {4}annotations:.*\n((?: {6}.*\n)+))?/;
const skip = await whyNoHelm();

describe('the chart as platforms use it', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;

  before(async () => {
    world = await ChartWorld.start(shared);
    for (const name of ['apps', 'blue', 'green', 'lakebase']) await world.namespace(name);
  });

  for (const helm of HELMS) {
    test(`${helm}: a chart that has it as a dependency may switch it by a condition`, async () => {
      for (const alias of ['lakebase-credential-sidecar', 'lakebase']) {
        const chart = await switchingChart(shared, alias);
        const kinds = async (values: object): Promise<string[]> =>
          (await render(helm, chart, { [alias]: { image: IMAGE, ...values } })).map(({ kind }) => kind);
        assert.ok((await kinds({ enabled: true })).includes('MutatingAdmissionPolicy'), alias);
        assert.deepEqual(await kinds({ enabled: true }), await kinds({}), alias);
        assert.deepEqual(await kinds({ enabled: false }), [], alias);
      }
    });

    test(`${helm}: packaged with a commit in its version, it has labels that an API server takes`, async () => {
      const directory = await temporaryDirectory(shared);
      const version = `1.2.3+${'0123456789abcdef'.repeat(3)}`;
      await world.helm(helm, ['package', CHART, '-d', directory, '--version', version, '--app-version', version]);
      const packaged = join(directory, `lakebase-credential-sidecar-${version}.tgz`);
      for (const { kind, metadata } of await render(helm, packaged, { ...secretSync, ...injection }))
        for (const value of Object.values(metadata.labels))
          assert.match(value, /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, `${kind} ${metadata.name}`);
    });

    test(`${helm}: releases of one name, in two namespaces, may keep the same Secret, which is the first one's`, async () => {
      const values = { image: IMAGE, injection: { enabled: false }, secretSync: secretSyncInto('apps') };
      const before = await world.everything();
      for (const namespace of ['blue', 'green'])
        await world.helm(helm, ['install', 'lakebase', CHART, '--namespace', namespace], values);
      for (const namespace of ['blue', 'green']) {
        const account = `system:serviceaccount:${namespace}:lakebase-lakebase-credential-sidecar`;
        for (const verb of ['get', 'watch', 'patch', 'create'])
          await world.api.kubectl(['auth', 'can-i', verb, 'secret/orders', '--namespace', 'apps', '--as', account]);
      }
      await world.helm(helm, ['uninstall', 'lakebase', '--namespace', 'green']);
      await world.api.kubectl(['get', 'secret', 'orders', '--namespace', 'apps']);
      await world.helm(helm, ['uninstall', 'lakebase', '--namespace', 'blue']);
      assert.deepEqual(await world.everything(), before);
    });

    test(`${helm}: the notes name the annotations that a pod needs beside the defaults, and no other`, async () => {
      const notes = async (ofInjection: object): Promise<string> => {
        const args = ['install', 'notes', CHART, '--namespace', 'lakebase', '--dry-run=server'];
        return await world.helm(helm, args, { image: IMAGE, injection: ofInjection });
      };
      const needed = async (defaults: object): Promise<string[]> => {
        const [, annotations = ''] = NEEDED.exec(await notes({ defaults }))!;
        return [...annotations.matchAll(/sidecar\/([\w-]+):/g)].map(([, name]) => name!);
      };
      assert.deepEqual(await needed({}), ['client-id', 'endpoint', 'pg-host', 'workspace-host']);
      assert.deepEqual(await needed(DEFAULTS), ['endpoint']);
      assert.deepEqual(await needed({ ...DEFAULTS, 'pg-host': null, files: 'token,json' }), ['endpoint']);
      assert.deepEqual(await needed({ ...DEFAULTS, 'pg-host': null, files: 'token,env' }), ['endpoint', 'pg-host']);
      assert.deepEqual(await needed({ ...DEFAULTS, instance: 'orders' }), []);
      assert.match(
        await notes({}),
        /In the namespaces that injection\.namespaceSelector selects, a pod gets the sidecar when/,
      );
      const namespaceDefaults = { orders: { instance: 'orders' }, other: null };
      assert.match(await notes({ defaults: DEFAULTS, namespaceDefaults }), /# not needed in: orders\n/);
      assert.match(await notes({ defaults: DEFAULTS }), /The federation policy must have the subject/);
      const withSecret = await notes({ defaults: { ...DEFAULTS, 'client-secret-name': 'client' } });
      assert.match(
        withSecret,
        /kubectl --namespace NAMESPACE create secret generic client --from-file=client-secret\n/,
      );
      assert.doesNotMatch(withSecret, /The federation policy/);
      const ofOne = { orders: { instance: 'orders', 'client-secret-name': 'orders-client' } };
      assert.match(
        await notes({ defaults: DEFAULTS, namespaceDefaults: ofOne }),
        /But in orders, each pod waits for .* orders-client:\n\n {2}kubectl --namespace orders create secret generic orders-client /,
      );
    });
  }

  test('what is in lists is written as the API server has it, which else Argo CD would call a difference for ever', async (t) => {
    await world.helm('helm4', ['install', 'same', CHART, '--namespace', 'lakebase'], injection);
    undoAfter(t, () => world.helm('helm4', ['uninstall', 'same', '--namespace', 'lakebase']));
    const policies = (await render('helm4', CHART, injection)).filter(({ kind }) => kind.endsWith('Policy'));
    assert.equal(policies.length, 2);
    for (const { kind, spec } of policies) {
      const name = 'lakebase-credential-sidecar.lakebase.same';
      const stored = JSON.parse(await world.api.kubectl(['get', kind, name, '-o', 'json'])) as Manifest;
      assert.deepEqual(stored.spec.matchConstraints.resourceRules, spec.matchConstraints.resourceRules, kind);
    }
  });

  test('what is rendered without a cluster and applied shows no difference, whatever the program has written since', async () => {
    const values = { image: IMAGE, injection: { enabled: true }, secretSync: secretSyncInto('apps') };
    const items = await render('helm4', CHART, values, ['--skip-tests']);
    const manifests = { apiVersion: 'v1', kind: 'List', items };
    await world.api.kubectl(['apply', '--server-side', '-f', '-'], manifests);
    const written = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'orders' }, stringData: { password: 'x' } };
    const manager = ['--field-manager=lakebase-credential-sidecar.orders', '--namespace', 'apps'];
    await world.api.kubectl(['apply', '--server-side', ...manager, '-f', '-'], written);
    for (const flags of [['--server-side'], []]) {
      // Fails where there is any.
      assert.equal(await world.api.kubectl(['diff', ...flags, '-f', '-'], manifests), '', flags.join());
    }
    await world.api.kubectl(['delete', '-f', '-'], manifests);
  });

  async function render(helm: Helm, chart: string, values: object, flags: readonly string[] = []): Promise<Manifest[]> {
    const args = ['template', 'same', chart, '--namespace', 'lakebase', '--kube-version', '1.36.1', ...flags];
    return parseAllDocuments(await world.helm(helm, args, values))
      .map((document) => document.toJS() as Manifest | null)
      .filter((one) => one !== null);
  }
});
