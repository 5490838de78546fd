import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { alerts, panelQueries, rules } from '../../support/monitoring.ts';
import type { ActiveTarget, Prometheus } from '../../support/prometheus.ts';
import { workspaceFor } from '../../support/sidecar-clis.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { eventually } from '../../support/eventually.ts';
import { spawnRun, type Sidecar } from '../../support/sidecar.ts';
import { whyNoOperator } from '../programs.ts';
import { Operator, whyNoMounts } from './operator.ts';
import { CHART, ChartWorld, DEFAULTS, podOf, secretSyncInto, sidecarOf, type Pod } from './world.ts';

const ROOT = join(import.meta.dirname, '../../..');
const JOB = 'lakebase-credential-sidecar';
const NAMESPACE = 'monitoring';
const RELOAD_FAILED = 'LakebaseCredentialConfigReloadFailed';
/** An address of this machine alone, for pods: the port that the chart gives them is free there. */
const POD_IP = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
const VALUES = {
  image: { repository: 'registry.example.com/lakebase-credential-sidecar', tag: '0.1.0' },
  injection: { enabled: true, defaults: DEFAULTS },
  secretSync: secretSyncInto('apps'),
};
const skip = (await whyNoOperator()) ?? (await whyNoMounts());

interface Manifest {
  readonly kind: string;
  readonly spec: { readonly template: Pod };
  readonly items?: readonly Manifest[];
}

describe('the Prometheus operator, with the chart installed by Helm', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;
  let prometheus: Prometheus;
  let sidecar: Sidecar;

  before(async () => {
    world = await ChartWorld.start(shared);
    for (const name of ['apps', 'payments', NAMESPACE]) await world.namespace(name);
    const operator = await Operator.start(shared, world.api, NAMESPACE);
    await world.helm('helm4', ['install', 'lakebase', CHART, '--namespace', NAMESPACE], VALUES);
    await world.injects();
    const config = { http: { host: POD_IP, port: 9467 } };
    sidecar = await spawnRun(shared, { workspace: await workspaceFor(shared), config });
    await sidecar.logged('started');
    const injected = await place(podOf(), 'apps');
    assert.equal(sidecarOf(injected)?.name, 'lakebase-credential');
    await world.api.kubectl(['create', 'serviceaccount', 'orders', '-n', 'payments']);
    await place(await templateOf('component', ['kustomize', join(ROOT, 'manifests/examples/libpq')]), 'payments');
    await place(await templateOf('synced', ['get', 'deployments', '-n', NAMESPACE, '-o', 'yaml']), NAMESPACE);
    await place({ ...podOf(), metadata: { name: 'another' } }, 'apps');
    prometheus = await operator.prometheus();
  });

  test('makes Prometheus scrape each pod with a sidecar and no other, with the labels that alerts and dashboard ask for', async () => {
    let all: readonly ActiveTarget[] = [];
    const areUp = async () => {
      all = await prometheus.targets();
      return all.length === 3 && all.every(({ health }) => health === 'up') && all;
    };
    const onTimeout = () => JSON.stringify(all);
    const targets = await eventually('three targets are up', areUp, { withinMs: 30_000, onTimeout });
    const labels = targets.map((target) => target.labels).toSorted((a, b) => a['pod']!.localeCompare(b['pod']!));
    const common = {
      job: JOB,
      container: 'lakebase-credential',
      endpoint: 'lakebase-http',
      instance: `${POD_IP}:9467`,
    };
    assert.deepEqual(labels, [
      { ...common, namespace: 'payments', pod: 'component' },
      { ...common, namespace: 'apps', pod: 'orders' },
      { ...common, namespace: NAMESPACE, pod: 'synced' },
    ]);
  });

  test('makes Prometheus evaluate each rule of the file, as it stands there', async () => {
    const names = rules().map(({ alert, record }) => alert ?? record);
    const loaded = await eventually('each rule is evaluated', async () => {
      const all = await prometheus.rules();
      return all.length > 0 && all.every(({ health }) => health !== 'unknown') && all;
    });
    assert.deepEqual(
      loaded.map(({ health, name }) => [name, health]),
      names.map((name) => [name, 'ok']),
    );
    const seconds = (duration = '') => Number.parseInt(duration) * (duration.endsWith('m') ? 60 : 1);
    assert.deepEqual(
      loaded.filter(({ type }) => type === 'alerting').map(({ duration }) => duration),
      alerts().map((alert) => seconds(alert.for)),
    );
  });

  test('gives the dashboard what it asks for, by namespace and pod', async () => {
    const table = panelQueries().find(({ panel }) => panel === 'Credentials by life left')!;
    const rows = await eventually('three rows', async () => {
      const series = await prometheus.query(table.expr);
      return series.length === 3 && series;
    });
    assert.deepEqual(
      rows.map(({ metric }) => `${metric['namespace']}/${metric['pod']} ${metric['credential']}`).toSorted(),
      ['apps/orders backstage', `${NAMESPACE}/synced backstage`, 'payments/component backstage'],
    );
  });

  test('lets an alert become pending for each pod that has the fault, and no longer than it has it', async () => {
    const good = await readFile(sidecar.configFile, 'utf8');
    await writeFile(sidecar.configFile, 'credentials: []');
    // A scrape that a busy machine does not answer within a second has an alert of its own, which is of no concern here.
    const pending = await eventually('three alerts', async () => {
      const all = (await prometheus.alerts()).filter(({ labels }) => labels['alertname'] === RELOAD_FAILED);
      return all.length === 3 && all;
    });
    for (const { annotations, labels, state } of pending) {
      assert.equal(state, 'pending');
      const pod = `${labels['namespace']}/${labels['pod']}`;
      assert.match(annotations['description']!, new RegExp(`in ${pod} keeps using its last good configuration`));
    }
    await writeFile(sidecar.configFile, good);
    await eventually('none', async () => (await prometheus.alerts()).length === 0);
  });

  test('notices that a pod is gone', async () => {
    await world.api.kubectl(['delete', 'pod', 'orders', '-n', 'apps', '--grace-period=0', '--force']);
    await eventually('two targets', async () => (await prometheus.targets()).length === 2);
  });

  test('refuses a rule that Prometheus would not understand, before it gets there', async () => {
    const spec = { groups: [{ name: 'broken', rules: [{ alert: 'Broken', expr: '1', for: 'a while' }] }] };
    const rule = { apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'broken' }, spec };
    await assert.rejects(world.api.kubectl(['create', '-f', '-'], rule), /rules\[0\]\.for: Invalid value/);
  });

  /** The pod that a Deployment would have; of what is printed, which may be a list or several documents. */
  async function templateOf(name: string, command: readonly string[]): Promise<Pod> {
    const documents = parseAllDocuments(await world.api.kubectl(command)).map((one) => one.toJS() as Manifest);
    const all = documents.flatMap((one) => one.items ?? [one]);
    const { metadata, spec } = all.find(({ kind }) => kind === 'Deployment')!.spec.template;
    return { metadata: { ...metadata, name }, spec };
  }

  /** As if a kubelet ran it, with the address of our process. */
  async function place(pod: Pod, namespace: string): Promise<Pod> {
    const created = await world.createWith([], pod, namespace);
    const status = { phase: 'Running', podIP: POD_IP, podIPs: [{ ip: POD_IP }] };
    const patch = ['patch', 'pod', created.metadata.name!, '-n', namespace, '--subresource=status'];
    await world.api.kubectl([...patch, '--type=merge', '-p', JSON.stringify({ status })]);
    return created;
  }
});
