import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { standInCli, type Cli } from '../support/clis.ts';
import { credential, ENDPOINT, type SetupOptions } from '../support/sidecar-setup.ts';
import { scriptedCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory, type Cleanup } from '../support/cleanup.ts';
import { runCommand, startSidecar } from '../support/sidecar.ts';
import type { Workspace } from '../support/workspace.ts';

const ESCAPE = '\u{1b}';
const GREEN = `${ESCAPE}[32m`;

testWithEachCli('check says of a healthy set-up what it found, ends with 0, and writes nothing', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const { code, stdout, stderr, directory } = await runCommand(t, 'check', { workspace, cli });
  assert.equal(code, 0, stdout);
  assert.equal(stderr, '');
  assert.ok(!stdout.includes(ESCAPE), 'colours in a pipe');
  const lines = stdout.trimEnd().split('\n');
  const expected = [
    /^✓ ok {3}configuration: \/.*config\.yaml: backstage$/,
    /^✓ ok {3}identity: client \S+ with a secret from a variable, at http:\/\/127\.0\.0\.1:\d+$/,
    /^✓ ok {3}cli: \/.+ \d+\.\d+\.\d+$/,
    /^✓ ok {3}backstage mint: a token that is valid for 1h, discarded$/,
    /^✓ ok {3}backstage file:\/.*\/run\/pgpass: .*\/run does not exist yet and can be created in \/.*$/,
    /^✓ ok {3}backstage file:\/.*\/run\/token: .*\/run does not exist yet/,
    /^all 6 checks passed$/,
  ];
  assert.equal(lines.length, expected.length, stdout);
  for (const [i, pattern] of expected.entries()) assert.match(lines[i]!, pattern);
  assert.deepEqual((await readdir(directory)).toSorted(), ['config.yaml', 'tmp']);
  assert.deepEqual(await readdir(join(directory, 'tmp')), []);
  for (const { token } of workspace.minted) assert.ok(!stdout.includes(token));
});

test('check uses colour where it is asked for, and none where it is refused', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const cli = await scriptedCli(t, 'exit 1'); // what there is to colour takes no mint
  const variables = [{ FORCE_COLOR: '1' }, { NO_COLOR: '1' }];
  const checks = variables.map(async (env) => await runCommand(t, 'check', { workspace, cli, env }));
  const [coloured, plain] = await Promise.all(checks);
  assert.ok(coloured!.stdout.includes(`${GREEN}✓ ok`), coloured!.stdout);
  assert.ok(!plain!.stdout.includes(ESCAPE), plain!.stdout);
});

/** Gives what the trouble needs; where it returns nothing, the workspace itself is in trouble. */
type Trouble = (workspace: Workspace, t: Cleanup) => SetupOptions | void | Promise<SetupOptions | void>;

interface Case {
  readonly trouble: string;
  readonly provoke: Trouble;
  readonly line: RegExp;
  readonly remedy: RegExp;
}

/** With workload identity, the token in a file of its own. */
async function withOidc(workspace: Workspace, t: Cleanup, token: string | undefined): Promise<SetupOptions> {
  const tokenFile = join(await temporaryDirectory(t), 'token');
  if (token !== undefined) await writeFile(tokenFile, token);
  return {
    env: {
      DATABRICKS_CLIENT_ID: workspace.clientId,
      DATABRICKS_CLIENT_SECRET: undefined,
      DATABRICKS_OIDC_TOKEN_FILEPATH: tokenFile,
    },
  };
}

async function withProfile(t: Cleanup, profiles: string | undefined): Promise<SetupOptions> {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'databrickscfg');
  if (profiles !== undefined) await writeFile(file, profiles);
  return {
    directory,
    config: { credentials: [credential(directory, { connection: { host: 'localhost', user: 'app' } })] },
    env: {
      DATABRICKS_HOST: undefined,
      DATABRICKS_CLIENT_ID: undefined,
      DATABRICKS_CLIENT_SECRET: undefined,
      DATABRICKS_CONFIG_FILE: file,
      DATABRICKS_CONFIG_PROFILE: 'sp',
    },
  };
}

function forEndpoint(project: string): Trouble {
  return async (_, t) => {
    const directory = await temporaryDirectory(t);
    const endpoint = `projects/${project}/branches/production/endpoints/primary`;
    return { directory, config: { credentials: [credential(directory, { endpoint })] } };
  };
}

const CASES: readonly Case[] = [
  {
    trouble: 'a wrong client secret',
    provoke: () => ({ env: { DATABRICKS_CLIENT_SECRET: 'dose00000000000000000000000000000000' } }),
    line: /mint: the workspace refused the client id or its secret \(auth\)/,
    remedy: /create a new OAuth secret/,
  },
  {
    trouble: 'a newline at the end of the OIDC token',
    provoke: async (workspace, t) => await withOidc(workspace, t, `${await workspace.serviceAccountToken()}\n`),
    line: /mint: the workspace cannot read the OIDC token \(auth\)/,
    remedy: /remove the trailing newline/,
  },
  {
    trouble: 'an expired OIDC token',
    provoke: async (workspace, t) =>
      await withOidc(workspace, t, await workspace.serviceAccountToken({ lifetimeMs: -60_000 })),
    line: /mint: the OIDC token has expired \(auth\)/,
    remedy: /find out why the file .* is not renewed/,
  },
  {
    trouble: 'an OIDC token file that does not exist',
    provoke: async (workspace, t) => await withOidc(workspace, t, undefined),
    line: /mint: the OIDC token file does not exist \(auth\)/,
    remedy: /mount the projected service-account token/,
  },
  {
    trouble: 'a pipe as the OIDC token file',
    provoke: async (workspace, t) => {
      const options = await withOidc(workspace, t, undefined);
      execFileSync('mkfifo', [options.env!['DATABRICKS_OIDC_TOKEN_FILEPATH']!]);
      return options;
    },
    line: /mint: \/.*\/token is a pipe or a device, not a file \(auth\)/,
    remedy: /to the path of a regular file/,
  },
  {
    trouble: 'no federation policy for the OIDC token',
    provoke: async (workspace, t) =>
      await withOidc(workspace, t, await workspace.serviceAccountToken({ issuer: 'https://other.example' })),
    line: /mint: the workspace refused the OIDC token \(auth\)/,
    remedy: /check DATABRICKS_CLIENT_ID, and .*federation policy with this token’s issuer, subject and audience/,
  },
  {
    trouble: 'a profile that cannot log in',
    provoke: async ({ url, clientId }, t) =>
      await withProfile(t, `[sp]\nhost = ${url}\nclient_id = ${clientId}\nclient_secret = revoked\n`),
    line: /mint: the CLI found no identity to log in with, or none that works \(auth\)/,
    remedy: /auth_type = oauth-m2m into the profile, so that the CLI says why it cannot log in/,
  },
  {
    trouble: 'a profile in a file that does not exist',
    provoke: async (_, t) => await withProfile(t, undefined),
    line: /mint: the file of the profile, \/.*\/databrickscfg, does not exist \(auth\)/,
    remedy: /set DATABRICKS_CONFIG_FILE to the path of the file that contains the profile/,
  },
  {
    trouble: 'no permission',
    provoke: forEndpoint('forbidden'),
    line: /mint: the service principal may not use this endpoint or instance \(permission\)/,
    remedy: /CAN USE/,
  },
  {
    trouble: 'an endpoint that does not exist',
    provoke: forEndpoint('missing'),
    line: /mint: there is no such endpoint or instance \(not_found\)/,
    remedy: /list-endpoints/,
  },
  {
    trouble: 'a workspace that throttles',
    provoke: (workspace) => workspace.fail('credential', { status: 429 }),
    line: /mint: the CLI did not finish within 4 s: the workspace did not answer, refused connections or throttled, .* \(timeout\)/,
    remedy: /throttles \(429\)/,
  },
  {
    trouble: 'a workspace that is down',
    provoke: (workspace) => workspace.outage(),
    line: /mint: the CLI did not finish within 4 s: the workspace did not answer, refused connections/,
    remedy: /check that the workspace answers from this network/,
  },
  {
    trouble: 'a workspace whose name does not resolve',
    provoke: () => ({ env: { DATABRICKS_HOST: 'https://workspace.invalid' } }),
    line: /mint: the name of the workspace does not resolve \(network\)/,
    remedy: /check DATABRICKS_HOST and the name resolution/,
  },
];

/** Shorter than the retries of the CLI, longer than the longest of its starts. */
function impatient(options: SetupOptions, cli: Cli): SetupOptions {
  const config = typeof options.config === 'object' ? options.config : {};
  return { ...options, config: { ...config, minter: { cli: { command: cli.path, timeout: '4s' } } } };
}

for (const { trouble, provoke, line, remedy } of CASES) {
  testWithEachCli(`check finds ${trouble}, says what to do, and ends with 69`, async (t, cli) => {
    const workspace = await workspaceFor(t);
    const options = (await provoke(workspace, t)) ?? {};
    const { code, stdout, stderr } = await runCommand(t, 'check', impatient({ workspace, ...options }, cli));
    assert.equal(code, 69, stdout);
    assert.equal(stderr, '');
    const lines = stdout.split('\n');
    const at = lines.findIndex((text) => text.startsWith('✗ fail'));
    assert.match(lines[at]!, line);
    assert.match(lines[at + 1]!, /^ {7}→ [a-z]/);
    assert.match(lines[at + 1]!, remedy);
    assert.match(stdout, /^1 of 6 checks failed$/m);
    assert.ok(!stdout.includes(workspace.clientSecret));
  });
}

test('check says as whom it asks, and where it has that and the rest from', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const cli = await scriptedCli(t, 'exit 1'); // nobody is asked
  const identityOf = async (options: SetupOptions): Promise<string | undefined> => {
    const { stdout } = await runCommand(t, 'check', { workspace, cli, ...options });
    return /^✓ ok {3}identity: (.*)$/m.exec(stdout)?.[1];
  };
  const file = join(await temporaryDirectory(t), 'secret');
  const inFile = { DATABRICKS_CLIENT_SECRET: undefined, DATABRICKS_CLIENT_SECRET_FILE: file };
  const { clientId, url } = workspace;
  assert.equal(await identityOf({ env: inFile }), `client ${clientId} with a secret in ${file}, at ${url}`);
  const { env = {}, ...profile } = await withProfile(t, ''); // which says for whom the token is, too
  const pat = {
    DATABRICKS_CLIENT_ID: undefined,
    DATABRICKS_CLIENT_SECRET: undefined,
    DATABRICKS_AUTH_TYPE: 'pat',
    DATABRICKS_TOKEN: 'dapi-of-somebody',
  };
  assert.equal(await identityOf({ ...profile, env: pat }), `a personal access token, at ${url}`);
  const shared = { ...pat, DATABRICKS_WORKSPACE_ID: '42' };
  assert.equal(await identityOf({ ...profile, env: shared }), `a personal access token, at ${url}/?o=42`);
  const ofProfile = `profile sp of ${env['DATABRICKS_CONFIG_FILE']}`;
  assert.equal(await identityOf({ ...profile, env }), ofProfile);
  const numbered = { ...env, DATABRICKS_WORKSPACE_ID: '42' };
  assert.equal(await identityOf({ ...profile, env: numbered }), `${ofProfile}, at the workspace 42`);
  const atHost = { ...numbered, DATABRICKS_HOST: url };
  assert.equal(await identityOf({ ...profile, env: atHost }), `${ofProfile}, at ${url}/?o=42`);
  const { stdout } = await runCommand(t, 'check', {
    workspace,
    config: null,
    env: { LAKEBASE_ENDPOINT: ENDPOINT, PGHOST: 'localhost', LAKEBASE_CREDENTIAL_DIR: dirname(file) },
  });
  assert.match(stdout, /^✓ ok {3}configuration: from the environment: lakebase$/m);
});

test('check shows what a federation policy has to name', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const token = await workspace.serviceAccountToken({ issuer: 'https://other.example', audience: 'lakebase' });
  const { stdout } = await runCommand(t, 'check', { workspace, ...(await withOidc(workspace, t, token)) });
  const policy =
    /issuer https:\/\/other\.example, subject system:serviceaccount:backstage:backstage, audience lakebase/;
  assert.match(stdout, new RegExp(`identity: workload identity of .* \\(${policy.source}\\), at http`));
  const wanted =
    /the CLI said: .*TOKEN_INVALID .*\{issuer: 'https:\/\/other\.example', subject: '.*', audience: 'lakebase'\}/;
  assert.match(stdout, wanted, 'what Databricks itself says of that');
  assert.ok(!token.split('.').some((part) => stdout.includes(part)));
});

test('check finds a CLI that is too old for a ttl', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const old = await standInCli(t, { version: '1.6.0' });
  const directory = await temporaryDirectory(t);
  const config = { credentials: [credential(directory, { ttl: '15m' })] };
  const { code, stdout } = await runCommand(t, 'check', { workspace, cli: old, directory, config });
  assert.equal(code, 69);
  assert.match(
    stdout,
    /✗ fail cli: \/.+: Databricks CLI 1\.6\.0 is too old: 1\.7\.0 or newer is needed for a ttl\n {7}→ install a newer/,
  );
  assert.equal(workspace.requests.length, 0);
});

test('check finds a CLI that is missing, and still looks at the sinks', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const { code, stdout } = await runCommand(t, 'check', { workspace, cli: '/nonexistent/databricks' });
  assert.equal(code, 69);
  assert.match(
    stdout,
    /✗ fail cli: the Databricks CLI "\/nonexistent\/databricks" is missing.*\n {7}→ install the Databricks CLI/,
  );
  assert.match(stdout, /✓ ok {3}backstage file:/);
  assert.doesNotMatch(stdout, /backstage mint:/, 'the same is said twice');
});

test(
  'check finds every sink that cannot be written, and says what to do about each',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'file'), '');
    await symlink('file', join(directory, 'link'));
    const sinks = ['file/token', 'link'].map((name) => ({ file: { path: `${directory}/${name}`, format: 'token' } }));
    const config = { credentials: [credential(directory, { sinks })] };
    const { code, stdout } = await runCommand(t, 'check', { workspace, directory, config });
    assert.equal(code, 69);
    assert.match(stdout, /✗ fail backstage file:.+\/file\/token: cannot write .*\n {7}→ remove the file that is where/);
    assert.match(
      stdout,
      /✗ fail backstage file:.+\/link: .* is a symbolic link.*\n {7}→ configure the path that the link points to/,
    );
    assert.match(stdout, /^2 of 6 checks failed$/m);
  },
);

test(
  'check finds two paths that lead to one file, also one that is still to be made',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    await symlink('.', join(directory, 'link'));
    const sinksIn = (place: string) => [
      { file: { path: `${directory}/${place}token`, format: 'token' } },
      { file: { path: `${directory}/${place}run/token`, format: 'token' } },
    ];
    const credentials = [
      credential(directory, { sinks: sinksIn('') }),
      credential(directory, { name: 'other', endpoint: `${ENDPOINT}2`, sinks: sinksIn('link/') }),
    ];
    const { code, stdout } = await runCommand(t, 'check', { workspace, directory, config: { credentials } });
    assert.equal(code, 69);
    for (const name of ['token', 'run/token']) {
      const line = `✗ fail other file:${directory}/link/${name}: is the same file as ${directory}/${name}: `;
      assert.ok(stdout.includes(line), stdout);
    }
    assert.match(stdout, /^2 of 11 checks failed$/m);
  },
);

test('check lists every problem of a bad configuration', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const { code, stdout } = await runCommand(t, 'check', { workspace, config: { refresh: { at: 2 }, unknown: 1 } });
  assert.equal(code, 69);
  assert.match(stdout, /✗ fail configuration: refresh\.at: /);
  assert.match(stdout, /✗ fail configuration: unknown: /);
  assert.match(stdout, /2 of 2 checks failed/);
});

test('check, once and run name a variable that may be misspelled', { timeout: 30_000 }, async (t) => {
  const setup = { workspace: await workspaceFor(t), env: { LAKEBASE_CREDENTIAL_LEVEL: 'debug' } };
  const { code, stdout } = await runCommand(t, 'check', setup);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /configuration: .*: backstage; unknown variables ignored: LAKEBASE_CREDENTIAL_LEVEL$/m);
  const isSaid = /"variables":\["LAKEBASE_CREDENTIAL_LEVEL"\],"msg":"unknown LAKEBASE_ variables ignored"/;
  assert.match((await runCommand(t, 'once', setup)).stdout, isSaid);
  const sidecar = await startSidecar(t, setup);
  await sidecar.logged('unknown LAKEBASE_ variables ignored');
});

test(
  'check and run warn of a workspace that is asked without TLS beyond this machine',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const cli = await scriptedCli(t, 'exit 1'); // nothing goes anywhere
    const env = { DATABRICKS_HOST: 'http://workspace.invalid' };
    const { stdout } = await runCommand(t, 'check', { workspace, cli, env });
    assert.match(stdout, /identity: .*, at http:\/\/workspace\.invalid; sent without TLS: use https:\/\/, unless /);
    const sidecar = await startSidecar(t, { workspace, cli, env });
    const { level, host } = await sidecar.logged('workspace address uses http://: requests are sent without TLS');
    assert.deepEqual({ level, host }, { level: 'warn', host: 'http://workspace.invalid' });
  },
);
