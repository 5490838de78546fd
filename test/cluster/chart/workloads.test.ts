import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import type { Login } from '../../support/lakebase.ts';
import { whyNoTrustedPods } from '../cluster.ts';
import { whyNoHelm } from '../programs.ts';
import { setStage, type Stage } from '../support/pods-stage.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { BY_KUBECTL, SIDECAR, START_MS, statusOf } from '../support/pods.ts';
import { authorityOf, cronJobOf, deploymentOf, jobOf, PSQL, statefulSetOf, templateOf } from './apps.ts';
import { injectAlone, injectionOf, Release } from './release.ts';

/** Rotations all the time, and what has started early is not done for. */
const LIFETIME_MS = 24_000;
const ONCE = `${PSQL} -c 'select 6 * 7'`;
const POLICIES = ['mutatingadmissionpolicybinding', 'validatingadmissionpolicybinding'] as const;

const skip = (await whyNoTrustedPods()) ?? (await whyNoHelm());

/** Each has a schema of its own: where two make one at the same moment, PostgreSQL refuses one of them in spite of `if not exists`. */
function migrates(name: string): string {
  return `${PSQL} -c 'create schema if not exists ${name}' -c 'create table if not exists ${name}.migrated ()'`;
}

function logsIn(name: string): string {
  return `trap 'exit 0' TERM
while :; do ${PSQL} -c 'select count(*) from ${name}.migrated' >/dev/null && echo in || echo refused; sleep 0.5; done`;
}

/** Warnings of each pod in this cluster, whoever made it. */
const EXPECTED = [
  /MissingClusterDNS/, // it has none
  /Unhealthy .*Startup probe failed/, // asked in vain until the first credential is there
  /Unhealthy .*Liveness probe failed: .*Client\.Timeout exceeded/, // it had no turn for three seconds; no other answer will do
  // Where the machine is busy the kubelet has a new pod before the API server's node authorizer has, or before its own
  // cache has the ConfigMap, and tries again.
  /FailedMount .*no relationship found between node '\w+' and this object/,
  /FailedMount .*node requested token bound to a pod scheduled on a different node/,
  /FailedMount .*failed to sync configmap cache: timed out waiting for the condition/,
];

describe('workloads with one label, in a restricted namespace', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let stage: Stage;
  let release: Release;

  before(async () => {
    await injectAlone(shared);
    stage = await setStage(shared, { name: 'injected', tokenLifetimeMs: LIFETIME_MS, isSecure: true });
    release = await Release.install(shared, stage, 'helm4', injectionOf(stage));
    await apply(authorityOf(stage));
    await injects(true);
  });

  chapter('log in with their first login, and so does a migration in an init container', {}, async (t) => {
    await apply(
      deploymentOf(stage, { name: 'orders', script: logsIn('orders'), migration: migrates('orders') }),
      statefulSetOf(stage, { name: 'ledger', script: logsIn('ledger'), migration: migrates('ledger') }),
      jobOf(stage, { name: 'report', script: ONCE }),
      cronJobOf(stage, { name: 'nightly', script: ONCE }),
    );
    await stage.namespace.kubectl(['create', 'job', 'tonight', '--from=cronjob/nightly']);
    for (const name of ['orders', 'ledger', 'report', 'nightly']) {
      await eventually(`${name} logs in`, () => loginsOf(name).length > 0, { withinMs: 120_000 });
    }
    assert.deepEqual(refused(), []);
    t.diagnostic(`${stage.service.workspace.minted.length} tokens for four pods`);
  });

  chapter('let a Job and the Job of a CronJob complete', {}, async () => {
    for (const [job, app] of [
      ['report', 'report'],
      ['tonight', 'nightly'],
    ] as const) {
      await stage.namespace.kubectl(['wait', `job/${job}`, '--for=condition=Complete', '--timeout=60s']);
      const pod = (await stage.namespace.pod(`app=${app}`))!;
      assert.equal(await stage.namespace.logs(pod.metadata.name, app), '42');
      assert.equal(pod.status.phase, 'Succeeded');
      assert.equal(statusOf(pod, SIDECAR)!.state.terminated?.exitCode, 0);
    }
  });

  chapter('go on when the pod of a StatefulSet is replaced', {}, async () => {
    const before = (await stage.namespace.running('app=ledger', 'ledger')).metadata;
    await stage.namespace.kubectl(['delete', 'pod', before.name]);
    const { metadata } = await stage.namespace.running('app=ledger', 'ledger');
    assert.equal(metadata.name, before.name);
    assert.notEqual(metadata.uid, before.uid);
    const count = loginsOf('ledger').length;
    await eventually('the new one logs in', () => loginsOf('ledger').length > count, BY_KUBECTL);
    assert.deepEqual(refused(), []);
  });

  chapter('have nothing in their description that looks like trouble', {}, async (t) => {
    const { metadata } = (await stage.namespace.pod('app=orders'))!;
    const text = await stage.namespace.kubectl(['describe', 'pod', metadata.name]);
    assert.match(text, /lakebase-credential-sidecar\/injected-by: lakebase-credential-sidecar\./);
    assert.match(text, /PGPASSFILE: +\/run\/lakebase\/pgpass/);
    assert.doesNotMatch(text, /Last State|Restart Count: +[1-9]/);
    const events = (await warnings()).filter((line) => line.includes(`Pod/${metadata.name}`));
    const odd = events.filter((line) => !EXPECTED.some((expected) => expected.test(line)));
    assert.deepEqual(odd, []);
    t.diagnostic(`${events.length} warnings of startup probes and of the missing DNS`);
  });

  chapter('are not created with a wrong annotation, and the events say what to write', {}, async (t) => {
    await apply(deploymentOf(stage, { name: 'wrong', script: ONCE, annotations: { ttl: '2h' } }));
    t.diagnostic(
      await refusedWith(/ttl is 2h: write 5m to 1h, such as 300s, 15m or 1h, into the annotation lakebase-cred/),
    );
    assert.deepEqual(await stage.namespace.pods('app=wrong'), []);
  });

  chapter('are not created while nothing would inject them; what runs goes on, and the rest follows', {}, async () => {
    const { uid } = (await stage.namespace.pod('app=orders'))!.metadata;
    await remove(POLICIES[0]);
    await eventually('a pod is refused', async () => (await attempt()).includes('denied request'), BY_KUBECTL);
    await stage.namespace.kubectl(['scale', 'deployment/orders', '--replicas=2']);
    const scaledAt = performance.now();
    await refusedWith(/the sidecar was not added: check that the MutatingAdmissionPolicy lakebase-.* exist/);
    const tokens = tokensOf('orders');
    await eventually('a rotation', () => tokensOf('orders') > tokens, { withinMs: 2 * LIFETIME_MS });
    assert.deepEqual(
      (await stage.namespace.pods('app=orders')).map(({ metadata }) => metadata.uid),
      [uid],
    );
    await release.upgrade(injectionOf(stage));
    await injects(true);
    // The controller doubles its pauses: the one that it is in ends no later than after as long as all of them took so far.
    const withinMs = performance.now() - scaledAt + START_MS;
    await stage.namespace.kubectl(['rollout', 'status', 'deployment/orders', `--timeout=${Math.ceil(withinMs)}ms`]);
    for (const pod of await stage.namespace.pods('app=orders')) assert.ok(statusOf(pod, SIDECAR)?.started);
    assert.deepEqual(refused(), []);
  });

  chapter(
    'are created without a sidecar where both policies are gone, until a rollback brings them back',
    {},
    async () => {
      for (const policy of POLICIES) await remove(policy);
      await injects(false);
      await release.rollback(1);
      await injects(true);
    },
  );

  chapter('are left alone in a namespace that is not selected', {}, async () => {
    assert.doesNotMatch(await attempt('default'), /lakebase-identity|denied/);
  });

  chapter('run on after `helm uninstall`, and whatever is created then has no sidecar', {}, async (t) => {
    const uids = async (): Promise<string[]> =>
      (await stage.namespace.pods('app=orders')).map(({ metadata }) => metadata.uid).toSorted();
    const running = await uids();
    await release.uninstall();
    const uninstalledAt = performance.now();
    await injects(false);
    t.diagnostic(`after ${Math.round(performance.now() - uninstalledAt)} ms`);
    const tokens = tokensOf('orders');
    await eventually('a rotation', () => tokensOf('orders') > tokens, { withinMs: 2 * LIFETIME_MS });
    assert.deepEqual(await uids(), running);
    assert.deepEqual(refused(), []);
  });

  async function apply(...items: readonly object[]): Promise<void> {
    await stage.namespace.kubectl(['apply', '-f', '-'], { input: { apiVersion: 'v1', kind: 'List', items } });
  }

  /** What the API server would make of a pod with the label, or why it would not. */
  async function attempt(namespace = stage.namespace.name): Promise<string> {
    const { metadata, spec } = templateOf(stage, { name: 'tried', script: ONCE }) as { metadata: object; spec: object };
    const input = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'tried' }, spec };
    const args = ['create', '--namespace', namespace, '--dry-run=server', '--output=json', '-f', '-'];
    return stage.cluster.kubectl(args, { input }).catch((error: unknown) => (error as { stderr: string }).stderr);
  }

  /** The API server takes some time to notice policies. */
  async function injects(isWanted: boolean): Promise<void> {
    let text = '';
    await eventually(
      `pods are created ${isWanted ? 'with' : 'without'} the sidecar`,
      async () => {
        text = await attempt();
        return text.startsWith('{') && text.includes('lakebase-identity') === isWanted;
      },
      { everyMs: 100, withinMs: 60_000, onTimeout: () => text },
    );
  }

  async function remove(policy: string): Promise<void> {
    await stage.cluster.kubectl(['delete', policy, `lakebase-credential-sidecar.${stage.namespace.name}.lakebase`]);
  }

  async function warnings(): Promise<string[]> {
    const text = await stage.namespace.kubectl(['events', '--types', 'Warning', '--no-headers']);
    return text.split('\n').filter((line) => line !== '');
  }

  async function refusedWith(reason: RegExp): Promise<string> {
    return eventually('an event', async () => (await warnings()).find((line) => reason.test(line)), BY_KUBECTL);
  }

  function loginsOf(name: string): readonly Login[] {
    return stage.service.lakebase.logins.filter(({ applicationName }) => applicationName === name);
  }

  function tokensOf(name: string): number {
    return new Set(loginsOf(name).map(({ tokenFingerprint }) => tokenFingerprint)).size;
  }

  function refused(): readonly Login[] {
    return stage.service.lakebase.logins.filter(({ ok }) => !ok);
  }
});
