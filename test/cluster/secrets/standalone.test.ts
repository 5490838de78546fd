import assert from 'node:assert/strict';
import { symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { before, describe } from 'node:test';
import type { JSONWebKeySet } from 'jose';
import { parseAllDocuments } from 'yaml';
import { clis } from '../../support/clis.ts';
import { workspaceFor } from '../../support/sidecar-clis.ts';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { startSidecar, type Sidecar } from '../../support/sidecar.ts';
import { trust } from '../../support/workspace-oidc.ts';
import type { Workspace } from '../../support/workspace.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { readObject } from '../support/read-api.ts';
import { kubeconfigFor, whyNotBuilt, type TestApiServer } from './api-server.ts';
import { SecretsWorld, type SecretObject } from './world.ts';

const manifests = join(import.meta.dirname, '../../../manifests');
const NAMESPACE = 'lakebase';
const NAME = 'lakebase-credential';
/** Renewed after 10 to 16 s: the configuration's own floor is 10 s. */
const LIFETIME_MS = 24_000;
const SECRETS = [
  { namespace: 'backstage', name: 'backstage-lakebase' },
  { namespace: 'reports', name: 'reports-lakebase' },
] as const;
const [BACKSTAGE, REPORTS] = SECRETS;

interface Mount {
  readonly name: string;
  readonly mountPath: string;
}

interface Container {
  readonly name: string;
  readonly volumeMounts?: readonly Mount[];
}

interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly template: { readonly metadata: object; readonly spec: PodSpec } };
}

const skip = await whyNotBuilt();

describe('the standalone Deployment', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let api: TestApiServer;
  let entry: string;
  let workspace: Workspace;
  let first: Sidecar;
  let second: Sidecar;

  before(async () => {
    ({ api, entry } = await SecretsWorld.start(shared));
    const jwks = JSON.parse(await api.kubectl(['get', '--raw', '/openid/v1/jwks'])) as JSONWebKeySet;
    const subject = `system:serviceaccount:${NAMESPACE}:${NAME}`;
    const { DATABRICKS_CLIENT_ID: clientId } = await variables(api);
    workspace = await workspaceFor(shared, {
      clientId,
      verifySubjectToken: trust({ jwks, issuer: api.url, audience: 'databricks', subject }),
    });
    const levels = {
      'pod-security.kubernetes.io/enforce': 'restricted',
      'pod-security.kubernetes.io/warn': 'restricted',
    };
    for (const name of [NAMESPACE, 'backstage', 'reports', 'orders']) {
      await api.kubectl(['create', '-f', '-'], {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name, labels: levels },
      });
    }
  });

  chapter(
    'is taken without a warning where Pod Security is restricted, and its pod reaches the API server',
    {},
    async () => {
      await api.kubectl(['apply', '--server-side', '--warnings-as-errors', '-k', join(manifests, 'standalone')]);
      const pod = await tryPod(api, await render(api, join(manifests, 'standalone')));
      assert.ok(hasApiToken(pod.containers[0]));
    },
  );

  chapter(
    'needs nothing but its roles, for all its Secrets in both namespaces, and its own identity',
    {},
    async (t) => {
      first = await start();
      await first.ready();
      for (const secret of SECRETS) assert.equal(await read(secret), minted(secret));
      assert.match((await read(REPORTS, 'uri'))!, /^postgresql:.*@ep-bold-hill-.*\/reports\?sslmode=verify-full$/);
      const asked = await eventually('the events', async () => {
        const all = await audit();
        return SECRETS.every(({ namespace }) => all.has(`201 create events in ${namespace}`)) && all;
      });
      const others = [...asked].filter((line) => !/ (get|watch|patch) secrets | create events /.test(line));
      assert.deepEqual(others, []);
      const events = await api.kubectl(['events', '--namespace', 'backstage', '--for', 'secret/backstage-lakebase']);
      assert.match(events, /Normal +CredentialPublished/);
      t.diagnostic([...asked].toSorted().join('; '));
    },
  );

  chapter('mints once for two replicas: the second adopts what is there', {}, async () => {
    const versions = await Promise.all(SECRETS.map(version));
    second = await start();
    await second.ready();
    assert.equal(workspace.minted.length, SECRETS.length);
    assert.deepEqual(await Promise.all(SECRETS.map(version)), versions);
    for (const { namespace } of SECRETS) {
      const metrics = await second.metrics();
      assert.equal(metrics.get('adoptions_total', { credential: namespace }), 1);
      assert.equal(metrics.get('refreshes_total', { credential: namespace }), 0);
    }
  });

  chapter('writes each new token once for two replicas, and both go on with it', {}, async (t) => {
    await Promise.all([first.stop(), second.stop()]);
    workspace.tokenLifetimeMs = LIFETIME_MS;
    await Promise.all(SECRETS.map(({ namespace, name }) => kubectl(namespace, ['delete', 'secret', name])));
    const before = workspace.minted.length;
    [first, second] = await Promise.all([start(), start()]);
    await Promise.all([first.ready(), second.ready()]);
    const seen = new Map(await Promise.all(SECRETS.map(async (one) => [one, new Set([await read(one)])] as const)));
    await eventually(
      'two rotations of each',
      async () => {
        for (const [secret, tokens] of seen) tokens.add(await read(secret));
        return [...seen.values()].every(({ size }) => size >= 3);
      },
      { withinMs: 90_000 },
    );
    const both = await Promise.all([first.metrics(), second.metrics()]);
    for (const [{ namespace: credential }, { size }] of seen) {
      const sum = (name: string, labels = {}): number =>
        both.reduce((total, metrics) => total + (metrics.get(name, { credential, ...labels }) ?? 0), 0);
      const writes = sum('sink_writes_total', { result: 'success' });
      t.diagnostic(`${credential}: ${size} tokens seen, ${writes} writes, ${sum('refreshes_total')} mints`);
      // The last may have been written since it was looked at.
      assert.ok(writes === size || writes === size + 1, `${writes} writes of ${size} tokens`);
      assert.equal(sum('sink_writes_total', { result: 'failure' }), 0);
    }
    t.diagnostic(`${workspace.minted.length - before} tokens minted in all`);
    await eventually('both hold the same', async () => {
      const [one, other] = await Promise.all([first.status(), second.status()]);
      return fingerprints(one) === fingerprints(other);
    });
  });

  chapter(
    'what is lost without create: a Secret that exists is kept fresh, one that is deleted is not made again',
    {},
    async () => {
      await second.stop();
      await setVerbs(['get', 'watch', 'patch']);
      const token = await read(BACKSTAGE);
      await eventually('a new token', async () => (await read(BACKSTAGE)) !== token, { withinMs: 30_000 });
      const from = first.lines.length;
      await kubectl('backstage', ['delete', 'secret', BACKSTAGE.name]);
      const { err } = await first.logged('sink not written', { from });
      assert.match(
        (err as { message: string }).message,
        /cannot create secrets "backstage-lakebase" in namespace "backstage": .*:lakebase-credential lacks the rule - \{apiGroups: \[""\], resources: \[secrets\], resourceNames: \[backstage-lakebase\], verbs: \[get, watch, patch, create\]\}/,
      );
      assert.equal(await read(BACKSTAGE), undefined);
      assert.ok(!(await first.isReady()));
      const { credentials } = await first.status();
      assert.deepEqual(
        credentials.map(({ sinks }) => sinks[0]?.failure?.code),
        ['forbidden', undefined],
      );
      assert.equal((await first.metrics()).get('valid', { credential: 'reports' }), 1);
      await setVerbs(['get', 'watch', 'patch', 'create']);
      await eventually('it is made again', async () => (await read(BACKSTAGE)) !== undefined, { withinMs: 30_000 });
    },
  );

  chapter(
    'what is lost without get: nobody knows what is there, and a Secret that does not exist is not made',
    {},
    async () => {
      await first.stop();
      await setVerbs(['watch', 'patch', 'create']);
      await kubectl('backstage', ['delete', 'secret', BACKSTAGE.name]);
      first = await start();
      const { err } = await first.logged('sink not written');
      assert.match((err as { message: string }).message, /^cannot get secrets "backstage-lakebase"/);
      assert.equal(await read(BACKSTAGE), undefined);
      await setVerbs(['get', 'watch', 'patch', 'create']);
      await eventually('it is made', async () => (await read(BACKSTAGE)) !== undefined, { withinMs: 30_000 });
    },
  );

  chapter(
    'is not needed by a pod with a file and a Secret: the component secret-sink gives the sidecar alone the API',
    {},
    async (t) => {
      const directory = await temporaryDirectory(t);
      const path = (name: string): string => relative(directory, join(manifests, name));
      const kustomization = {
        namespace: 'orders',
        resources: [path('examples/libpq')],
        components: [path('components/secret-sink')],
        configMapGenerator: [{ name: 'lakebase-credential-config', literals: ['config.yaml=credentials: []'] }],
      };
      await writeFile(join(directory, 'kustomization.yaml'), JSON.stringify(kustomization));
      await api.kubectl(['apply', '--server-side', '--warnings-as-errors', '-k', directory]);
      const objects = await render(api, directory);
      const pod = await tryPod(api, objects);
      assert.ok(hasApiToken(pod.initContainers?.find(({ name }) => name === NAME)));
      assert.ok(!hasApiToken(pod.containers.find(({ name }) => name === 'orders')));
    },
  );

  /** With the configuration and the variables of the manifests; only what names this machine differs. */
  async function start(t: Cleanup = shared): Promise<Sidecar> {
    const directory = await temporaryDirectory(t);
    const at = (name: string): string => join(directory, name);
    await symlink(clis[0]!.path, at('databricks'));
    await writeFile(at('kubeconfig'), kubeconfigFor(api, { tokenFile: 'api-token' }));
    await writeFile(at('api-token'), await kubectl(NAMESPACE, ['create', 'token', NAME]));
    await writeFile(at('identity-token'), await kubectl(NAMESPACE, ['create', 'token', NAME, '--audience=databricks']));
    const objects = await render(api, join(manifests, 'standalone'));
    return await startSidecar(t, {
      entry,
      config: objects.find(({ data }) => data?.['config.yaml'] !== undefined)!.data!['config.yaml']!,
      flags: ['--http-host', '127.0.0.1', '--http-port', '0'],
      env: {
        ...(await variables(api)),
        DATABRICKS_HOST: workspace.url,
        DATABRICKS_OIDC_TOKEN_FILEPATH: at('identity-token'),
        KUBECONFIG: at('kubeconfig'),
        PATH: `${directory}:${process.env['PATH'] ?? ''}`,
      },
    });
  }

  async function kubectl(namespace: string, args: readonly string[]): Promise<string> {
    return await api.kubectl(['--namespace', namespace, ...args]);
  }

  async function secretOf({ namespace, name }: (typeof SECRETS)[number]): Promise<SecretObject | undefined> {
    return await readObject<SecretObject>(api.kubeconfig, `/api/v1/namespaces/${namespace}/secrets/${name}`);
  }

  async function read(secret: (typeof SECRETS)[number], key = 'password'): Promise<string | undefined> {
    const value = (await secretOf(secret))?.data?.[key];
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
  }

  async function version(secret: (typeof SECRETS)[number]): Promise<string | undefined> {
    return (await secretOf(secret))?.metadata.resourceVersion;
  }

  function minted({ namespace }: (typeof SECRETS)[number]): string | undefined {
    return workspace.minted.findLast(({ resource }) => resource.includes(`/${namespace}/`))?.token;
  }

  async function setVerbs(verbs: readonly string[]): Promise<void> {
    const patch = [{ op: 'replace', path: '/rules/0/verbs', value: verbs }];
    await kubectl('backstage', ['patch', 'role', NAME, '--type=json', '-p', JSON.stringify(patch)]);
  }

  /** What the service account asked for, and what it got. */
  async function audit(): Promise<Set<string>> {
    const events = await api.audit(`system:serviceaccount:${NAMESPACE}:${NAME}`);
    // Of a request that has only been received, nothing is known yet.
    const answered = events.filter(({ responseStatus }) => responseStatus !== undefined);
    return new Set(
      answered.map(({ verb, objectRef, requestURI, responseStatus }) => {
        const { resource = requestURI, namespace = '', name = '' } = objectRef ?? {};
        // The name of an event is made up.
        const what = resource === 'events' ? resource : `${resource} ${name}`.trim();
        return `${responseStatus?.code ?? 0} ${verb} ${what} in ${namespace}`;
      }),
    );
  }
});

async function render(api: TestApiServer, directory: string): Promise<Manifest[]> {
  const text = await api.kubectl(['kustomize', directory]);
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

/** The environment of the container that its ConfigMap makes. */
async function variables(api: TestApiServer): Promise<Record<string, string>> {
  const objects = await render(api, join(manifests, 'standalone'));
  return { ...objects.find(({ data }) => data?.['DATABRICKS_HOST'] !== undefined)!.data };
}

/** The pod that the Deployment would get, as the API server completes it; it says no where Pod Security does. */
async function tryPod(api: TestApiServer, objects: readonly Manifest[]): Promise<PodSpec> {
  const { metadata, spec } = objects.find(({ kind }) => kind === 'Deployment')!;
  const { namespace } = metadata;
  const pod = { apiVersion: 'v1', kind: 'Pod', ...spec!.template, metadata: { name: 'trial', namespace } };
  const text = await api.kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], pod);
  return (JSON.parse(text) as { readonly spec: PodSpec }).spec;
}

function hasApiToken(container: Container | undefined): boolean {
  assert.ok(container !== undefined);
  const mounts = container.volumeMounts ?? [];
  return mounts.some(({ mountPath }) => mountPath === '/var/run/secrets/kubernetes.io/serviceaccount');
}

function fingerprints({ credentials }: Awaited<ReturnType<Sidecar['status']>>): string {
  return JSON.stringify(credentials.map(({ fingerprint }) => fingerprint));
}
