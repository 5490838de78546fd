import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Cli } from '../support/clis.ts';
import { credential } from '../support/sidecar-setup.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { scriptedCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory, type Cleanup } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';
import type { Workspace } from '../support/workspace.ts';

/** Publishes a credential and is killed. */
async function killedSidecar(t: Cleanup, workspace: Workspace, cli?: Cli, config = {}): Promise<string> {
  const directory = await temporaryDirectory(t);
  const options = { workspace, directory, config, ...(cli && { cli }) };
  const sidecar = await (await startSidecar(t, options)).ready();
  assert.equal((await sidecar.stop('SIGKILL')).signal, 'SIGKILL');
  return directory;
}

testWithEachCli('after kill -9 the credential is adopted without a request to the workspace', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await killedSidecar(t, workspace, cli);
  await workspace.outage();
  const asked = workspace.requests.length;
  const sidecar = await (await startSidecar(t, { workspace, directory, cli })).ready();
  assert.equal(workspace.requests.length, asked);
  assert.equal((await sidecar.logged('adopted'))['credential'], 'backstage');
  const metrics = await sidecar.metrics();
  assert.equal(metrics.get('adoptions_total'), 1);
  assert.equal(metrics.get('refreshes_total'), 0);
  assert.equal(await sidecar.read('token'), workspace.minted[0]?.token);
  const [status] = (await sidecar.status()).credentials;
  assert.equal(status?.state, 'fresh');
  assert.ok(Date.parse(status.nextRefreshAt) > Date.now() + 60_000, 'it is due by the time it was issued');
});

interface State {
  readonly tokens: readonly {
    readonly local: { readonly issuedAt: number; readonly expiresAt: number };
    readonly monotonic: { readonly boot: string };
  }[];
}

for (const [machine, adoptions, change, skip] of [
  ['that still runs is used on, whose age is known', 1, {}, NOT_LINUX], // nothing else names its start
  ['that was started anew since is not trusted', 0, { boot: 'another one' }, false],
] as const) {
  test(`a credential from the future on a machine ${machine}`, { timeout: 30_000, skip }, async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await killedSidecar(t, workspace);
    const path = join(directory, 'run/.backstage.state.json');
    const state = JSON.parse(await readFile(path, 'utf8')) as State;
    // As it looks when the clock is set back by ten minutes.
    const tokens = state.tokens.map(({ local, monotonic, ...token }) => ({
      ...token,
      local: { issuedAt: local.issuedAt + 600_000, expiresAt: local.expiresAt + 600_000 },
      monotonic: { ...monotonic, ...change },
    }));
    await writeFile(path, JSON.stringify({ ...state, tokens }));
    const sidecar = await (await startSidecar(t, { workspace, directory })).ready();
    assert.equal((await sidecar.metrics()).get('adoptions_total'), adoptions);
  });
}

test('what a killed process left half-written is swept at the start', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const directory = await killedSidecar(t, workspace);
  await writeFile(join(directory, 'run/.token.0123456789abcdef.tmp'), 'half a tok');
  await writeFile(join(directory, 'run/.mine.tmp'), 'of somebody else');
  await (await startSidecar(t, { workspace, directory })).ready();
  assert.deepEqual((await readdir(join(directory, 'run'))).toSorted(), [
    '.backstage.state.json',
    '.mine.tmp',
    'pgpass',
    'token',
  ]);
});

testWithEachCli(
  'the private home that the CLI of a killed process had is gone after the next start',
  async (t, cli) => {
    const workspace = await workspaceFor(t);
    const directory = await killedSidecar(t, workspace, cli);
    const homes = async (): Promise<string[]> => await readdir(join(directory, 'tmp'));
    assert.equal((await homes()).length, 1);
    await (await startSidecar(t, { workspace, directory, cli })).ready();
    await eventually('it is gone', async () => (await homes()).length === 0);
  },
);

testWithEachCli('an adopted credential is not replaced by a token of another identity either', async (t, cli) => {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: 20_000 });
  const directory = await temporaryDirectory(t);
  // Not one that refreshes soon: its first refresh is due at any time after the floor, thus before it has stopped.
  await (await (await startSidecar(t, { workspace, cli, directory })).ready()).stop();
  workspace.fail('credential', 'other-identity');
  const config = { refresh: { floor: '0s', at: 0.3, jitter: 0 } };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config })).ready();
  await sidecar.logged('adopted');
  const { err } = await sidecar.logged('mint failed');
  assert.equal((err as { failure: string }).failure, 'bad_response');
  assert.equal(await sidecar.read('token'), workspace.minted[0]!.token);
});

testWithEachCli('a sink that lacks the adopted credential gets it, without a mint', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await killedSidecar(t, workspace, cli);
  await writeFile(join(directory, 'run/pgpass'), 'broken');
  const sidecar = await (await startSidecar(t, { workspace, directory, cli })).ready();
  const token = workspace.minted[0]!.token;
  assert.equal(await sidecar.read('pgpass'), `localhost:5432:*:${workspace.clientId}:${token}\n`);
  assert.equal(workspace.minted.length, 1);
});

testWithEachCli('a credential of another endpoint is not adopted but replaced', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await killedSidecar(t, workspace, cli);
  const endpoint = 'projects/backstage/branches/staging/endpoints/primary';
  const config = { credentials: [credential(directory, { endpoint })] };
  const sidecar = await (await startSidecar(t, { workspace, directory, cli, config })).ready();
  assert.equal(workspace.minted.length, 2);
  assert.equal(workspace.minted[1]?.resource, endpoint);
  assert.equal(await sidecar.read('token'), workspace.minted[1].token);
  assert.equal((await sidecar.metrics()).get('adoptions_total'), 0);
});

testWithEachCli('a credential of another client id is not adopted', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await killedSidecar(t, workspace, cli);
  const env = { DATABRICKS_CLIENT_ID: '11111111-2222-4333-8444-555555555555' };
  const sidecar = await startSidecar(t, { workspace, directory, cli, env });
  const { err } = await sidecar.logged('mint failed');
  assert.equal((err as { failure: string }).failure, 'auth');
  assert.equal((await sidecar.get('/readyz')).status, 503, 'the token of another identity counts as ours');
  assert.equal((await sidecar.metrics()).get('adoptions_total'), 0);
});

testWithEachCli('an expired credential is not adopted', async (t, cli) => {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: 3_000 });
  // Refreshed until it is seen to be ready: a busy machine may come to look when the first one has expired.
  const refresh = { floor: '1s', at: 0.3, jitter: 0 };
  const directory = await killedSidecar(t, workspace, cli, { refresh });
  const { expiresAt } = workspace.minted.at(-1)!;
  workspace.tokenLifetimeMs = undefined;
  await eventually('the token has expired', () => Date.now() > expiresAt + 100);
  const sidecar = await (await startSidecar(t, { workspace, directory, cli })).ready();
  assert.equal((await sidecar.metrics()).get('adoptions_total'), 0);
  assert.equal(await sidecar.read('token'), workspace.minted.at(-1)?.token);
});

test(
  'a token of no known shape that is adopted does not show where the CLI mentions it',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const token = 'an-opaque-token-of-no-known-shape';
    const directory = await temporaryDirectory(t);
    const minted = join(directory, 'minted');
    const expiresAt = new Date(Date.now() + 20_000).toISOString();
    const cli = await scriptedCli(
      t,
      `if [ -e '${minted}' ]; then echo "Error: ${token} is still good" >&2; exit 1; fi
     touch '${minted}'; echo '{"token": "${token}", "expire_time": "${expiresAt}"}'`,
    );
    const config = { refresh: { floor: '0s', at: 0.1, jitter: 0 } };
    await (await (await startSidecar(t, { workspace, cli, directory })).ready()).stop();
    const sidecar = await startSidecar(t, { workspace, cli, directory, config });
    await sidecar.logged('adopted');
    const failed = await sidecar.logged('mint failed');
    assert.match(JSON.stringify(failed), /Error: \[secret\] is still good/);
    assert.ok(!sidecar.stdout.includes(token));
  },
);
