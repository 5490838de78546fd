import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { cleanupOfSuite } from '../../support/suite.ts';
import { eventually } from '../../support/eventually.ts';
import { whyNoHelm } from '../programs.ts';
import { assertReads, bare, comparable, kustomized } from './pods.ts';
import {
  ChartWorld,
  containerOf,
  DEFAULTS,
  ENDPOINT,
  LABELS,
  podOf,
  sidecarOf,
  variablesOf,
  type Pod,
} from './world.ts';

const PAYMENTS = {
  endpoint: 'projects/payments/branches/main/endpoints/primary',
  ttl: '15m',
  // As OpenShift gives them.
  'run-as-user': 1_000_650_000,
};
const VALUES = {
  image: { repository: 'registry.example.com/lakebase-credential-sidecar', tag: '0.2.0' },
  injection: {
    enabled: true,
    defaults: { ...DEFAULTS, ttl: '30m' },
    namespaceDefaults: { payments: PAYMENTS },
    namespaceSelector: { matchExpressions: [{ key: 'lakebase', operator: 'NotIn', values: ['off'] }] },
  },
};
const MANY = 40;
const skip = await whyNoHelm();

describe('injection by policy', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;

  before(async () => {
    world = await ChartWorld.start(shared);
    for (const name of ['apps', 'payments']) await world.namespace(name);
    await world.api.kubectl(['create', 'serviceaccount', 'orders', '--namespace', 'apps']);
    await world.namespace('opted-out', { lakebase: 'off' });
    await world.install(VALUES);
  });

  test('gives a pod what the kustomize component would give it, in a restricted namespace', async () => {
    const { metadata, spec } = await kustomized(world, 'manifests/examples/libpq');
    const expected = await world.create({ metadata: { name: 'orders' }, spec });
    const injected = await world.create({
      metadata: { ...metadata, name: 'orders', labels: LABELS, annotations: podOf().metadata.annotations! },
      spec: bare(spec),
    });
    assert.deepEqual(comparable(injected.spec), comparable(expected.spec));
    assert.equal(sidecarOf(injected)!.image, 'registry.example.com/lakebase-credential-sidecar:0.2.0');
    assert.deepEqual(variablesOf(sidecarOf(injected)!), {
      DATABRICKS_CLIENT_ID: DEFAULTS['client-id'],
      DATABRICKS_HOST: DEFAULTS['workspace-host'],
      DATABRICKS_OIDC_TOKEN_FILEPATH: '/var/run/secrets/databricks/token',
      LAKEBASE_CREDENTIAL_DIR: '/run/lakebase',
      LAKEBASE_CREDENTIAL_FILES: 'pgpass',
      LAKEBASE_CREDENTIAL_HTTP_PORT: '9467',
      LAKEBASE_ENDPOINT: ENDPOINT,
      LAKEBASE_TTL: '30m',
      PGDATABASE: 'databricks_postgres',
      PGHOST: DEFAULTS['pg-host'],
    });
  });

  test('does so for pods as controllers make them: of a ReplicaSet, a StatefulSet and a Job', async () => {
    const { metadata, spec } = podOf();
    const { name: _name, ...unnamed } = metadata;
    for (const [kind, pod] of [
      ['ReplicaSet', { metadata: { ...unnamed, generateName: 'orders-6d4cf56db6-' }, spec }],
      ['StatefulSet', { metadata: { ...metadata, name: 'orders-0' }, spec: { ...spec, hostname: 'orders-0' } }],
      ['Job', { metadata: { ...unnamed, generateName: 'orders-' }, spec: { ...spec, restartPolicy: 'OnFailure' } }],
    ] as const) {
      const injected = await world.create(pod);
      assert.equal(injected.spec.initContainers![0]!.name, 'lakebase-credential', kind);
      assertReads(injected.spec.containers[0]!);
    }
  });

  test('puts the sidecar before migrations, and the file into every container', async () => {
    const env = [{ name: 'LANG', value: 'C' }];
    const pod = await world.create(
      podOf(undefined, {
        initContainers: [containerOf('migrate', { env })],
        containers: [containerOf('orders'), containerOf('worker')],
      }),
    );
    assert.deepEqual(
      pod.spec.initContainers!.map(({ name }) => name),
      ['lakebase-credential', 'migrate'],
    );
    for (const container of [pod.spec.initContainers![1]!, ...pod.spec.containers]) assertReads(container);
    assert.equal(variablesOf(pod.spec.initContainers![1]!)['LANG'], 'C');
  });

  test('does the same for a container that has written the mount itself', async () => {
    const volumeMounts = [{ name: 'lakebase-credential', mountPath: '/run/lakebase' }];
    const { spec } = await world.create(podOf(undefined, {}, { volumeMounts }));
    assertReads(spec.containers[0]!);
  });

  test('takes the containers, the directory, the files and all else from annotations', async () => {
    const annotations = {
      instance: 'orders-db',
      'client-id': 'another-id',
      'workspace-host': 'https://other.cloud.databricks.com',
      'client-secret-name': 'orders-client',
      ttl: '',
      files: 'pgpass, token',
      directory: '/credentials/lakebase',
      containers: 'orders, migrate',
      'pg-host': 'db.example.com',
      'pg-database': 'orders',
      'pg-user': 'orders-role',
      'run-as-user': '2000',
      'cpu-request': '20m',
      'cpu-limit': '500m',
      'memory-request': '70Mi',
      'memory-limit': '300Mi',
    };
    const securityContext = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
    const spec = {
      securityContext,
      initContainers: [containerOf('migrate')],
      containers: [containerOf('orders'), containerOf('web')],
    };
    const pod = await world.create(podOf(annotations, spec));
    const sidecar = sidecarOf(pod)!;
    assert.deepEqual(variablesOf(sidecar), {
      DATABRICKS_CLIENT_ID: 'another-id',
      DATABRICKS_CLIENT_SECRET_FILE: '/var/run/secrets/databricks/client-secret',
      DATABRICKS_HOST: 'https://other.cloud.databricks.com',
      LAKEBASE_CREDENTIAL_DIR: '/credentials/lakebase',
      LAKEBASE_CREDENTIAL_FILES: 'pgpass,token',
      LAKEBASE_CREDENTIAL_HTTP_PORT: '9467',
      LAKEBASE_INSTANCE: 'orders-db',
      PGDATABASE: 'orders',
      PGHOST: 'db.example.com',
      PGUSER: 'orders-role',
    });
    assert.equal(sidecar.securityContext!['runAsUser'], 2000);
    assert.deepEqual(sidecar['resources'], {
      requests: { cpu: '20m', memory: '70Mi' },
      limits: { cpu: '500m', memory: '300Mi' },
    });
    const identity = pod.spec.volumes!.find(({ name }) => name === 'lakebase-identity')!;
    // The one key, so that one of another name holds the pod up, and the kubelet says which is missing.
    const items = [{ key: 'client-secret', path: 'client-secret' }];
    assert.deepEqual((identity['projected'] as { sources: unknown }).sources, [
      { secret: { name: 'orders-client', items } },
    ]);
    assertReads(pod.spec.containers[0]!, '/credentials/lakebase');
    assertReads(pod.spec.initContainers![1]!, '/credentials/lakebase');
    assert.equal(variablesOf(pod.spec.containers[1]!)['PGPASSFILE'], undefined);
  });

  test('fits into a namespace whose quota counts limits of cpu, with an annotation', async () => {
    const quota = ['resourcequota', 'cpu', '--namespace', 'payments'];
    await world.api.kubectl(['create', ...quota, '--hard', 'limits.cpu=1']);
    // As the controller manager would tell it, which does not run here.
    const status = { hard: { 'limits.cpu': '1' }, used: { 'limits.cpu': '0' } };
    await world.api.kubectl(['patch', ...quota, '--subresource=status', '--patch', JSON.stringify({ status })]);
    const own = { resources: { limits: { cpu: '500m' } } };
    const refusal = /failed quota: cpu: must specify limits\.cpu for: lakebase-credential$/;
    await eventually('the quota counts', async () => refusal.test(await world.refusal(podOf({}, {}, own), 'payments')));
    const { limits } = sidecarOf(await world.create(podOf({ 'cpu-limit': '500m' }, {}, own), 'payments'))![
      'resources'
    ] as { readonly limits: unknown };
    assert.deepEqual(limits, { cpu: '500m', memory: '256Mi' });
    await world.api.kubectl(['delete', ...quota]);
  });

  test('asks for a token for another audience, and sets no PGPASSFILE without that file', async () => {
    const pod = await world.create(podOf({ endpoint: ENDPOINT, audience: 'lakebase', files: 'token' }));
    assert.match(JSON.stringify(pod.spec.volumes), /"audience":"lakebase"/);
    assert.equal(variablesOf(pod.spec.containers[0]!)['PGPASSFILE'], undefined);
  });

  test("copies the user of the container where the pod names none, and prefers a namespace's own defaults", async () => {
    const securityContext = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
    const pod = await world.create(
      podOf({}, { securityContext }, { securityContext: { runAsUser: 4711 } }),
      'payments',
    );
    assert.equal(sidecarOf(pod)!.securityContext!['runAsUser'], 4711);
    const { LAKEBASE_ENDPOINT, LAKEBASE_TTL } = variablesOf(sidecarOf(pod)!);
    assert.deepEqual([LAKEBASE_ENDPOINT, LAKEBASE_TTL], [PAYMENTS.endpoint, '15m']);
    const unknown = await world.create(podOf({}, { securityContext }), 'payments');
    assert.equal(sidecarOf(unknown)!.securityContext!['runAsUser'], PAYMENTS['run-as-user']);
  });

  test('leaves alone what has the sidecar already, has no label or "false", or is in a namespace that is opted out', async () => {
    const placed = podOf({}, { initContainers: [containerOf('lakebase-credential', { restartPolicy: 'Always' })] });
    const ordinary = podOf({}, { containers: [containerOf('orders'), containerOf('lakebase-credential')] });
    const unlabelled = { ...podOf(), metadata: { name: 'orders' } };
    const without = {
      ...podOf(),
      metadata: { name: 'orders', labels: { 'lakebase-credential-sidecar/inject': 'false' } },
    };
    for (const [pod, namespace] of [
      [placed, 'apps'],
      [ordinary, 'apps'],
      [unlabelled, 'apps'],
      [without, 'apps'],
      [podOf(), 'opted-out'],
    ] as const) {
      const { spec } = await world.create(pod, namespace);
      assert.equal(spec.initContainers?.length, pod.spec.initContainers?.length);
      assert.doesNotMatch(JSON.stringify(spec), /PGPASSFILE|lakebase-identity/);
    }
    const injected = await world.create(podOf());
    const again = await world.create({ metadata: injected.metadata, spec: injected.spec });
    assert.deepEqual(again.spec, injected.spec);
  });

  test('lets a mesh put a proxy of another user before the application, once the sidecar is there', async () => {
    const { metadata, spec } = await world.create(podOf());
    const proxy = containerOf('linkerd-proxy', { securityContext: { runAsUser: 2102 } });
    const meshed = await world.create({ metadata, spec: { ...spec, containers: [proxy, ...spec.containers] } });
    assert.equal(sidecarOf(meshed)!.securityContext!['runAsUser'], 1000);
  });

  test(`gives the sidecar to each of ${MANY} pods that are created at once`, async (t) => {
    const startedAt = performance.now();
    const template = podOf();
    const items = Array.from({ length: MANY }, (_, index) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...template.metadata, name: `orders-${index}` },
      spec: template.spec,
    }));
    await Promise.all(
      [0, 1, 2, 3].map((part) =>
        world.api.kubectl(['create', '--namespace', 'apps', '-f', '-'], {
          apiVersion: 'v1',
          kind: 'List',
          items: items.filter((_, index) => index % 4 === part),
        }),
      ),
    );
    t.diagnostic(`${MANY} pods in ${Math.round(performance.now() - startedAt)} ms, kubectl and all`);
    const stored = await world.api.kubectl(['get', 'pods', '--namespace', 'apps', '-o', 'json']);
    const pods = (JSON.parse(stored) as { items: Pod[] }).items;
    assert.equal(pods.length, MANY);
    for (const { spec } of pods) {
      assert.equal(spec.initContainers![0]!.name, 'lakebase-credential');
      assertReads(spec.containers[0]!);
    }
  });
});
