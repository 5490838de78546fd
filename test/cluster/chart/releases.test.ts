import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { whyNoHelm } from '../programs.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { injection, secretSync, withSync } from './ci-values.ts';
import { CHART, ChartWorld, HELMS, type Container, type Helm, type PodSpec } from './world.ts';

type Texts = Readonly<Record<string, string>>;

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Texts;
    readonly labels?: Texts;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: unknown;
  readonly spec?: {
    readonly template: {
      readonly metadata: { readonly annotations: Texts; readonly labels: Texts };
      readonly spec: PodSpec;
    };
  };
}

const manifests = join(import.meta.dirname, '../../../manifests');
const both = { ...secretSync, ...injection };
const LONGEST = 'r'.repeat(53);

const skip = await whyNoHelm();

describe('releases of the chart', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;

  before(async () => {
    world = await ChartWorld.start(shared);
    for (const name of ['lakebase', 'other', 'backstage', 'reports']) await world.namespace(name);
  });

  for (const helm of HELMS) {
    test(`${helm} has nothing to say about the chart, with whatever values`, async () => {
      for (const values of [{}, injection, secretSync, both]) {
        assert.match(
          await world.helm(helm, ['lint', '--strict', CHART], values),
          /1 chart\(s\) linted, 0 chart\(s\) failed/,
        );
      }
    });

    test(`${helm} refuses injection below 1.36, names the component, and leaves it off unless it is asked for`, async () => {
      const old = ['--kube-version', '1.30.0'];
      const wanted = { ...injection, injection: { enabled: true } };
      await assert.rejects(
        render(helm, wanted, old),
        /injection\.enabled: injection needs Kubernetes 1\.36 or newer, this is v1\.30\.0 \(.*--kube-version\): .*manifests\/comp/,
      );
      assert.deepEqual(await render(helm, injection, old), []);
      await assert.rejects(render(helm, {}, ['--kube-version', '1.28.0']), /kubeVersion: >=1\.29/);
    });

    test(`${helm} installs, upgrades, rolls back and leaves nothing behind, twice in one cluster`, async () => {
      const before = await world.everything();
      const releases = [
        ['first', 'lakebase'],
        [LONGEST, 'other'],
      ] as const;
      for (const [release, namespace] of releases) {
        const where = [release, CHART, '--namespace', namespace];
        await world.helm(helm, ['install', ...where, '--dry-run=server'], both);
        const notes = await world.helm(helm, ['install', ...where], both);
        assert.match(notes, /lakebase-credential-sidecar\/inject: "true"/);
        assert.match(notes, new RegExp(`rollout status deployment/${release}`));
        assert.match(notes, /no Prometheus operator .*, so these are not installed: podMonitor, prometheusRule, dash/);
        await world.helm(helm, ['upgrade', ...where], { ...secretSync, injection: { enabled: false } });
        assert.equal(
          (await world.everything()).filter((name) => name.includes('admission') && name.includes(release)).length,
          0,
        );
        await world.helm(helm, ['rollback', release, '1', '--namespace', namespace]);
        assert.equal(
          (await world.everything()).filter((name) => name.includes('admission') && name.includes(release)).length,
          4,
        );
      }
      for (const [release, namespace] of releases)
        await world.helm(helm, ['uninstall', release, '--namespace', namespace]);
      assert.deepEqual(await world.everything(), before);
    });
  }

  test('secretSync is the standalone Deployment of the manifests, with its configuration and its roles', async () => {
    const ours = await render('helm4', secretSync);
    const theirs = parseAllDocuments(await world.api.kubectl(['kustomize', join(manifests, 'standalone')])).map(
      (document) => document.toJS() as Manifest,
    );
    assert.deepEqual(podOf(ours), podOf(theirs));
    assert.deepEqual(configOf(ours), configOf(theirs));
    const rules = (all: readonly Manifest[]): unknown[] =>
      all.filter(({ kind }) => kind === 'Role').map((role) => [role.metadata.namespace, role.rules]);
    assert.deepEqual(rules(ours), rules(theirs));
    const bindings = ours.filter(({ kind }) => kind === 'RoleBinding') as unknown as { subjects: object[] }[];
    for (const { subjects } of bindings) {
      assert.deepEqual(subjects, [
        { kind: 'ServiceAccount', name: 'x-lakebase-credential-sidecar', namespace: 'lakebase' },
      ]);
    }
  });

  test('its pods are replaced for another identity or another port, and for no other configuration', async () => {
    const template = async (changes: object): Promise<unknown> => {
      const all = await render('helm4', withSync(changes));
      return all.find(({ kind }) => kind === 'Deployment')!.spec!.template;
    };
    const { config, identity } = secretSync.secretSync;
    const plain = await template({});
    assert.deepEqual(await template({ config: { ...config, log: { level: 'debug' } } }), plain);
    assert.deepEqual(await template({ config: { ...config, credentials: config.credentials.slice(1) } }), plain);
    for (const other of [
      { config: { ...config, http: { port: 8080 } } },
      { config: { ...config, http: { host: '0.0.0.0' } } },
      { identity: { ...identity, clientId: 'another' } },
      { identity: { ...identity, clientSecretName: 'client' } },
    ]) {
      assert.notDeepEqual(await template(other), plain);
    }
  });

  test('without federation, its pods get one key of the Secret, which the notes say how to make', async () => {
    const values = withSync({ identity: { ...secretSync.secretSync.identity, clientSecretName: 'client' } });
    const items = [{ key: 'client-secret', path: 'client-secret' }];
    for (const { kind, spec } of await render('helm4', values)) {
      if (kind !== 'Deployment') continue;
      const { volumes } = spec!.template.spec;
      const identity = volumes!.find(({ name }) => name === 'identity')!;
      assert.deepEqual(identity['projected'], { sources: [{ secret: { name: 'client', items } }] });
    }
    for (const helm of HELMS) {
      const where = ['install', 'x', CHART, '--namespace', 'lakebase', '--dry-run=server'];
      const notes = await world.helm(helm, where, values);
      assert.match(notes, /kubectl --namespace lakebase create secret generic client --from-file=client-secret\n/);
      assert.doesNotMatch(notes, /federation policy/);
    }
  });

  test('a label or annotation of theirs that its pods have already stands once: that of the chart', async () => {
    const podLabels = { 'app.kubernetes.io/instance': 'other', team: 'shop' };
    const all = await render('helm4', withSync({ podLabels, podAnnotations: { 'checksum/http': 'other', a: 'b' } }));
    const { annotations, labels } = all.find(({ kind }) => kind === 'Deployment')!.spec!.template.metadata;
    assert.deepEqual([labels['app.kubernetes.io/instance'], labels['team']], ['x', 'shop']);
    assert.deepEqual([annotations['a'], annotations['checksum/http']?.length], ['b', 64]);
  });

  test('the pod of the test has the labels and annotations of theirs, too, and stays a test', async () => {
    const podLabels = { 'app.kubernetes.io/component': 'other', 'sidecar.istio.io/inject': 'false' };
    const podAnnotations = { 'helm.sh/hook': 'other', a: 'b' };
    const all = await render('helm4', withSync({ podLabels, podAnnotations }));
    const { annotations, labels } = all.find(({ kind }) => kind === 'Pod')!.metadata;
    assert.deepEqual([labels!['app.kubernetes.io/component'], labels!['sidecar.istio.io/inject']], ['check', 'false']);
    assert.deepEqual([annotations!['helm.sh/hook'], annotations!['a']], ['test', 'b']);
  });

  test('its pods are placed as the values say, and only those of the Deployment are spread', async () => {
    const placed = {
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'infra', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'system-cluster-critical',
    };
    const labelSelector = { matchLabels: { 'app.kubernetes.io/instance': 'x' } };
    const spread = { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector };
    const all = await render('helm4', withSync({ ...placed, topologySpreadConstraints: [spread] }));
    const deployment = all.find(({ kind }) => kind === 'Deployment')!;
    const { template } = deployment.spec!;
    const pod = all.find(({ kind }) => kind === 'Pod')!.spec as unknown as PodSpec;
    for (const [name, value] of Object.entries(placed))
      assert.deepEqual([template.spec[name], pod[name]], [value, value], name);
    assert.deepEqual(
      [template.spec['topologySpreadConstraints'], pod['topologySpreadConstraints']],
      [[spread], undefined],
    );
    await world.api.kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], deployment);
  });

  test('its pods are taken without a warning where Pod Security is restricted, that of the test too', async () => {
    const account = ['serviceaccount', 'x-lakebase-credential-sidecar', '--namespace', 'lakebase'];
    await world.api.kubectl(['create', ...account]);
    const objects = (await render('helm4', secretSync)).filter(({ kind }) => ['Deployment', 'Pod'].includes(kind));
    const flags = ['--namespace', 'lakebase', '--dry-run=server', '--warnings-as-errors'];
    for (const one of objects) await world.api.kubectl(['create', ...flags, '-f', '-'], one);
    assert.equal(objects.length, 2);
  });

  async function render(helm: Helm, values: object, flags: readonly string[] = ['--kube-version', '1.36.1']) {
    const args = ['template', 'x', CHART, '--namespace', 'lakebase', ...flags];
    return parseAllDocuments(await world.helm(helm, args, values))
      .map((document) => document.toJS() as Manifest | null)
      .filter((manifest) => manifest !== null);
  }
});

function configOf(all: readonly Manifest[]): unknown {
  return parse(all.map(({ data }) => data?.['config.yaml']).find((text) => text !== undefined)!);
}

/** But for names, and for the identity, which a ConfigMap of its own holds there. */
function podOf(all: readonly Manifest[]): object {
  const { spec } = all.find(({ kind }) => kind === 'Deployment')!.spec!.template;
  const { serviceAccountName: _account, containers, volumes = [], ...rest } = spec;
  return {
    ...rest,
    volumes: volumes.map((volume) => (volume.name === 'config' ? { name: 'config' } : volume)),
    containers: containers.map(
      ({ image: _image, imagePullPolicy: _policy, envFrom: _from, env = [], ...others }: Container) => ({
        ...others,
        env: env.filter(({ name }) => !['DATABRICKS_HOST', 'DATABRICKS_CLIENT_ID'].includes(name)),
      }),
    ),
  };
}
