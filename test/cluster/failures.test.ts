import assert from 'node:assert/strict';
import { before, describe, test, type TestContext } from 'node:test';
import { SharedCleanup } from '../support/cleanup.ts';
import { cleanupOfSuite } from '../support/suite.ts';
import { eventually } from '../support/eventually.ts';
import { whyNoPods, whyNotOwn } from './cluster.ts';
import { FOREIGN_PROGRAM, helper, MISCONFIGURATIONS, type Changes } from './support/pods-misconfigured.ts';
import { sidecarProcess } from './support/pods-processes.ts';
import { startService, type Service } from './support/pods-service.ts';
import { setStage, type Stage } from './support/pods-stage.ts';
import { BY_KUBECTL, IDLE, SIDECAR, statusOf, type Namespace, type Pod } from './support/pods.ts';

/** What the events say of a pod that does not get on. */
const PROBE_OR_BACKOFF = /Startup probe failed|Back-off restarting|CrashLoopBackOff/;

const skip = await whyNoPods();

describe('a pod that is misconfigured', { skip, concurrency: 4 }, () => {
  const shared = cleanupOfSuite();
  let stage: Stage;
  let namespace: Namespace;

  before(async () => {
    stage = await setStage(shared, { name: 'failures' });
    ({ namespace } = stage);
    await namespace.kubectl(['create', '-f', '-'], {
      input: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'programs' },
        binaryData: { databricks: FOREIGN_PROGRAM.toString('base64') },
      },
    });
  });

  for (const { name, what, changes, exitCode, reason } of MISCONFIGURATIONS) {
    const ending = exitCode === undefined ? 'once it is killed' : `with exit code ${exitCode}`;
    test(
      `because of ${what} says so in kubectl logs at once, and in kubectl describe ${ending}`,
      { skip: exitCode === undefined && whyNotOwn },
      async (t) => {
        const pod = await begin(t, name, changes);
        const said = await eventually('the reason', async () => reasonIn(await log(pod), reason), {
          ...BY_KUBECTL,
          onTimeout: () => name,
        });
        if (exitCode === undefined) {
          assert.equal(statusOf(pod, SIDECAR)?.restartCount, 0, 'it goes on trying');
          process.kill(await sidecarProcess(pod.metadata.uid), 'SIGKILL');
        }
        const description = await eventually(
          'the reason in kubectl describe',
          async () => {
            const text = await namespace.kubectl(['describe', 'pod', pod.metadata.name]);
            return reason.test(message(text)) && PROBE_OR_BACKOFF.test(text) && text;
          },
          { ...BY_KUBECTL, onTimeout: () => name },
        );
        if (exitCode !== undefined) assert.match(description, new RegExp(`Exit Code: +${exitCode}`));
        const { containerStatuses } = (await namespace.pod(`test=${name}`))!.status;
        assert.equal(
          containerStatuses?.[0]?.state.waiting?.reason,
          'PodInitializing',
          'the application has not started',
        );
        t.diagnostic(`logs: ${said}`);
        t.diagnostic(`describe: ${message(description)}`);
      },
    );
  }

  test('because its volume is full says so, keeps the file that is there, and writes as soon as there is room', async (t) => {
    const local = new SharedCleanup();
    t.after(() => local.undo());
    const elsewhere = await startService(local, stage.cluster, { tokenLifetimeMs: 60_000 });
    const filler = helper('filler', { command: IDLE, restartPolicy: 'Always' });
    const { clientSecret } = elsewhere.workspace;
    const podPatches = [{ initContainers: [filler, { name: SIDECAR }] }];
    const pod = await begin(t, 'full', { clientSecret, podPatches, config: { refresh: { floor: '1s' } } }, elsewhere);
    await namespace.until('test=full', SIDECAR, 'is ready', ({ started }) => started === true);
    const inPod = (script: string) => namespace.exec(pod.metadata.name, 'filler', ['sh', '-c', script]);
    await inPod('dd if=/dev/zero of=/run/lakebase/filler bs=1k count=4096 2>/dev/null || true');
    const file = await inPod('cat /run/lakebase/pgpass');
    const said = await eventually('the reason', async () => reasonIn(await log(pod), /no space left.*ENOSPC/i), {
      ...BY_KUBECTL,
    });
    t.diagnostic(`logs: ${said}`);
    assert.equal(await inPod('cat /run/lakebase/pgpass'), file);
    await inPod('rm /run/lakebase/filler');
    await eventually('a new file', async () => (await inPod('cat /run/lakebase/pgpass')) !== file, {
      ...BY_KUBECTL,
    });
  });

  for (const minutes of [-10, 10]) {
    test(`on a node whose clock is ${-minutes} minutes off the service's starts all the same, and tells the difference`, async (t) => {
      const local = new SharedCleanup();
      t.after(() => local.undo());
      const elsewhere = await startService(local, stage.cluster);
      elsewhere.workspace.clockOffsetMs = minutes * 60_000;
      const name = minutes < 0 ? 'fast' : 'slow';
      const { clientSecret } = elsewhere.workspace;
      const { metadata } = await begin(t, name, { clientSecret }, elsewhere);
      await namespace.until(`test=${name}`, SIDECAR, 'is ready', ({ started }) => started === true);
      // Nobody can be forwarded to a pod that is still starting.
      const script = "fetch('http://127.0.0.1:9467/metrics').then((answer) => answer.text()).then(console.log)";
      const metrics = await namespace.exec(metadata.name, SIDECAR, ['/nodejs/bin/node', '-e', script]);
      const skew = Number(/^lakebase_credential_clock_skew_seconds (\S+)/m.exec(metrics)?.[1]);
      assert.ok(Math.abs(skew - minutes * 60) < 30, `${skew} s`);
    });
  }

  /** The pod as soon as its sidecar has run. */
  async function begin(t: TestContext, name: string, changes: Changes, service?: Service): Promise<Pod> {
    await stage.apply(t, { example: 'libpq', name, ...changes, ...(service === undefined ? {} : { service }) });
    t.after(() => namespace.kubectl(['delete', 'deployment', `orders-${name}`, '--wait=false']));
    return await namespace.until(
      `test=${name}`,
      SIDECAR,
      'has run',
      ({ state, lastState }) => (state.running ?? state.terminated ?? lastState.terminated) !== undefined,
    );
  }

  async function log({ metadata }: Pod): Promise<string> {
    return await namespace.logs(metadata.name, SIDECAR);
  }
});

function reasonIn(log: string, reason: RegExp): string | undefined {
  return log.split('\n').find((line) => reason.test(line));
}

/** The termination message, in one line. */
function message(description: string): string {
  return (/Message: +(.*?)\n +Exit Code:/s.exec(description)?.[1] ?? '').replaceAll(/\s+/g, ' ');
}
