import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import type { ActiveAlert, ActiveTarget, Prometheus, Series } from '../../support/prometheus.ts';
import { eventually } from '../../support/eventually.ts';
import { certificate, privateKey } from '../certificates.ts';
import { whyNotOwn, whyNoTrustedPods } from '../cluster.ts';
import { stateDirectory } from '../layout.ts';
import { whyNoOperator } from '../programs.ts';
import { setStage, type Stage } from '../support/pods-stage.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { IDLE, SIDECAR } from '../support/pods.ts';
import { authorityOf, deploymentOf } from './apps.ts';
import { CHART } from './helm.ts';
import { Operator, whyNoMounts } from './operator.ts';
import { injectAlone, injectionOf, Release } from './release.ts';
import { ChartWorld } from './world.ts';

const LIFETIME_MS = 24_000;
const MONITORING = 'monitoring';
const APP = 'app=orders';

const skip = (await whyNoTrustedPods()) ?? whyNotOwn ?? (await whyNoOperator()) ?? ((await whyNoMounts()) || undefined);

describe('injected pods, watched by Prometheus through the PodMonitor of the chart', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let stage: Stage;
  let prometheus: Prometheus;

  before(async () => {
    stage = await setStage(shared, { name: 'watched', tokenLifetimeMs: LIFETIME_MS, isSecure: true });
    prometheus = await watch();
    // Last, because others wait for it.
    await injectAlone(shared);
    await Release.install(shared, stage, 'helm4', injectionOf(stage));
    const app = deploymentOf(stage, { name: 'orders', script: IDLE[2]! });
    const items = [authorityOf(stage), { ...app, spec: { ...(app as { spec: object }).spec, replicas: 2 } }];
    await stage.namespace.kubectl(['apply', '-f', '-'], { input: { apiVersion: 'v1', kind: 'List', items } });
    await stage.namespace.kubectl(['rollout', 'status', 'deployment/orders', '--timeout=120s']);
  });

  chapter('are found, each with its namespace and its name', {}, async () => {
    const pods = (await stage.namespace.pods(APP)).map(({ metadata }) => metadata.name);
    assert.equal(pods.length, 2);
    let known: readonly ActiveTarget[] = [];
    const areUp = async () => {
      known = await prometheus.targets();
      const up = await prometheus.query(`up{namespace="${stage.namespace.name}", container="${SIDECAR}"} == 1`);
      const found = new Set(up.map(({ metric }) => metric['pod']));
      return found.size === pods.length && pods.every((pod) => found.has(pod));
    };
    await eventually('both are up', areUp, { onTimeout: () => JSON.stringify(known) });
    // A scrape that is too late takes away what the one before it has told.
    let valid: readonly Series[] = [];
    const areValid = async () => {
      valid = await prometheus.query(`lakebase_credential_valid{namespace="${stage.namespace.name}"}`);
      return valid.length === pods.length && valid.every(({ value }) => value[1] === '1');
    };
    await eventually('both have a valid token', areValid, { onTimeout: () => JSON.stringify(valid) });
  });

  chapter('have alerts while the workspace is away, and none when it is back', {}, async () => {
    await stage.service.workspace.outage();
    for (const name of ['RefreshFailing', 'Expired']) {
      const haveBoth = async () => new Set((await alerts(name)).map(({ labels }) => labels['pod'])).size === 2;
      await eventually(`${name} of both pods`, haveBoth, { withinMs: 3 * LIFETIME_MS });
    }
    await stage.service.workspace.recover();
    await eventually('nothing is wrong', async () => (await alerts('')).length === 0, { withinMs: 3 * LIFETIME_MS });
  });

  /** The monitoring part in an API server of its own: definitions of resources would concern every test in the cluster. */
  async function watch(): Promise<Prometheus> {
    const world = await ChartWorld.start(shared);
    await world.namespace(MONITORING);
    const operator = await Operator.start(shared, world.api, MONITORING);
    const values = { image: { repository: 'unused' }, injection: { enabled: false } };
    await world.helm('helm4', ['install', 'lakebase', CHART, '--namespace', MONITORING], values);
    const url = await stage.cluster.kubectl(['config', 'view', '--output=jsonpath={.clusters[0].cluster.server}']);
    const admin = { cert: certificate('admin', stateDirectory), key: privateKey('admin', stateDirectory) };
    return await operator.prometheus({ url, caFile: certificate('ca', stateDirectory), admin });
  }

  async function alerts(name: string): Promise<readonly ActiveAlert[]> {
    const all = await prometheus.alerts();
    return all.filter(
      ({ labels }) =>
        labels['namespace'] === stage.namespace.name && labels['alertname']!.startsWith(`LakebaseCredential${name}`),
    );
  }
});
