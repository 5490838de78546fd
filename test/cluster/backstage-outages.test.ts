import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fingerprintOf, type Login } from '../support/lakebase.ts';
import { MetricSamples } from '../support/metric-samples.ts';
import type { MintedToken } from '../support/workspace-server.ts';
import { cleanupOfSuite } from '../support/suite.ts';
import { eventually } from '../support/eventually.ts';
import { useCluster, whyNoPods } from './cluster.ts';
import { withLockInTurn } from './lock.ts';
import { BackstagePod, type Healing } from './support/pods-backstage.ts';
import { setStage, type Stage } from './support/pods-stage.ts';

/** What real tokens live at least. */
const LIFETIME_MS = 300_000;
const DUE_MS = 0.667 * LIFETIME_MS;
/** Else the first refresh would be due at any time before. */
const FLOOR = '200s';
/** So long before its expiry /readyz turns red: a reader needs time to log in. */
const MARGIN_MS = LIFETIME_MS / 10;

const skip = await whyNoPods();

// Each has a pod and a service of its own and mostly waits, so they take as long as the longest, which begins.
describe('an outage of the workspace that begins when a refresh is due', { skip, concurrency: true }, () => {
  const shared = cleanupOfSuite();

  before(() => useCluster(shared));

  test('that outlives the token of five minutes makes logins fail and /readyz red, and heals by itself', async (t) => {
    const outage = await beginOutage(t, 'longest');
    const { token, backstage, stage } = outage;
    const { logins } = stage.service.lakebase;
    await eventually('logins fail', () => backstage.refused().length > 2, { withinMs: LIFETIME_MS - DUE_MS + 15_000 });
    const said = /lakebase file:\/run\/lakebase\/pgpass failed: expired \d+ s ago/;
    await eventually('/readyz says so', () => said.test(backstage.readiness.at(-1)!.body));
    assert.ok(backstage.refused().every(({ at, reason }) => at >= token.expiresAt && reason === 'expired'));
    assert.equal((await fetch(`${backstage.sidecarUrl}/healthz`)).status, 200);
    const { healing } = await endOutage(outage, 0);
    await eventually('/readyz is green', () => backstage.readiness.at(-1)!.isReady);
    await tellReadiness(outage, healing);
    // What was refused at the same time may be logged still.
    await eventually('Backstage logs in again', () => logins.slice(-6).every(({ ok }) => ok));
    const [lines, rows] = [backstage.log.lines.length, logins.length];
    await eventually('it goes on', () => logins.length > rows + 5);
    assert.deepEqual(
      backstage.log.lines.slice(lines).filter(({ text }) => text.includes('"level":"error"')),
      [],
    );
    assert.equal(await backstage.restarts(), 0, 'it healed without a restart');
  });

  test('of 0.15 of five minutes costs no login, and /readyz stays green', async (t) => {
    const outage = await beginOutage(t, 'brief');
    const { token, backstage, healing } = await endOutage(outage, 0.15 * LIFETIME_MS);
    const { healedAt } = healing;
    assert.ok(healedAt < token.expiresAt - MARGIN_MS, `only ${token.expiresAt - healedAt} ms before the expiry`);
    assert.deepEqual(backstage.refused(), []);
    assert.deepEqual(backstage.errors(), []);
    assert.deepEqual(
      backstage.readiness.filter(({ isReady }) => !isReady),
      [],
    );
  });

  test('of 0.3 of five minutes costs no login, and /readyz tells when little life is left', async (t) => {
    const outage = await beginOutage(t, 'longer');
    const { backstage, healing } = await endOutage(outage, 0.3 * LIFETIME_MS);
    assert.deepEqual(backstage.refused(), []);
    assert.deepEqual(backstage.errors(), []);
    await tellReadiness(outage, healing);
  });
});

interface Outage {
  readonly t: TestContext;
  readonly stage: Stage;
  readonly backstage: BackstagePod;
  /** The one that everybody has. */
  readonly token: MintedToken;
  /** When its refresh was. */
  readonly dueAt: number;
  readonly beganAt: number;
}

/** At the latest instant at which a refresh is ever due. */
async function beginOutage(t: TestContext, name: string): Promise<Outage> {
  const stage = await setStage(t, { name, app: 'backstage', trusted: 'backstage', tokenLifetimeMs: LIFETIME_MS });
  const { workspace } = stage.service;
  // Backstages that start at the same time take the processor from each other, and from every other test.
  const backstage = await withLockInTurn(join(tmpdir(), 'backstage-starts.lock'), async () => {
    await BackstagePod.apply(t, stage, { refresh: { jitter: 0, floor: FLOOR } });
    return await BackstagePod.running(t, stage);
  });
  // Asked of the sidecar: when the service sees a CLI depends on how busy the machine is.
  const { dueAt, mintedAt } = await eventually('a refresh is to come', async () => {
    const schedule = await scheduleOf(backstage);
    return schedule.dueAt > Date.now() && schedule;
  });
  const token = workspace.minted.at(-1)!;
  const { length: mints } = workspace.minted;
  assert.ok(Math.abs(dueAt - mintedAt - DUE_MS) < 100, `due ${dueAt - mintedAt} ms after the mint`);
  await workspace.nextRequest();
  await workspace.outage();
  const beganAt = Date.now();
  assert.ok(beganAt >= dueAt, `began ${dueAt - beganAt} ms before it was due`);
  assert.equal(workspace.minted.length, mints);
  return { t, stage, backstage, token, dueAt, beganAt };
}

/** In milliseconds since 1970; a mint is taken to be when it was started. */
async function scheduleOf(backstage: BackstagePod): Promise<{ readonly dueAt: number; readonly mintedAt: number }> {
  const samples = await metricsOf(backstage);
  return {
    dueAt: samples.get('next_refresh_timestamp_seconds')! * 1000,
    mintedAt: samples.get('last_attempt_timestamp_seconds')! * 1000,
  };
}

async function metricsOf(backstage: BackstagePod): Promise<MetricSamples> {
  const answer = await fetch(`${backstage.sidecarUrl}/metrics`);
  return new MetricSamples(await answer.text());
}

/** @param durationMs from when the refresh was due: a CLI that starts late must not take from the life that is left. */
async function endOutage({ t, stage, backstage, token, dueAt, beganAt }: Outage, durationMs: number) {
  await delay(Math.max(0, dueAt + durationMs - Date.now()));
  const { workspace, lakebase } = stage.service;
  const { logins } = lakebase;
  const [earlier, failures] = [workspace.minted.length, await failuresOf(backstage)];
  await workspace.recover();
  await backstage.nextToken(LIFETIME_MS / 10);
  const { healing, lost } = await eventually(
    'a login with a new token',
    () => firstUsed(workspace.minted.slice(earlier), logins),
    { withinMs: LIFETIME_MS / 10 },
  );
  const failed = (await failuresOf(backstage)) - failures;
  assert.ok(lost <= failed, `${lost} tokens that nobody has, and ${failed} attempts failed`);
  const { healedAt } = healing;
  const rows = logins.length;
  await eventually('logins go on', () => logins.length > rows + 5);
  const meanwhile = logins.filter(({ at }) => at > beganAt && at < healedAt).length;
  t.diagnostic(`began ${seconds(beganAt - token.issuedAt)} after a mint of a token of ${seconds(LIFETIME_MS)}`);
  t.diagnostic(`lasted ${seconds(healedAt - beganAt)} until a new token, with ${meanwhile} logins`);
  t.diagnostic(
    `${seconds(token.expiresAt - healedAt)} of life were left, ${backstage.refused().length} logins refused`,
  );
  t.diagnostic(`${lost} tokens were minted by a CLI whose time was up before it had printed them`);
  return { stage, backstage, token, healing };
}

/** An attempt's deadline may come between the workspace's answer and the CLI's end: that token is lost. */
function firstUsed(
  minted: readonly MintedToken[],
  logins: readonly Login[],
): { readonly healing: Healing; readonly lost: number } | undefined {
  for (const [lost, { token, issuedAt }] of minted.entries()) {
    const login = logins.find(({ tokenFingerprint }) => tokenFingerprint === fingerprintOf(token));
    if (login !== undefined) return { healing: { healedAt: issuedAt, usedAt: login.at }, lost };
  }
  return undefined;
}

async function failuresOf(backstage: BackstagePod): Promise<number> {
  return (await metricsOf(backstage)).sum('refresh_failures_total');
}

/** Counted from when the refresh was due: for the sidecar, a token's life begins before the service has signed it. */
async function tellReadiness({ t, backstage, dueAt }: Outage, healing: Healing): Promise<void> {
  const redAt = dueAt - DUE_MS + LIFETIME_MS - MARGIN_MS;
  const { green, red } = await backstage.assertReadinessIsTrue(redAt, healing);
  t.diagnostic(`/readyz: ${green} times green, ${red} times red, never otherwise than it was`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
