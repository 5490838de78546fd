import assert from 'node:assert/strict';
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { MINT_REMEDIES, type MintFailure } from '../../src/credential/failures.ts';
import { shellWord } from '../../src/sinks/render.ts';
import { scriptedCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar, type LogLine, type Sidecar } from '../support/sidecar.ts';
import type { Fault, Minting, Route } from '../support/workspace-faults.ts';

/** A token of so long a life is refreshed every two seconds, and stays good through a failure of some. */
const LIFETIME_MS = 30_000;
const config = {
  refresh: { at: 0.06, jitter: 0, floor: '1s' },
};

/** Younger than the one that is held, and expired before it. */
async function hardlyLiving({ answer, expiryField, claims, sign }: Minting): Promise<unknown> {
  const exp = claims.iat! + 2;
  return { ...answer, token: await sign({ ...claims, exp }), [expiryField]: new Date(exp * 1_000).toISOString() };
}

const FAULTS: Readonly<Record<Exclude<MintFailure, 'spawn'>, readonly [Route, Fault, RegExp]>> = {
  timeout: ['credential', 'hang', /whether it throttles \(429\)/],
  auth: ['token', { status: 401, body: { error: 'invalid_client', error_description: 'No' } }, /new OAuth secret/],
  permission: ['credential', { status: 403, body: { message: 'User does not have CAN_USE' } }, /CAN USE/],
  not_found: [
    'credential',
    { status: 404, body: { message: 'endpoint does not exist' } },
    /list-endpoints projects\/PROJECT\/branches\/BRANCH.*list-database-instances/,
  ],
  network: ['credential', 'truncated', /check DATABRICKS_HOST/],
  bad_response: ['credential', 'broken-json', /names the workspace itself/],
  short_lived: ['credential', hardlyLiving, /grants a shorter lifetime than requested/],
  unknown: [
    'credential',
    { status: 500, body: { message: 'boom' } },
    /read the error output of the CLI: .*check.* prints it/,
  ],
};

/** A failure is counted, explained, and harms no reader. */
async function assertReported(
  sidecar: Sidecar,
  line: LogLine,
  failure: MintFailure,
  remedy: RegExp,
  token: string,
): Promise<void> {
  assert.equal(line.level, 'warn');
  assert.equal((line['err'] as { failure: string }).failure, failure, JSON.stringify(line));
  assert.match(line['remedy'] as string, remedy);
  const metrics = await sidecar.metrics();
  assert.ok(metrics.get('refresh_failures_total', { credential: 'backstage', reason: failure })! >= 1);
  for (const other of Object.keys(MINT_REMEDIES).filter((reason) => reason !== failure)) {
    assert.equal(metrics.get('refresh_failures_total', { credential: 'backstage', reason: other }), 0, other);
  }
  assert.ok(metrics.get('consecutive_failures')! >= 1);
  assert.equal(metrics.get('valid'), 1);
  const [status] = (await sidecar.status()).credentials;
  assert.equal(status?.state, 'retrying');
  assert.equal(status.lastFailure?.code, failure);
  assert.match(status.lastFailure.remedy, remedy);
  const page = (await sidecar.get('/status', { headers: { accept: 'text/html' } })).body;
  assert.ok(page.includes(failure), 'the page for people lacks the failure');
  assert.match(page, new RegExp(remedy, 'i'));
  assert.equal(await sidecar.read('token'), token, 'the good token was replaced');
  assert.equal((await sidecar.get('/readyz')).status, 200);
  assert.equal((await sidecar.get('/healthz')).status, 200);
}

async function assertHealed(sidecar: Sidecar, token: string): Promise<void> {
  const { failuresBefore } = await sidecar.logged('minted again after failures');
  assert.ok(Number(failuresBefore) >= 1);
  await eventually('the file has the new token', async () => (await sidecar.read('token')) !== token);
  assert.equal((await sidecar.metrics()).get('consecutive_failures'), 0);
  const [status] = (await sidecar.status()).credentials;
  assert.equal(status?.lastFailure, null);
}

describe('a failure to mint', { concurrency: 3 }, () => {
  for (const [failure, [route, fault, remedy]] of Object.entries(FAULTS)) {
    testWithEachCli(`is counted and explained as ${failure}, harms no reader, and is healed from`, async (t, cli) => {
      const workspace = await workspaceFor(t, { tokenLifetimeMs: LIFETIME_MS });
      const minter = { cli: { command: cli.path, timeout: failure === 'timeout' ? '3s' : '20s' } };
      const sidecar = await (await startSidecar(t, { workspace, config: { ...config, minter } })).ready();
      const from = sidecar.lines.length;
      workspace.fail(route, fault);
      const line = await sidecar.logged('mint failed', { from });
      const token = await sidecar.read('token');
      await assertReported(sidecar, line, failure as MintFailure, remedy, token);
      await workspace.recover();
      await assertHealed(sidecar, token);
    });
  }

  testWithEachCli(
    'is counted and explained as spawn while the CLI is away, harms no reader, and is healed from',
    async (t, cli) => {
      const workspace = await workspaceFor(t, { tokenLifetimeMs: LIFETIME_MS });
      const path = await scriptedCli(t, `exec ${shellWord(cli.path)} "$@"`);
      const sidecar = await (
        await startSidecar(t, { workspace, cli: path, config: { refresh: config.refresh } })
      ).ready();
      await copyFile(path, `${path}.away`);
      // The next mint is two seconds away: a shell that has been started, and cannot read its script any more, is another failure.
      await sidecar.logged('minted', { from: sidecar.lines.length });
      await rm(path);
      const line = await sidecar.logged('mint failed');
      const token = await sidecar.read('token');
      await assertReported(sidecar, line, 'spawn', /install the Databricks CLI/, token);
      await copyFile(`${path}.away`, path);
      await assertHealed(sidecar, token);
    },
  );

  test('of a CLI that prints far too much ends that CLI, and is a bad response', { timeout: 30_000 }, async (t) => {
    const workspace = await workspaceFor(t);
    const path = await scriptedCli(t, 'yes "$DATABRICKS_CLIENT_SECRET"');
    const sidecar = await startSidecar(t, { workspace, cli: path });
    const { err } = await sidecar.logged('mint failed');
    assert.equal((err as { failure: string }).failure, 'bad_response');
    assert.ok(!sidecar.stdout.includes(workspace.clientSecret));
  });

  test('of a CLI that is no program leaves the metric of the versions without one', { timeout: 30_000 }, async (t) => {
    const workspace = await workspaceFor(t);
    const path = await scriptedCli(t, '');
    await writeFile(path, '#!/nonexistent/interpreter\n');
    const sidecar = await startSidecar(t, { workspace, cli: path });
    await eventually('build_info', async () => (await sidecar.get('/metrics')).body.includes('cli_version="unknown"'));
  });
});
