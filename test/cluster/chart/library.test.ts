import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { execa } from 'execa';
import { parse, parseAllDocuments } from 'yaml';
import { whyNoHelm } from '../programs.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { CHART, HELMS, type Helm } from './helm.ts';
import { bare, comparable, kustomized } from './pods.ts';
import { backstageChart, umbrellaChart } from './umbrella.ts';
import {
  ChartWorld,
  containerOf,
  DEFAULTS,
  ENDPOINT,
  podOf,
  secretSyncInto,
  sidecarOf,
  variablesOf,
  type Pod,
} from './world.ts';

const NAME = 'lakebase-credential-sidecar';
const IMAGE = { repository: 'registry.example.com/lakebase-credential-sidecar' };
/** With what YAML, JSON and CEL each write in ways of their own. */
const ENV = { HTTPS_PROXY: 'http://proxy.example.com:3128/?a="1"&b=<2>\\', NO_PROXY: '.svc,10.0.0.0/8' };
const OFF = {
  injection: { enabled: false, defaults: DEFAULTS },
  monitoring: { enabled: false },
  image: IMAGE,
  env: ENV,
};
const good = { endpoint: ENDPOINT };
const everything = {
  instance: 'orders-db',
  'client-id': 'another-id',
  'workspace-host': 'https://other.cloud.databricks.com',
  'client-secret-name': 'orders-client',
  files: 'pgpass , \ntoken',
  directory: '/credentials/lakebase',
  'pg-host': 'db.example.com',
  'pg-database': 'orders',
  'pg-user': 'orders-role',
  'run-as-user': '1000650000',
  'cpu-request': '20m',
  'cpu-limit': '500m',
  'memory-request': '70Mi',
  'memory-limit': '300Mi',
};

function withDefaults(defaults: object): object {
  return { injection: { enabled: false, defaults: { ...DEFAULTS, ...defaults } } };
}

/** Settings, what differs in the values of the dependency, and what is said. */
const REFUSED: readonly (readonly [object, object, RegExp])[] = [
  [{}, {}, /set endpoint to projects\/PROJECT\/branches\/BRANCH\/endpoints\/ENDPOINT, or instance to the name/],
  [{ ...good, instance: 'orders' }, {}, /endpoint and instance cannot be used together: remove one of them/],
  [{ ...good, 'end-point': 'x' }, {}, /unknown setting: end-point; the settings are audience, client-id/],
  [{ ...good, containers: 'orders' }, {}, /unknown setting: containers/],
  [{ endpoint: 'projects/orders' }, {}, /endpoint is projects\/orders: write projects\/PROJECT\/branches\/BRANCH\//],
  [{ instance: '-x' }, {}, /instance is -x: write the name of a Lakebase Provisioned instance/],
  [{ ...good, 'workspace-host': '' }, {}, /set workspace-host to https:\/\//],
  [{ ...good, 'workspace-host': 'my-workspace' }, {}, /workspace-host is my-workspace: write https:\/\//],
  [{ ...good, 'workspace-host': 'https://a/b' }, {}, /workspace-host is https:\/\/a\/b: write https:\/\//],
  [{ ...good, 'client-id': '' }, {}, /set client-id to the application id/],
  [{ ...good, 'client-id': 'a b' }, {}, /client-id is a b: write the application id/],
  [{ ...good, audience: '' }, {}, /set audience to the audience of the federation policy/],
  [{ ...good, 'client-secret-name': 'My_Secret' }, {}, /client-secret-name is My_Secret: write the name of a Secret/],
  [{ ...good, files: 'pgpass,password' }, {}, /files is pgpass,password: write one or more of pgpass, token, json,/],
  [{ ...good, files: 'pgpass token' }, {}, /files is pgpass token: write .*separated by commas/],
  [{ ...good, files: ['pgpass', 'token'] }, {}, /files is \["pgpass","token"\]: write .*separated by commas/],
  [{ ...good, files: 'token,token' }, {}, /files is token,token: write .* each once/],
  [{ ...good, files: '' }, {}, /set files to one or more of pgpass/],
  [
    { ...good, directory: 'run/lakebase' },
    {},
    /directory is run\/lakebase: write an absolute path, such as \/run\/lakebase/,
  ],
  [{ ...good, directory: '/tmp' }, {}, /directory is \/tmp: write .*not in \/tmp/],
  [{ ...good, directory: '/run/../etc' }, {}, /directory is \/run\/\.\.\/etc: write an absolute path/],
  [{ ...good, directory: '' }, {}, /set directory to an absolute path/],
  [{ ...good, 'pg-host': '10.0.0.1:5432' }, {}, /pg-host is 10\.0\.0\.1:5432: write a host name without port/],
  [{ ...good, 'pg-host': 'a b' }, {}, /pg-host is a b: write a host name without port/],
  [{ ...good, 'pg-host': '*', files: 'uri' }, {}, /pg-host is \*: write a host name without port/],
  [
    { ...good, 'pg-host': '*', files: 'pgpass,json' },
    {},
    /pg-host is \*: write a host name without port; only a pgpass/,
  ],
  [
    { ...good, 'pg-host': 'ep-1-pooler.example.com' },
    {},
    /pg-host is ep-1-pooler\S+: a pooler does not accept OAuth tokens; write/,
  ],
  [{ ...good, 'pg-database': 'a b' }, {}, /pg-database is a b: write the name of the database/],
  [{ ...good, 'pg-database': '', files: 'uri' }, {}, /set pg-database to the name of the database/],
  [{ ...good, 'pg-user': 'a b' }, {}, /pg-user is a b: write the Postgres role/],
  [{ ...good, 'run-as-user': 0 }, {}, /run-as-user is 0: write the number of a user that is not root/],
  [{ ...good, 'run-as-user': 'node' }, {}, /run-as-user is node: write the number of a user/],
  [{ ...good, 'run-as-user': '2147483648' }, {}, /run-as-user is 2147483648: write .*, at most 2147483647/],
  [{ ...good, 'cpu-request': 'much' }, {}, /cpu-request is much: write a quantity, such as 50m of cpu/],
  [{ ...good, 'cpu-limit': 0 }, {}, /cpu-request is 10m, above cpu-limit, which is 0: lower the request/],
  [
    { ...good, 'memory-limit': 63e6 },
    {},
    /memory-request is 64Mi, above memory-limit, which is 63000000: lower the request/,
  ],
  [good, withDefaults({ files: null }), /set files to one or more of pgpass/],
  [good, withDefaults({ directory: null }), /set directory to an absolute path/],
  [good, withDefaults({ audience: null }), /set audience to the audience of the federation policy/],
  [good, { injection: { enabled: false, defaults: null, namespaceDefaults: null } }, /set workspace-host to https/],
  [good, { injection: null }, /set workspace-host to https/],
  [{ ...good, 'pg-host': '' }, {}, /set pg-host to the host of the endpoint/],
  [{ ...good, ttl: '2h' }, {}, /ttl is 2h: write 5m to 1h/],
  [{ ...good, ttl: '4m' }, {}, /ttl is 4m: write 5m to 1h/],
  [{ instance: 'orders', ttl: '30m' }, {}, /an instance does not support a ttl: set ttl to an empty value/],
  [good, { image: {} }, /image\.repository: set it to where your clusters pull/],
  [good, { image: null }, /image\.repository: set it to where your clusters pull/],
  [good, { injection: { enabled: false, defaults: { ttl: 'an hour' } } }, /ttl/],
];

const { appVersion: VERSION } = parse(await readFile(join(CHART, 'Chart.yaml'), 'utf8')) as { appVersion: string };
const skip = await whyNoHelm();

describe('charts that place the sidecar themselves', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;
  let umbrella: string;

  before(async () => {
    world = await ChartWorld.start(shared);
    umbrella = await umbrellaChart(shared);
    for (const name of ['apps', 'backstage']) await world.namespace(name);
    await world.api.kubectl(['create', 'serviceaccount', 'orders', '--namespace', 'apps']);
    await world.api.kubectl(['create', 'serviceaccount', 'backstage', '--namespace', 'backstage']);
    await world.install({
      image: IMAGE,
      env: ENV,
      injection: { defaults: DEFAULTS },
    });
  });

  for (const helm of HELMS) {
    test(`${helm}: a pod by the templates is the pod by injection, and that of the kustomize component`, async () => {
      const { spec } = await kustomized(world, 'manifests/examples/libpq');
      const expected = await world.create({ metadata: { name: 'orders' }, spec });
      const injected = await world.create(podOf(good, bare(spec)));
      const placed = await world.create(await place(helm, bare(spec), good));
      assert.deepEqual(comparable(placed.spec), comparable(expected.spec));
      assert.deepEqual(comparable(placed.spec), comparable(injected.spec));
      assertSame(placed, injected);
    });

    test(`${helm}: so it is with every setting that differs`, async () => {
      const { spec } = podOf({}, { securityContext: { runAsUser: 1_000_650_000, runAsNonRoot: true } });
      const pod = { ...spec, containers: [containerOf('orders', { securityContext: RESTRICTED })] };
      const injected = await world.create(podOf({ ...everything }, pod));
      const placed = await world.create(await place(helm, pod, everything));
      assert.deepEqual(comparable(placed.spec), comparable(injected.spec));
      assertSame(placed, injected);
      assert.equal(sidecarOf(placed)!.securityContext!['runAsUser'], 1_000_650_000);
      const { LAKEBASE_CREDENTIAL_FILES, ...variables } = variablesOf(sidecarOf(placed)!);
      assert.equal(LAKEBASE_CREDENTIAL_FILES, 'pgpass,token');
      assert.deepEqual({ ...variables, ...ENV }, variables);
    });

    test(`${helm}: null is no setting: that of a default counts, or what injection has where there is none`, async () => {
      const none = { ttl: null, directory: null, 'run-as-user': null, instance: null };
      const values = withDefaults({ 'cpu-request': null, 'memory-request': null, 'memory-limit': null });
      const [usual, placed] = await Promise.all([
        place(helm, podOf().spec, good),
        render(helm, podOf().spec, { ...good, ...none }, values).then((text) => parse(text) as Pod),
      ]);
      assert.deepEqual(placed, usual);
    });

    test(`${helm}: the dependency installs nothing of its own where its parts are off`, async () => {
      const objects = parseAllDocuments(await render(helm, podOf().spec, good)).map((one) => one.toJS() as Pod | null);
      assert.deepEqual(
        objects.filter((one) => one !== null).map(({ metadata }) => metadata.name),
        ['orders'],
      );
    });

    test(`${helm}: objects of a dependency with an alias have names that an API server takes`, async () => {
      for (const [alias, name] of [
        ['lakebaseSidecar', 'lakebasesidecar'],
        ['lakebase_sidecar', 'lakebase-sidecar'],
      ] as const) {
        const chart = await umbrellaChart(shared, alias);
        const values = {
          pod: podOf().spec,
          lakebase: good,
          [alias]: { image: IMAGE, injection: { defaults: DEFAULTS }, secretSync: secretSyncInto('apps') },
        };
        const text = await world.helm(helm, ['template', 'x', chart, '--kube-version', '1.36.1'], values);
        await world.api.kubectl(['create', '--dry-run=server', '--namespace', 'apps', '-f', '-'], listOf(text));
        assert.match(text, new RegExp(`^kind: Deployment\nmetadata:\n  name: "x-${name}"$`, 'm'));
        assert.match(
          text,
          new RegExp(`^kind: MutatingAdmissionPolicy\nmetadata:\n  name: ${name}\\.default\\.x$`, 'm'),
        );
      }
    });

    for (const [settings, values, says] of REFUSED) {
      test(`${helm}: ${JSON.stringify(settings)} with ${JSON.stringify(values)} is refused, and it is said why`, async () => {
        await assert.rejects(render(helm, podOf().spec, settings, values), says);
      });
    }

    test(`${helm}: the values for Backstage's own chart, by label or written out, give it the same pod`, async () => {
      const [byLabel, byHand] = await valuesOfThePage();
      const chart = await backstageChart(shared);
      const [injected, placed] = await Promise.all(
        [byLabel, byHand].map(async (values) => {
          const text = await world.helm(helm, ['template', 'x', chart, '--namespace', 'backstage'], values);
          return await world.createWith(['--dry-run=server', '--warnings-as-errors'], parse(text) as Pod, 'backstage');
        }),
      );
      assert.deepEqual(comparable(injected!.spec), comparable(placed!.spec));
      assert.equal(sidecarOf(placed!)!.image, sidecarOf(injected!)!.image);
    });
  }

  test('docs/helm.md has a command that shows what a pod would get, in a restricted namespace', async () => {
    const page = await readFile(join(import.meta.dirname, '../../../docs/helm.md'), 'utf8');
    const [, command] = /```console\n(kubectl [^`]*run try[^`]*)```/.exec(page)!;
    const script = `kubectl() { printf '%s\\0' "$@"; }\n${command!}`;
    const { stdout } = await execa('bash', ['-c', script]);
    const pod = parse(await world.api.kubectl(stdout.split('\0').slice(0, -1))) as Pod;
    assert.deepEqual([sidecarOf(pod)!.image, pod.spec.containers.length], [`${IMAGE.repository}:${VERSION}`, 1]);
  });

  async function render(helm: Helm, pod: object, lakebase: object, values: object = {}): Promise<string> {
    const args = ['template', 'x', umbrella, '--namespace', 'apps', '--kube-version', '1.36.1'];
    return await world.helm(helm, args, { pod, lakebase, [NAME]: { ...OFF, ...values } });
  }

  async function place(helm: Helm, pod: object, lakebase: object): Promise<Pod> {
    return parse(await render(helm, pod, lakebase)) as Pod;
  }
});

/** Of the namespace of the test, whichever they were rendered for; without pods, whose service account is not there yet. */
function listOf(text: string): object {
  const items = parseAllDocuments(text)
    .map((one) => one.toJS() as (Pod & { readonly kind: string }) | null)
    .filter((one) => one !== null && one.kind !== 'Pod');
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: items.map((one) => ({ ...one, metadata: { ...one!.metadata, namespace: 'apps' } })),
  };
}

const RESTRICTED = { seccompProfile: { type: 'RuntimeDefault' } };

function assertSame(placed: Pod, injected: Pod): void {
  const [ours, theirs] = [placed, injected].map((pod) => sidecarOf(pod)!);
  assert.deepEqual(variablesOf(ours!), variablesOf(theirs!));
  assert.deepEqual([ours!.image, ours!['imagePullPolicy']], [theirs!.image, theirs!['imagePullPolicy']]);
}

interface BackstageValues {
  readonly backstage: {
    readonly extraEnvVars?: readonly { readonly name: string }[];
    readonly [name: string]: unknown;
  };
}

/** Those with the label change a few keys of those that are written out. */
async function valuesOfThePage(): Promise<readonly [object, object]> {
  const page = await readFile(join(import.meta.dirname, '../../../docs/backstage.md'), 'utf8');
  const all = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) => parse(yaml) as BackstageValues);
  const byHand = all.find(({ backstage }) => backstage?.['initContainers'] !== undefined)!;
  const label = all.find(({ backstage }) => backstage?.['podLabels'] !== undefined)!;
  const { initContainers: _init, extraVolumes: _volumes, extraVolumeMounts: _mounts, ...rest } = byHand.backstage;
  const extraEnvVars = rest.extraEnvVars!.filter(({ name }) => name !== 'PGPASSFILE');
  return [{ ...byHand, backstage: { ...rest, ...label.backstage, extraEnvVars } }, byHand];
}
