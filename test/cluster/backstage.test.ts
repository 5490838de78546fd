import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { cleanupOfSuite, story } from '../support/suite.ts';
import { whyNoPods, whyNotOwn } from './cluster.ts';
import { BackstagePod } from './support/pods-backstage.ts';
import { endOf, sidecarProcess, stoppingAt } from './support/pods-processes.ts';
import { setStage, type Stage } from './support/pods-stage.ts';
import { SIDECAR, statusOf } from './support/pods.ts';

/**
 * One for all: a token that lives less than the one before it may wait until that one's end. Half of it is left when a
 * refresh is due: while a Backstage starts on the same two cores, a mint can take seconds.
 */
const LIFETIME_MS = 30_000;
const AT = 0.5;
const ANSWER_MS = 1_500;
/** For the pod to be scheduled, and for each request of its first mint. */
const FIRST_WITHIN_MS = 120_000;

const skip = await whyNoPods();

describe('Backstage in a restricted namespace', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let stage: Stage;
  let backstage: BackstagePod;

  before(async () => {
    stage = await setStage(shared, {
      name: 'backstage',
      app: 'backstage',
      trusted: 'backstage',
      tokenLifetimeMs: LIFETIME_MS,
    });
    stage.service.workspace.latencyMs = ANSWER_MS;
    await BackstagePod.apply(shared, stage, {
      refresh: { at: AT, jitter: 0, floor: '1s' },
      minter: { cli: { timeout: '20s' } },
    });
  });

  chapter('starts only after the first credential, however slow the workspace is', {}, async () => {
    const { workspace } = stage.service;
    // No longer: while Backstage starts, which can take as long as this token lives, it is to be refreshed as usual.
    await eventually('the first credential', () => workspace.minted.length > 0, { withinMs: FIRST_WITHIN_MS });
    workspace.latencyMs = 0;
    backstage = await BackstagePod.running(shared, stage);
    const startOf = (container: string): number =>
      Date.parse(statusOf(backstage.pod, container)!.state.running!.startedAt);
    const [sidecarAt, backstageAt] = [startOf(SIDECAR), startOf('backstage')];
    const [first] = workspace.minted;
    assert.ok(first !== undefined, 'Backstage runs, and nothing has been minted yet');
    const { issuedAt } = first;
    assert.ok(issuedAt - sidecarAt > 2 * ANSWER_MS, `minted ${issuedAt - sidecarAt} ms after the sidecar started`);
    // The kubelet tells whole seconds.
    assert.ok(backstageAt + 1_000 > issuedAt, `started ${issuedAt - backstageAt} ms before the first credential`);
  });

  chapter('works through twenty rotations with new logins all the time and no error', {}, async (t) => {
    const { logins } = stage.service.lakebase;
    const tokens = (): number => new Set(logins.map(({ tokenFingerprint }) => tokenFingerprint)).size;
    await eventually('twenty rotations', () => tokens() > 20, {
      withinMs: 2 * 20 * AT * LIFETIME_MS,
      onTimeout: () => `${tokens()} tokens in ${logins.length} logins`,
    });
    for (const plugin of ['catalog', 'journal']) {
      const ofPlugin = logins.filter(({ applicationName }) => applicationName === `backstage_plugin_${plugin}`);
      assert.ok(ofPlugin.length > 20, `${ofPlugin.length} logins of ${plugin}`);
    }
    assert.deepEqual(backstage.refused(), []);
    assert.deepEqual(backstage.errors(), []);
    assert.deepEqual(
      backstage.readiness.filter(({ isReady }) => !isReady),
      [],
    );
    assert.equal(await backstage.restarts(), 0);
    t.diagnostic(`${tokens()} tokens, ${logins.length} logins, ${backstage.readiness.length} answers of /readyz`);
  });

  chapter(
    'is deleted in order: Backstage logs in during its shutdown, then the sidecar stops within a second',
    { skip: whyNotOwn },
    async (t) => {
      const { metadata } = backstage.pod;
      const sidecarLog = await backstage.followSidecar(shared);
      const end = endOf(await sidecarProcess(metadata.uid));
      await stage.namespace.kubectl(['delete', 'pod', metadata.name, '--wait=false']);
      await backstage.logged('last row written');
      const [endedAt] = await Promise.all([end, sidecarLog.ended]);
      const { at: lastLoginAt } = stage.service.lakebase.logins.at(-1)!;
      const beganAt = stoppingAt(sidecarLog);
      assert.ok(lastLoginAt < beganAt, 'the sidecar stopped before Backstage had logged in for the last time');
      assert.ok(endedAt - beganAt < 1_000, `the sidecar took ${endedAt - beganAt} ms to stop`);
      t.diagnostic(`${beganAt - lastLoginAt} ms after the last login, in ${endedAt - beganAt} ms`);
    },
  );
});
