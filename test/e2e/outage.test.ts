import assert from 'node:assert/strict';
import { describe, type TestContext } from 'node:test';
import type { Cli } from '../support/clis.ts';
import { whyNoPostgres } from '../support/postgres.ts';
import { credential } from '../support/sidecar-setup.ts';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { type Attempts, logInUntil, passwordFunction, startServer } from '../support/logins.ts';
import { temporaryDirectory, undoAfter } from '../support/cleanup.ts';
import { eventually, throughout } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';

async function begin(t: TestContext, cli: Cli, { tokenLifetimeMs, at }: { tokenLifetimeMs: number; at: number }) {
  const workspace = await workspaceFor(t, { tokenLifetimeMs });
  const server = await startServer(t, workspace);
  const directory = await temporaryDirectory(t);
  const config = {
    credentials: [credential(directory, { connection: server.connection })],
    minter: { cli: { command: cli.path, timeout: '2s' } },
    refresh: { at, jitter: 0, floor: '1s' },
    backoff: { initial: '1s', max: '1s' },
  };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config })).ready();
  const enough = new AbortController();
  undoAfter(t, () => enough.abort());
  const reader = { server, user: workspace.clientId, directory: sidecar.path('') };
  const attempts: Attempts = { successes: 0, failures: [] };
  const loggingIn = logInUntil(enough.signal, passwordFunction, reader, attempts);
  const someLogIn = async (): Promise<void> => {
    const { successes } = attempts;
    await eventually('some log in', () => attempts.successes > successes + 5);
  };
  const finish = async () => {
    enough.abort();
    return (await loggingIn).failures;
  };
  return { workspace, sidecar, someLogIn, finish };
}

describe('an outage of the workspace', { concurrency: 2, skip: whyNoPostgres() }, () => {
  testWithEachCli(
    'that is shorter than the life left costs nothing: no login fails and /readyz stays 200',
    async (t, cli) => {
      // Far longer than the outage, however slow the machine.
      const { workspace, sidecar, someLogIn, finish } = await begin(t, cli, { tokenLifetimeMs: 60_000, at: 0.05 });
      await workspace.outage();
      await sidecar.logged('mint failed');
      await throughout('/readyz answers 200', 1_500, async () => await sidecar.isReady());
      await someLogIn();
      await workspace.recover();
      const from = workspace.minted.length;
      await eventually('it mints again', () => workspace.minted.length > from);
      await sidecar.logged('minted again after failures');
      assert.deepEqual(await finish(), []);
      assert.ok(!sidecar.lines.some(({ level }) => level === 'error'));
    },
  );

  testWithEachCli(
    'that is longer than a lifetime fails logins after the expiry only, shows in /readyz and not in /healthz, and heals by itself',
    async (t, cli) => {
      const { workspace, sidecar, someLogIn, finish } = await begin(t, cli, { tokenLifetimeMs: 6_000, at: 0.3 });
      await someLogIn();
      await workspace.outage();
      // It may have minted until then, and not have been answered.
      await sidecar.logged('mint failed');
      const token = await sidecar.read('token');
      const { expiresAt } = workspace.minted.find((minted) => minted.token === token)!;
      let readyAt = -Infinity;
      const unreadyAt = await eventually('/readyz answers 503', async () => {
        const askedAt = Date.now();
        const { status } = await sidecar.get('/readyz');
        const answeredAt = Date.now();
        assert.equal((await sidecar.get('/healthz')).status, 200);
        if (status !== 503) readyAt = askedAt;
        return status === 503 && answeredAt;
      });
      // A reader needs some time to log in, so that it turns a tenth of a lifetime before the expiry; and for the sidecar
      // a life begins when it asks for the token.
      const { durationMs } = sidecar.lines.findLast(({ fingerprint, msg }) => msg.startsWith('minted') && fingerprint)!;
      const earliest = expiresAt - 600 - Number(durationMs);
      assert.ok(unreadyAt > earliest - 100, `${unreadyAt - expiresAt} ms`);
      assert.ok(readyAt < expiresAt, `${readyAt - expiresAt} ms`);
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
      assert.equal(await sidecar.read('token'), token, 'even an expired file is not taken away');
      await workspace.recover();
      await sidecar.ready();
      const healedAt = Date.now();
      const from = workspace.minted.length;
      await eventually('it goes on', () => workspace.minted.length > from);
      await someLogIn();
      const failures = await finish();
      assert.ok(failures.length > 0, 'no login failed: the server takes expired tokens');
      assert.ok(
        failures.every(({ at }) => at >= expiresAt),
        'a login failed before the expiry',
      );
      assert.ok(
        failures.every(({ beganAt }) => beganAt <= healedAt),
        'a login failed after it had healed',
      );
    },
  );
});
