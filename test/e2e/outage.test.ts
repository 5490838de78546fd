import assert from 'node:assert/strict';
import { describe, type TestContext } from 'node:test';
import type { Cli } from '../support/clis.ts';
import { credential } from '../support/sidecar-setup.ts';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { logInUntil, passwordFunction, startServer } from '../support/sidecar-logins.ts';
import { eventually, temporaryDirectory, throughout, undoAfter } from '../support/sidecar-wait.ts';
import { startSidecar } from '../support/sidecar.ts';

async function begin(t: TestContext, cli: Cli, tokenLifetimeMs: number) {
  const workspace = await workspaceFor(t, { tokenLifetimeMs });
  const server = await startServer(t, workspace);
  const directory = await temporaryDirectory(t);
  const config = {
    credentials: [credential(directory, { connection: server.connection })],
    minter: { cli: { command: cli.path, timeout: '2s' } },
    refresh: { at: 0.3, jitter: 0, floor: '1s' },
    backoff: { initial: '1s', max: '1s' },
  };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config })).ready();
  const enough = new AbortController();
  undoAfter(t, () => enough.abort());
  const reader = { server, user: workspace.clientId, directory: sidecar.path('') };
  const loggingIn = logInUntil(enough.signal, passwordFunction, reader);
  const finish = async () => {
    enough.abort();
    return await loggingIn;
  };
  return { workspace, sidecar, finish };
}

describe('an outage of the workspace', { concurrency: 2 }, () => {
  testWithEachCli(
    'that is shorter than the life left costs nothing: no login fails and /readyz stays 200',
    async (t, cli) => {
      const { workspace, sidecar, finish } = await begin(t, cli, 12_000);
      await workspace.outage();
      await sidecar.logged('mint failed');
      await throughout('/readyz answers 200', 1_500, async () => await sidecar.isReady());
      await workspace.recover();
      const from = workspace.minted.length;
      await eventually('it mints again', () => workspace.minted.length > from);
      await sidecar.logged('minted again after failures');
      const { failures, successes } = await finish();
      assert.deepEqual(failures, []);
      assert.ok(successes > 20, `${successes} logins`);
      assert.ok(!sidecar.lines.some(({ level }) => level === 'error'));
    },
  );

  testWithEachCli(
    'that is longer than a lifetime fails logins after the expiry only, shows in /readyz and not in /healthz, and heals by itself',
    async (t, cli) => {
      const { workspace, sidecar, finish } = await begin(t, cli, 6_000);
      await workspace.outage();
      const { expiresAt } = workspace.minted.at(-1)!;
      const unready = await eventually('/readyz answers 503', async () => {
        const { status, body } = await sidecar.get('/readyz');
        assert.equal((await sidecar.get('/healthz')).status, 200);
        return status === 503 && { at: Date.now(), body };
      });
      // A reader needs some time to log in, so that it turns a tenth of a lifetime before the expiry; and for the sidecar
      // a life begins when it asks for the token.
      const { durationMs } = sidecar.lines.findLast(({ fingerprint, msg }) => msg.startsWith('minted') && fingerprint)!;
      const earliest = expiresAt - 600 - Number(durationMs);
      assert.ok(unready.at > earliest - 100 && unready.at < expiresAt + 1_000, `${unready.at - expiresAt} ms`);
      const { level } = await sidecar.logged('expired without a successor');
      assert.equal(level, 'error');
      await throughout('/readyz answers 503 and /healthz 200', 2_000, async () => {
        const [readyz, healthz] = await Promise.all([sidecar.get('/readyz'), sidecar.get('/healthz')]);
        return readyz.status === 503 && healthz.status === 200;
      });
      const metrics = await sidecar.metrics();
      assert.equal(metrics.get('valid'), 0);
      assert.equal(metrics.get('expiry_timestamp_seconds'), expiresAt / 1_000);
      assert.equal((await sidecar.status()).credentials[0]?.state, 'expired');
      assert.equal(
        await sidecar.read('token'),
        workspace.minted.at(-1)?.token,
        'even an expired file is not taken away',
      );
      await workspace.recover();
      await sidecar.ready(8_000);
      const healedAt = Date.now();
      const from = workspace.minted.length;
      await eventually('it goes on', () => workspace.minted.length > from);
      const { failures, successes } = await finish();
      assert.ok(failures.length > 0, 'no login failed: the server takes expired tokens');
      assert.ok(
        failures.every(({ at }) => at >= expiresAt),
        'a login failed before the expiry',
      );
      assert.ok(
        failures.every(({ at }) => at <= healedAt + 1_000),
        'a login failed after it had healed',
      );
      assert.ok(successes > 20, `${successes} logins`);
    },
  );
});
