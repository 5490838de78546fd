import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { cleanupOfSuite, story } from '../support/suite.ts';
import { whyNoPods, whyNotOwn } from './cluster.ts';
import { trusting } from './support/pods-overlay.ts';
import { endOf, sidecarProcess, stoppingAt } from './support/pods-processes.ts';
import { setStage, type Stage } from './support/pods-stage.ts';
import { SIDECAR, statusOf } from './support/pods.ts';

const PSQL = 'psql --no-psqlrc --no-password --tuples-only --no-align';
/** Logs in again and again, and once more when it is told to stop. */
const LOGS_IN = `trap '${PSQL} -c "select 42" && exit 0; exit 1' TERM
while :; do ${PSQL} -c "select 1" >/dev/null && echo in || echo refused; sleep 0.2; done`;

const skip = await whyNoPods();

describe('a native sidecar beside psql', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let stage: Stage;

  before(async () => {
    stage = await setStage(shared, { name: 'termination' });
  });

  chapter('lets a Job complete that logs in as soon as it starts', {}, async (t) => {
    const { namespace, service } = stage;
    const command = ['sh', '-c', `${PSQL} -c "select 6 * 7"`];
    const podPatches = [{ containers: [trusting('report', { command })] }];
    await stage.apply(t, { example: 'job', podPatches });
    await namespace.kubectl(['wait', 'job/report', '--for=condition=Complete', '--timeout=120s']);
    const { metadata } = (await namespace.pod('app.kubernetes.io/name=report'))!;
    assert.equal(await namespace.logs(metadata.name, 'report'), '42');
    const { status } = (await namespace.pod('app.kubernetes.io/name=report'))!;
    assert.equal(status.phase, 'Succeeded');
    assert.equal(status.initContainerStatuses![0]!.state.terminated?.exitCode, 0);
    assert.equal(service.workspace.minted.length, 1);
  });

  chapter(
    'that is killed with SIGKILL is started again, while the file stays and nothing is minted',
    { skip: whyNotOwn },
    async (t) => {
      const { namespace, service } = stage;
      const podPatches = [{ containers: [trusting('orders', { command: ['sh', '-c', LOGS_IN] })] }];
      await stage.apply(shared, { example: 'libpq', podPatches });
      const pod = await namespace.running('app.kubernetes.io/name=orders', 'orders');
      const { name, uid } = pod.metadata;
      const log = namespace.follow(shared, name, 'orders');
      await eventually('it logs in', () => log.lines.length > 5, { withinMs: 30_000 });
      const minted = service.workspace.minted.length;
      const file = await namespace.exec(name, 'orders', ['cat', '/run/lakebase/pgpass']);
      process.kill(await sidecarProcess(uid), 'SIGKILL');
      await namespace.until(
        'app.kubernetes.io/name=orders',
        SIDECAR,
        'was started again',
        ({ restartCount, started }) => restartCount === 1 && started === true,
      );
      assert.match(await namespace.logs(name, SIDECAR), /"msg":"adopted"/);
      assert.equal(service.workspace.minted.length, minted);
      assert.equal(await namespace.exec(name, 'orders', ['cat', '/run/lakebase/pgpass']), file);
      const now = log.lines.length;
      await eventually('it goes on logging in', () => log.lines.length > now + 5);
      assert.deepEqual(
        log.lines.filter(({ text }) => text !== 'in'),
        [],
      );
      assert.equal(statusOf((await namespace.pod('app.kubernetes.io/name=orders'))!, 'orders')!.restartCount, 0);
      t.diagnostic(`${log.lines.length} logins`);
    },
  );

  chapter(
    'stops after the application, which logs in while it shuts down, and within a second',
    { skip: whyNotOwn },
    async (t) => {
      const { namespace, service } = stage;
      const { name, uid } = (await namespace.pod('app.kubernetes.io/name=orders'))!.metadata;
      const log = namespace.follow(shared, name, 'orders');
      const sidecarLog = namespace.follow(shared, name, SIDECAR);
      await eventually('both logs', () => log.lines.length > 0 && sidecarLog.lines.length > 0);
      const end = endOf(await sidecarProcess(uid));
      await namespace.kubectl(['delete', 'pod', name, '--wait=false']);
      const [endedAt] = await Promise.all([end, log.ended, sidecarLog.ended]);
      assert.equal(log.lines.at(-1)?.text, '42');
      const { at: lastLoginAt } = service.lakebase.logins.at(-1)!;
      const beganAt = stoppingAt(sidecarLog);
      assert.ok(lastLoginAt < beganAt, 'the sidecar stopped first');
      assert.ok(endedAt - beganAt < 1_000, `${endedAt - beganAt} ms`);
      t.diagnostic(`${beganAt - lastLoginAt} ms after the last login, in ${endedAt - beganAt} ms`);
    },
  );
});
