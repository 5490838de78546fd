import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { clis } from '../support/clis.ts';
import { shellWord } from '../../src/sinks/render.ts';
import { credential, ENDPOINT, type SetupOptions } from '../support/sidecar-setup.ts';
import { recordingCli, scriptedCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory, type Cleanup } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';
import type { Workspace } from '../support/workspace.ts';

const PERSONAL_TOKEN = 'dapi0123456789abcdef0123456789abcdef';
/** What lies about in a pod, and what only a debugger sets. */
const DECOYS = {
  DATABRICKS_DEBUG_HEADERS: 'true',
  DATABRICKS_LOG_LEVEL: 'trace',
  DATABRICKS_BUNDLE_ROOT: '/tmp',
  KUBERNETES_SERVICE_HOST: '10.0.0.1',
  NODE_EXTRA_CA_CERTS: '/nonexistent',
  APP_SECRET: 'of somebody else',
  PGPASSWORD: 'static',
  HOME: '/root',
  LC_ALL: 'C',
};
/** For every identity. */
const ALWAYS = ['PATH', 'NO_PROXY', 'HOME', 'DATABRICKS_CACHE_DIR', 'DATABRICKS_CONFIG_FILE'];

interface IdentityCase {
  readonly identity: string;
  readonly prepare: (workspace: Workspace, t: Cleanup) => SetupOptions['env'] | Promise<SetupOptions['env']>;
  /** Which variables the CLI gets besides. */
  readonly expected: readonly string[];
}

const none = { DATABRICKS_CLIENT_ID: undefined, DATABRICKS_CLIENT_SECRET: undefined };

const IDENTITIES: readonly IdentityCase[] = [
  {
    identity: 'a client secret',
    prepare: () => ({ DATABRICKS_TOKEN: PERSONAL_TOKEN }),
    expected: ['DATABRICKS_HOST', 'DATABRICKS_AUTH_TYPE', 'DATABRICKS_CLIENT_ID', 'DATABRICKS_CLIENT_SECRET'],
  },
  {
    identity: 'workload identity',
    prepare: async (workspace, t) => {
      const file = join(await temporaryDirectory(t), 'token');
      await writeFile(file, await workspace.serviceAccountToken());
      return {
        DATABRICKS_TOKEN: PERSONAL_TOKEN,
        DATABRICKS_CLIENT_SECRET: undefined,
        DATABRICKS_OIDC_TOKEN_FILEPATH: file,
      };
    },
    expected: ['DATABRICKS_HOST', 'DATABRICKS_AUTH_TYPE', 'DATABRICKS_CLIENT_ID', 'DATABRICKS_OIDC_TOKEN_FILEPATH'],
  },
  {
    identity: 'a profile',
    prepare: async ({ url, clientId, clientSecret }, t) => {
      const file = join(await temporaryDirectory(t), 'config');
      await writeFile(file, `[mine]\nhost = ${url}\nclient_id = ${clientId}\nclient_secret = ${clientSecret}\n`);
      return {
        ...none,
        DATABRICKS_TOKEN: PERSONAL_TOKEN,
        DATABRICKS_HOST: undefined,
        DATABRICKS_CONFIG_FILE: file,
        DATABRICKS_CONFIG_PROFILE: 'mine',
      };
    },
    expected: ['DATABRICKS_CONFIG_PROFILE'],
  },
  {
    identity: 'a personal access token that was asked for',
    prepare: () => ({ ...none, DATABRICKS_TOKEN: PERSONAL_TOKEN, DATABRICKS_AUTH_TYPE: 'pat' }),
    expected: ['DATABRICKS_HOST', 'DATABRICKS_AUTH_TYPE', 'DATABRICKS_TOKEN'],
  },
];

for (const { identity, prepare, expected } of IDENTITIES) {
  testWithEachCli(
    `with ${identity} the CLI gets the variables it needs and no others, in a private home, and no secret by its arguments`,
    async (t, cli) => {
      const workspace = await workspaceFor(t, { personalAccessToken: PERSONAL_TOKEN });
      const recording = await recordingCli(t, cli);
      const env = { ...DECOYS, NO_PROXY: 'localhost', ...(await prepare(workspace, t)) };
      const directory = await temporaryDirectory(t);
      const connection = { host: 'localhost', user: 'app' };
      const config = { credentials: [credential(directory, { connection })] };
      const sidecar = await startSidecar(t, { workspace, cli: recording.path, env, directory, config });
      await sidecar.ready();
      const runs = await recording.runs();
      const [mint, ...others] = runs.filter(({ argv }) => argv.includes('generate-database-credential'));
      assert.equal(others.length, 0);
      assert.deepEqual(mint?.argv.slice(-5), ['postgres', 'generate-database-credential', ENDPOINT, '-o', 'json']);
      assert.deepEqual(Object.keys(mint.env).toSorted(), [...ALWAYS, ...expected].toSorted());
      assert.equal(mint.cwd, '/');
      assert.equal(mint.homeMode, '700');
      assert.equal(mint.homesMode, '700');
      assert.ok(mint.env['HOME']!.startsWith(join(directory, 'tmp/')), 'the home is not a temporary one');
      const version = await eventually('it asks for the version', async () =>
        (await recording.runs()).find(({ argv }) => argv.includes('version')),
      );
      assert.deepEqual(Object.keys(version.env).toSorted(), ['NO_PROXY', 'PATH']);
      assert.equal(version.cwd, '/');
    },
  );
}

test('where no private home can be made the CLI works without one', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const sidecar = await startSidecar(t, { workspace, env: { TMPDIR: '/dev/null' } });
  await sidecar.ready();
  assert.equal(workspace.minted.length, 1);
});

test('what the CLI prints is nowhere, whatever Node.js is asked to tell of itself', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const sidecar = await startSidecar(t, { workspace, env: { NODE_DEBUG: 'execa' } });
  await sidecar.ready();
  const { token } = workspace.minted[0]!;
  for (const said of [sidecar.stdout, sidecar.stderr]) assert.ok(!said.includes(token));
});

test(
  'no more CLIs run at once than the configuration allows, and no two of them share a home',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const log = join(directory, 'log');

    const path = await scriptedCli(
      t,
      `echo "+$HOME" >> '${log}'; ${shellWord(clis[0]!.path)} "$@"; code=$?; echo "-$HOME" >> '${log}'; exit $code`,
    );
    workspace.latencyMs = 50;
    const credentials = Array.from({ length: 8 }, (_, i) => {
      const sinks = [{ file: { path: `${directory}/run/${i}`, format: 'token' } }];
      return credential(directory, { name: `number-${i}`, sinks });
    });
    const config = { credentials, minter: { cli: { command: path, concurrency: 3 } } };
    const sidecar = await startSidecar(t, { workspace, directory, config });
    await sidecar.ready(30_000);
    await eventually('all have ended', async () => (await readFile(log, 'utf8')).trim().split('\n').length === 16);
    const running = new Set<string>();
    let most = 0;
    for (const event of (await readFile(log, 'utf8')).trim().split('\n')) {
      const home = event.slice(1);
      if (event.startsWith('+')) assert.ok(!running.has(home), 'two share a home');
      if (event.startsWith('+')) running.add(home);
      else running.delete(home);
      most = Math.max(most, running.size);
    }
    assert.equal(workspace.minted.length, 8);
    assert.ok(most >= 2 && most <= 3, `${most} at once`);
  },
);
