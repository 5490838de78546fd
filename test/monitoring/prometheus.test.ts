import assert from 'node:assert/strict';
import { readFile, rmdir, writeFile } from 'node:fs/promises';
import { describe, test, type TestContext } from 'node:test';
import { drawPage } from '../../scripts/dashboard/page.ts';
import { dashboard, missing, panelQueries, withVariables } from '../support/monitoring.ts';
import { startPrometheus, type Prometheus, type Target } from '../support/prometheus.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { eventually, occupy } from '../support/eventually.ts';
import { startSidecar, type Sidecar } from '../support/sidecar.ts';
import type { Workspace } from '../support/workspace.ts';
import { REFUSAL } from './faults.ts';

const LIFETIME_MS = 12_000;
const POD = { cluster: 'east', namespace: 'shop', pod: 'shop-0' };
const EXPIRED = 'LakebaseCredentialExpired';
const FAILING = 'LakebaseCredentialRefreshFailing';
const SOON = 'LakebaseCredentialExpiringSoon';

interface Scene {
  readonly workspace: Workspace;
  readonly sidecar: Sidecar;
  readonly prometheus: Prometheus;
  readonly targets: readonly Target[];
}

/** Seconds instead of minutes: tokens that live for twelve, and a copy of the rules whose alerts hold for one. */
async function begin(t: TestContext, pods = [POD]): Promise<Scene> {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: LIFETIME_MS });
  const config = { refresh: { at: 0.3, jitter: 0, floor: '1s' }, backoff: { initial: '1s', max: '1s' } };
  const sidecar = await (await startSidecar(t, { workspace, config })).ready();
  const { host, port } = sidecar.address;
  const targets = pods.map((labels) => ({ address: `${host}:${port}`, labels }));
  const prometheus = await startPrometheus(t, { targets, interval: '500ms', holdFor: '1s' });
  await eventually('it is scraped', async () => (await prometheus.query('lakebase_credential_valid == 1')).length > 0);
  return { workspace, sidecar, prometheus, targets };
}

async function fires(prometheus: Prometheus, name: string, withinMs = 30_000): Promise<Record<string, string>> {
  const seen = async () =>
    (await prometheus.alerts()).find(({ labels, state }) => labels['alertname'] === name && state === 'firing');
  const onTimeout = () => `asked for ${name}`;
  const { labels } = await eventually(`${name} fires`, seen, { withinMs, everyMs: 100, onTimeout });
  return { ...labels };
}

async function fallsSilent(prometheus: Prometheus): Promise<void> {
  let last: readonly string[] = [];
  const isSilent = async () => {
    last = await prometheus.firing();
    return last.length === 0;
  };
  await eventually('no alert fires', isSilent, { withinMs: 30_000, everyMs: 100, onTimeout: () => last.join(', ') });
}

describe('a real Prometheus', { concurrency: 3 }, () => {
  test(
    'tells of failing refreshes, of an expiry that comes near and of the expiry, and is silent before and afterwards',
    { skip: missing.prometheus, timeout: 120_000 },
    async (t) => {
      const { prometheus, workspace } = await begin(t);
      assert.deepEqual(await prometheus.firing(), []);
      workspace.fail('credential', REFUSAL);
      const failing = await fires(prometheus, FAILING);
      assert.deepEqual(failing, {
        alertname: FAILING,
        severity: 'warning',
        credential: 'backstage',
        reason: 'permission',
        instance: failing['instance'],
        job: 'lakebase-credential-sidecar',
        ...POD,
      });
      await fires(prometheus, SOON);
      await fires(prometheus, EXPIRED);
      const others = (await prometheus.firing()).filter((name) => ![EXPIRED, FAILING, SOON].includes(name));
      assert.deepEqual(others, [], 'neither a sink nor the schedule is to blame');
      await workspace.recover();
      await fallsSilent(prometheus);
    },
  );

  test(
    'tells of a sink that is not written, of a bad configuration, and of sidecars that are not scraped or do not answer',
    { skip: missing.prometheus, timeout: 120_000 },
    async (t) => {
      const { prometheus, sidecar, targets } = await begin(t);
      const good = await readFile(sidecar.configFile, 'utf8');
      await writeFile(sidecar.configFile, 'credentials: []');
      await fires(prometheus, 'LakebaseCredentialConfigReloadFailed');
      await writeFile(sidecar.configFile, good);
      await fallsSilent(prometheus);

      const path = sidecar.path('pgpass');
      await occupy(path);
      const { sink } = await fires(prometheus, 'LakebaseCredentialSinkStale');
      assert.equal(sink, `file:${path}`);
      await rmdir(path);
      await fallsSilent(prometheus);

      await prometheus.discover([]);
      assert.equal((await fires(prometheus, 'LakebaseCredentialSidecarAbsent'))['cluster'], 'east');
      await prometheus.discover(targets);
      await fallsSilent(prometheus);

      await sidecar.stop();
      await fires(prometheus, 'LakebaseCredentialSidecarDown');
    },
  );

  test(
    'answers every query of the dashboard with data once it has seen a refresh and a failure, of the chosen cluster alone, and can be drawn',
    { skip: missing.prometheus, timeout: 120_000 },
    async (t) => {
      const { prometheus, workspace } = await begin(t, [POD, { ...POD, cluster: 'west' }]);
      const from = Date.now() / 1_000;
      const first = workspace.minted.length;
      await eventually('it refreshes', () => workspace.minted.length > first);
      workspace.fail('credential', REFUSAL);
      await fires(prometheus, FAILING);
      const empty = new Map(panelQueries('30s', { cluster: 'west' }).map(({ expr, panel }) => [expr, panel]));
      const unanswered = async () => {
        for (const [expr, panel] of empty) {
          const clusters = (await prometheus.query(expr)).map(({ metric }) => metric['cluster'] ?? 'west');
          if (clusters.length > 0) empty.delete(expr);
          assert.ok(!clusters.includes('east'), panel);
        }
        return [...empty.values()];
      };
      const onTimeout = () => [...empty.keys()].join('\n');
      const failures = async () => !(await unanswered()).includes('Why refreshes fail');
      // It tells what fails now, and others what succeeds.
      await eventually('failures have had data', failures, { onTimeout });
      await workspace.recover();
      await eventually('each query has had data', async () => (await unanswered()).length === 0, { onTimeout });
      const count = async (cluster: string) => {
        const { expr } = panelQueries('30s', { cluster }).find(({ panel }) => panel === 'Credentials')!;
        return (await prometheus.query(expr))[0]?.value[1];
      };
      const all = [await count('.*'), await count('west'), await count('south')];
      assert.deepEqual(all, ['2', '1', '0']);

      const to = Date.now() / 1_000;
      const fill = (expr: string) => withVariables(expr, { rate: '30s', range: '30s' });
      const page = await drawPage(dashboard(), prometheus, { from, to, step: 1 }, fill);
      for (const { title } of dashboard().panels) assert.ok(page.includes(`>${title}</h`), title);
      assert.doesNotMatch(page, /No data|NaN|undefined/);
    },
  );
});
