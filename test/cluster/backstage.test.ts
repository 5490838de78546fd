import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/sidecar-wait.ts';
import type { MintedToken } from '../support/workspace-server.ts';
import { useCluster, whyNoCluster } from './cluster.ts';
import { loadBackstage, loadSidecar } from './support/pods-images.ts';
import { trusting, writeOverlay } from './support/pods-overlay.ts';
import { endOf, sidecarProcess, stoppingAt } from './support/pods-processes.ts';
import { startService, trustServiceAccount, type Service } from './support/pods-service.ts';
import { SharedCleanup, story } from './support/pods-story.ts';
import { makeNamespace, SIDECAR, statusOf, type Following, type Namespace, type Pod } from './support/pods.ts';

const SELECTOR = 'app.kubernetes.io/name=backstage';
const ROTATING_MS = 6_000;
/** Real tokens live five minutes or longer: outages are scaled down with it, unless somebody has half an hour. */
const LIFETIME_MS = process.env['TEST_REAL_LIFETIME'] === undefined ? 90_000 : 300_000;
const ANSWER_MS = 3_000;

const skip = await whyNoCluster();
const cluster = skip === undefined ? await useCluster() : undefined;

describe('Backstage in a restricted namespace', { skip }, () => {
  const shared = new SharedCleanup();
  const chapter = story();
  let service: Service;
  let namespace: Namespace;
  let pod: Pod;
  let sidecarUrl: string;
  let log: Following;
  const readiness: Readiness[] = [];
  const enough = new AbortController();
  let watching: Promise<void> | undefined;

  before(async () => {
    const [sidecarImage, appImage] = [await loadSidecar(cluster!), await loadBackstage(cluster!)];
    namespace = await makeNamespace(shared, cluster!, 'backstage');
    service = await startService(shared, cluster!, {
      tokenLifetimeMs: 10 * ANSWER_MS,
      verifySubjectToken: await trustServiceAccount(cluster!, namespace.name, 'backstage'),
    });
    service.workspace.latencyMs = ANSWER_MS;
    const pool = { min: 0, max: 3, idleTimeoutMillis: 500, reapIntervalMillis: 200, maxConnectionLifetimeMillis: 700 };
    const overlay = await writeOverlay(shared, {
      example: 'backstage',
      namespace: namespace.name,
      service,
      sidecarImage,
      appImage,
      config: { refresh: { at: 0.667, jitter: 0, floor: '1s' }, minter: { cli: { timeout: '20s' } } },
      podPatches: [
        {
          containers: [
            trusting('backstage', {
              env: [{ name: 'APP_CONFIG_backend_database_knexConfig', value: JSON.stringify({ pool }) }],
              resources: { requests: { cpu: '50m', memory: '256Mi' } },
            }),
          ],
        },
      ],
    });
    await namespace.apply(overlay);
  });

  after(async () => {
    enough.abort();
    await watching;
    await shared.undo();
  });

  chapter('starts only after the first credential, however slow the workspace is', async () => {
    pod = await namespace.running(SELECTOR, 'backstage');
    service.workspace.latencyMs = 0;
    service.workspace.tokenLifetimeMs = ROTATING_MS;
    const sidecarAt = Date.parse(statusOf(pod, SIDECAR)!.state.running!.startedAt);
    const backstageAt = Date.parse(statusOf(pod, 'backstage')!.state.running!.startedAt);
    const [first] = service.workspace.minted;
    assert.ok(first !== undefined, 'Backstage runs, and nothing has been minted yet');
    const { issuedAt } = first;
    assert.ok(issuedAt - sidecarAt > 2 * ANSWER_MS, `minted ${issuedAt - sidecarAt} ms after the sidecar started`);
    // The kubelet tells whole seconds.
    assert.ok(backstageAt + 1_000 > issuedAt, `started ${issuedAt - backstageAt} ms before the first credential`);
    log = namespace.follow(shared, pod.metadata.name, 'backstage');
    sidecarUrl = await namespace.forward(shared, pod.metadata.name, 9467);
    await logged('first row written');
    watching = watchReadiness();
  });

  chapter('works through twenty rotations with new logins all the time and no error', async (t) => {
    const fingerprints = (): number => new Set(service.lakebase.logins.map((login) => login.tokenFingerprint)).size;
    await eventually('twenty rotations', () => fingerprints() > 20, {
      withinMs: 40 * ROTATING_MS,
      onTimeout: () => `${fingerprints()} tokens in ${service.lakebase.logins.length} logins`,
    });
    const { logins } = service.lakebase;
    for (const plugin of ['catalog', 'journal']) {
      const ofPlugin = logins.filter(({ applicationName }) => applicationName === `backstage_plugin_${plugin}`);
      assert.ok(ofPlugin.length > 20, `${ofPlugin.length} logins of ${plugin}`);
    }
    assert.deepEqual(refused(), []);
    assert.deepEqual(errorsOf(log), []);
    assert.deepEqual(
      readiness.filter(({ isReady }) => !isReady),
      [],
    );
    const { restartCount } = statusOf((await namespace.pod(SELECTOR))!, 'backstage')!;
    assert.equal(restartCount, 0);
    t.diagnostic(`${fingerprints()} tokens, ${logins.length} logins, ${readiness.length} answers of /readyz`);
  });

  for (const share of [0.15, 0.3]) {
    chapter(`an outage of ${share} of a lifetime that begins when a refresh is due costs no login`, async (t) => {
      service.workspace.tokenLifetimeMs = LIFETIME_MS;
      const { expiresAt, issuedAt } = await nextToken();
      assert.equal(expiresAt - issuedAt, LIFETIME_MS);
      const from = { errors: errorsOf(log).length, readiness: readiness.length, refused: refused().length };
      await service.workspace.nextRequest();
      await service.workspace.outage();
      const beganAt = Date.now();
      assert.ok(Math.abs(beganAt - issuedAt - 0.667 * LIFETIME_MS) < 2_000, 'not when it was due');
      await delay(share * LIFETIME_MS);
      await service.workspace.recover();
      const { issuedAt: healedAt } = await nextToken();
      t.diagnostic(`${expiresAt - healedAt} ms before the expiry there was a new one`);
      assert.equal(refused().length, from.refused);
      assert.equal(errorsOf(log).length, from.errors);
      // A tenth of the lifetime before the expiry /readyz turns red: a reader needs time to log in.
      const expected = (at: number): boolean => at < expiresAt - LIFETIME_MS / 10 || at > healedAt;
      assertTruth(from.readiness, expected, [expiresAt - LIFETIME_MS / 10, healedAt]);
    });
  }

  chapter('an outage that outlives the token makes logins fail and /readyz red, and heals by itself', async () => {
    service.workspace.tokenLifetimeMs = 2 * ROTATING_MS;
    // The long-lived one stays for as long as it outlives its successors.
    await eventually('a short-lived token is in use', () => isInUse(service.workspace.minted.at(-1)!), {
      withinMs: LIFETIME_MS,
    });
    const token = await nextToken();
    await eventually('the next one, too', () => isInUse(token));
    const { expiresAt } = token;
    const from = { readiness: readiness.length, refused: refused().length };
    await service.workspace.outage();
    await eventually('logins fail', () => refused().length > from.refused + 2, { withinMs: 4 * ROTATING_MS });
    const said = /lakebase file:\/run\/lakebase\/pgpass failed: expired \d+ s ago/;
    await eventually('/readyz says so', () => said.test(readiness.at(-1)!.body));
    assert.ok(
      refused()
        .slice(from.refused)
        .every(({ at, reason }) => at >= expiresAt && reason === 'expired'),
    );
    assert.equal((await fetch(`${sidecarUrl}/healthz`)).status, 200);
    await service.workspace.recover();
    const { issuedAt: healedAt } = await nextToken();
    const expected = (at: number): boolean => at < expiresAt - ROTATING_MS / 5 || at > healedAt;
    await eventually('/readyz is green', () => readiness.at(-1)?.isReady);
    assertTruth(from.readiness, expected, [expiresAt - ROTATING_MS / 5, healedAt]);
    const lines = log.lines.length;
    const rows = service.lakebase.logins.length;
    await eventually(
      'Backstage logs in again',
      () => service.lakebase.logins.slice(rows).filter(({ ok }) => ok).length > 5,
    );
    assert.deepEqual(
      log.lines.slice(lines).filter(({ text }) => text.includes('"level":"error"')),
      [],
    );
    const { restartCount } = statusOf((await namespace.pod(SELECTOR))!, 'backstage')!;
    assert.equal(restartCount, 0, 'it healed without a restart');
  });

  chapter(
    'is deleted in order: Backstage logs in during its shutdown, then the sidecar stops within a second',
    async (t) => {
      const sidecarLog = namespace.follow(shared, pod.metadata.name, SIDECAR);
      await eventually('the log of the sidecar', () => sidecarLog.lines.length > 0);
      const end = endOf(await sidecarProcess(pod.metadata.uid));
      await namespace.kubectl(['delete', 'pod', pod.metadata.name, '--wait=false']);
      await logged('last row written');
      const [endedAt] = await Promise.all([end, sidecarLog.ended]);
      const { at: lastLoginAt } = service.lakebase.logins.at(-1)!;
      const beganAt = stoppingAt(sidecarLog);
      assert.ok(lastLoginAt < beganAt, 'the sidecar stopped before Backstage had logged in for the last time');
      assert.ok(endedAt - beganAt < 1_000, `the sidecar took ${endedAt - beganAt} ms to stop`);
      t.diagnostic(`${beganAt - lastLoginAt} ms after the last login, in ${endedAt - beganAt} ms`);
    },
  );

  function refused() {
    return service.lakebase.logins.filter(({ ok }) => !ok);
  }

  async function logged(text: string) {
    return await eventually(`the line "${text}"`, () => log.lines.find((line) => line.text.includes(text)), {
      withinMs: 60_000,
    });
  }

  async function nextToken() {
    const { minted } = service.workspace;
    const count = minted.length;
    return await eventually('a new token', () => minted[count], { withinMs: LIFETIME_MS });
  }

  /** Someone has logged in with it. */
  function isInUse({ token, expiresAt, issuedAt }: MintedToken): boolean {
    const fingerprint = createHash('sha256').update(token).digest('hex');
    const isShort = expiresAt - issuedAt < LIFETIME_MS / 4;
    return isShort && service.lakebase.logins.at(-1)?.tokenFingerprint === fingerprint;
  }

  async function watchReadiness(): Promise<void> {
    while (!enough.signal.aborted) {
      const response = await fetch(`${sidecarUrl}/readyz`).catch(() => undefined);
      if (response === undefined) return;
      readiness.push({ at: Date.now(), isReady: response.status === 200, body: await response.text() });
      await delay(200);
    }
  }

  /** What /readyz said against what was so, but for half a second around each change. */
  function assertTruth(from: number, isReady: (at: number) => boolean, changes: readonly number[]): void {
    const clear = readiness.slice(from).filter(({ at }) => changes.every((change) => Math.abs(at - change) > 500));
    assert.ok(clear.length > 10, `${clear.length} answers`);
    assert.deepEqual(
      clear.filter((answer) => answer.isReady !== isReady(answer.at)),
      [],
    );
  }
});

interface Readiness {
  readonly at: number;
  readonly isReady: boolean;
  readonly body: string;
}

function errorsOf({ lines }: Following): string[] {
  return lines
    .map(({ text }) => text)
    .filter((text) => /"level":"(error|warn)"|Error/.test(text) && !text.includes('DeprecationWarning'));
}
