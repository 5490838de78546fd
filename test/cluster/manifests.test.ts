import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { execa } from 'execa';
import { parseAllDocuments } from 'yaml';
import { childEnvironment, VARIABLES } from '../../src/config/environment.ts';
import { loadConfig } from '../../src/config/load.ts';
import { temporaryDirectory, type Cleanup } from '../support/cleanup.ts';
import { cleanupOfSuite } from '../support/suite.ts';
import { useCluster, whyNoCluster, type Cluster } from './cluster.ts';
import { makeNamespace, nameLike, SIDECAR } from './support/pods.ts';

const manifests = join(import.meta.dirname, '../../manifests');
const examples = await readdir(join(manifests, 'examples'));

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
}

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly configMapKeyRef: { readonly name: string; readonly key: string } };
}

interface Container {
  readonly name: string;
  readonly env?: readonly Variable[];
  readonly envFrom?: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly volumeMounts?: readonly Mount[];
}

interface ConfigMap {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data: Readonly<Record<string, string>>;
}

interface JobSpec {
  readonly template: { readonly spec: { readonly containers: Container[]; readonly initContainers: Container[] } };
}

interface Workload {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: JobSpec & { readonly jobTemplate?: { readonly spec: JobSpec } };
}

const KINDS = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job', 'CronJob'];

const skip = await whyNoCluster();

describe('the manifests', { skip }, () => {
  const shared = cleanupOfSuite();
  let cluster: Cluster;
  let namespace: string;

  before(async () => {
    cluster = await useCluster(shared);
    namespace = (await makeNamespace(shared, cluster, nameLike('manifests'))).name;
  });

  for (const example of examples) {
    test(`of the example ${example} are taken by a restricted namespace without a warning`, async (t) => {
      const directory = await kustomization(t, { namespace, resources: [join(manifests, 'examples', example)] });
      await cluster.kubectl(['apply', '--dry-run=server', '--warnings-as-errors', '--kustomize', directory]);
    });

    test(`of the example ${example} have nobody's password and no image of nobody's registry`, async () => {
      const text = await render(cluster, join(manifests, 'examples', example));
      assert.doesNotMatch(text, /POSTGRES_PASSWORD|name: PGPASSWORD/);
      for (const [, image = ''] of text.matchAll(/image: (\S+)/g)) assert.match(image, /^registry\.example\.com\//);
    });
  }

  test('add the sidecar to any workload, and the password file to all other containers', async (t) => {
    const workloads = KINDS.flatMap((kind) => [
      workload(kind, 'bare', {}),
      workload(kind, 'full', {
        initContainers: [{ name: 'migrate', image: 'registry.example.com/app:1', env: [{ name: 'A', value: 'b' }] }],
      }),
    ]);
    const rendered = await renderWorkloads(t, cluster, workloads);
    assert.equal(rendered.length, workloads.length);
    for (const { kind, metadata, spec } of rendered) {
      const { containers, initContainers } = (spec.jobTemplate?.spec ?? spec).template.spec;
      assert.equal(initContainers[0]?.name, SIDECAR, `${kind} ${metadata.name}: the sidecar comes first`);
      assert.deepEqual(mountOf(initContainers[0]), { name: SIDECAR, mountPath: '/run/lakebase', readOnly: false });
      assert.equal(passwordFileOf(initContainers[0]), undefined);
      const readers = [...initContainers.slice(1), ...containers];
      assert.equal(readers.length, metadata.name === 'full' ? 3 : 2);
      for (const reader of readers) {
        assert.deepEqual(mountOf(reader), { name: SIDECAR, mountPath: '/run/lakebase', readOnly: true });
        assert.equal(passwordFileOf(reader), '/run/lakebase/pgpass');
      }
    }
  });

  test('give a CronJob the same pods as a Job, with every component', async (t) => {
    for (const more of [[], ['client-secret'], ['secret-sink']]) {
      const kinds = ['CronJob', 'Job'];
      const workloads = kinds.map((kind) => workload(kind, 'report', {}));
      const rendered = await renderWorkloads(t, cluster, workloads, more);
      const [cronJob, job] = kinds.map((one) => rendered.find(({ kind }) => kind === one)!);
      assert.deepEqual(cronJob!.spec, { jobTemplate: { spec: job!.spec } }, more.join());
    }
  });

  test('take the identity from a Secret with the component client-secret', async (t) => {
    const directory = await kustomization(t, {
      namespace,
      resources: [join(manifests, 'examples/libpq')],
      components: [join(manifests, 'components/client-secret')],
    });
    const text = await render(cluster, directory);
    assert.match(text, /secret:\n +items:\n +- key: client-secret\n +path: client-secret\n +name: lakebase-client\n/);
    assert.doesNotMatch(text, /OIDC_TOKEN|serviceAccountToken/);
    await cluster.kubectl(['apply', '--dry-run=server', '--warnings-as-errors', '--kustomize', directory]);
  });

  test('and so does the standalone Deployment with its own', async (t) => {
    const directory = await kustomization(t, {
      resources: [join(manifests, 'standalone')],
      components: [join(manifests, 'standalone/client-secret')],
    });
    const text = await render(cluster, directory);
    assert.match(text, /secret:\n +items:\n +- key: client-secret\n +path: client-secret\n +name: lakebase-client\n/);
    assert.match(
      text,
      /name: DATABRICKS_CLIENT_SECRET_FILE\n +value: \/var\/run\/secrets\/databricks\/client-secret\n/,
    );
    assert.doesNotMatch(text, /OIDC_TOKEN|serviceAccountToken/);
    const [deployment] = workloadsIn(text);
    await cluster.kubectl(['create', '--dry-run=server', '-f', '-'], {
      input: { ...deployment, metadata: { name: 'standalone', namespace } },
    });
  });

  test('pass all settings on beside a configuration file with the component secret-sink, but what describes a credential', async (t) => {
    const settings = { HTTPS_PROXY: 'http://proxy.example:3128', NO_PROXY: '.example', SSL_CERT_FILE: '/etc/ca.pem' };
    const literals = Object.entries({ ...DESCRIPTION, ...settings, LAKEBASE_CREDENTIAL_LOG_LEVEL: 'debug' });
    const directory = await kustomization(t, {
      namespace,
      resources: [join(manifests, 'examples/libpq')],
      components: [join(manifests, 'components/secret-sink')],
      configMapGenerator: [
        { name: SIDECAR, behavior: 'merge', literals: literals.map(([name, value]) => `${name}=${value}`) },
        { name: 'lakebase-credential-config', files: ['config.yaml'] },
      ],
    });
    const sinks = [{ secret: { namespace, name: 'orders-lakebase', data: { password: 'token' } } }];
    const config = join(directory, 'config.yaml');
    await writeFile(config, JSON.stringify({ credentials: [{ name: 'orders', instance: 'orders', sinks }] }));
    const env = environmentOf(await render(cluster, directory));
    assert.equal(env['LAKEBASE_CREDENTIAL_CONFIG'], '/etc/lakebase/config.yaml');
    const { credentials, log } = await loadConfig({ env, flags: { config } });
    assert.deepEqual([credentials.map(({ name }) => name), log.level], [['orders'], 'debug']);
    assert.deepEqual(childEnvironment(env), settings);
    await cluster.kubectl(['apply', '--dry-run=server', '--warnings-as-errors', '--kustomize', directory]);
  });

  test('and the values for the Helm chart of Backstage describe the same sidecar', async () => {
    const text = await render(cluster, join(manifests, 'examples/backstage'));
    const [deployment] = workloadsIn(text);
    const page = await readFile(join(import.meta.dirname, '../../docs/backstage.md'), 'utf8');
    const block = [...page.matchAll(/```yaml\n(.*?)```/gs)]
      .map(([, yaml = '']) => yaml)
      .find((yaml) => yaml.includes('initContainers'));
    const [values] = parseAllDocuments(block!).map((document) => document.toJS() as HelmValues);
    const comparable = ({ env, envFrom, image, ...rest }: SidecarContainer) => {
      assert.ok(env.length > 0 && image !== '' && envFrom !== null);
      return sorted(rest);
    };
    const [ours, theirs] = [deployment!.spec.template.spec.initContainers[0], values!.backstage.initContainers[0]];
    assert.deepEqual(comparable(theirs!), comparable(ours as unknown as SidecarContainer));
  });
});

/** Every variable that is for the mode without a file. */
const DESCRIPTION = Object.fromEntries(
  VARIABLES.filter(({ group }) => group === 'credential').map(({ name }) => [name, 'of-the-environment']),
);

/** As the kubelet makes it: what a container says itself beats its ConfigMaps. */
function environmentOf(text: string): Readonly<Record<string, string>> {
  const [sidecar] = workloadsIn(text)[0]!.spec.template.spec.initContainers;
  const maps = parseAllDocuments(text).map((document) => document.toJS() as ConfigMap);
  const dataOf = (name: string): ConfigMap['data'] =>
    maps.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name)!.data;
  const from = (sidecar?.envFrom ?? []).map(({ configMapRef }) => dataOf(configMapRef.name));
  const own = (sidecar?.env ?? []).map(({ name, value = '', valueFrom }) => {
    const reference = valueFrom?.configMapKeyRef;
    return [name, reference === undefined ? value : dataOf(reference.name)[reference.key]!] as const;
  });
  return Object.assign({}, ...from, Object.fromEntries(own)) as Record<string, string>;
}

interface SidecarContainer {
  readonly env: readonly object[];
  readonly envFrom?: readonly object[];
  readonly image: string;
}

interface HelmValues {
  readonly backstage: { readonly initContainers: readonly SidecarContainer[] };
}

/** Lists by mount path where they have one; false and absent are the same for what is compared. */
function sorted(container: object): unknown {
  const { volumeMounts = [], ...rest } = container as { volumeMounts?: readonly Mount[] };
  const mounts = volumeMounts.map(({ readOnly = false, ...mount }) => ({ ...mount, readOnly }));
  return { ...rest, volumeMounts: mounts.toSorted((a, b) => a.mountPath.localeCompare(b.mountPath)) };
}

function mountOf(container: Container | undefined): Mount | undefined {
  return container?.volumeMounts?.find(({ mountPath }) => mountPath === '/run/lakebase');
}

function passwordFileOf(container: Container | undefined): string | undefined {
  return container?.env?.find(({ name }) => name === 'PGPASSFILE')?.value;
}

function workload(kind: string, name: string, spec: object): object {
  const containers = ['app', 'second'].map((container) => ({ name: container, image: 'registry.example.com/app:1' }));
  const podSpec = { template: { spec: { containers, ...spec } } };
  return {
    apiVersion: kind.endsWith('Job') ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: { name },
    spec: kind === 'CronJob' ? { jobTemplate: { spec: podSpec } } : podSpec,
  };
}

async function renderWorkloads(
  t: TestContext,
  cluster: Cluster,
  workloads: readonly object[],
  more: readonly string[] = [],
): Promise<Workload[]> {
  const directory = await kustomization(t, {
    resources: [join(manifests, 'base'), 'workloads.json'],
    components: ['sidecar', ...more].map((component) => join(manifests, 'components', component)),
  });
  await writeFile(
    join(directory, 'workloads.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: workloads }),
  );
  return workloadsIn(await render(cluster, directory));
}

function workloadsIn(text: string): Workload[] {
  const objects = parseAllDocuments(text).map((document) => document.toJS() as Workload);
  return objects.filter(({ kind }) => KINDS.includes(kind));
}

async function kustomization(t: Cleanup, content: Readonly<Record<string, unknown>>): Promise<string> {
  const directory = await temporaryDirectory(t);
  // kustomize takes no absolute paths.
  const isPath = (value: unknown): value is string => typeof value === 'string' && value.startsWith('/');
  const text = JSON.stringify(content, (_, value: unknown) => (isPath(value) ? relative(directory, value) : value));
  await writeFile(join(directory, 'kustomization.yaml'), text);
  return directory;
}

async function render({ kubectlPath }: Cluster, directory: string): Promise<string> {
  const { stdout } = await execa(kubectlPath, ['kustomize', directory]);
  return stdout;
}
