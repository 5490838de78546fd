import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import {
  fill,
  normalise,
  normaliseRecorded,
  normaliseRequest,
  readTranscripts,
  type Transcript,
} from './support/cli-transcripts.ts';
import { clis, NO_REAL_CLI, standInCli } from './support/clis.ts';
import { workspaceFor } from './support/sidecar-clis.ts';
import { temporaryDirectory } from './support/cleanup.ts';
import type { Fault, Route } from './support/workspace-faults.ts';
import type { Workspace } from './support/workspace.ts';
import { ENDPOINT } from './support/sidecar-setup.ts';

const MINT = ['postgres', 'generate-database-credential', ENDPOINT, '-o', 'json'];

/** What the workspace did wrong while the real CLI was recorded. */
const FAULTS: Readonly<Record<string, readonly [Route, Fault]>> = {
  'HTTP 400 on minting': ['credential', { status: 400, body: { message: 'endpoint name is malformed' } }],
  'HTTP 401 on minting': ['credential', { status: 401, body: { message: 'token is revoked' } }],
  'HTTP 500 on minting': ['credential', { status: 500, body: { message: 'something went wrong' } }],
  'HTTP 502 HTML page on minting': ['credential', { status: 502, body: '<html><body>Bad Gateway</body></html>' }],
  'HTTP 200 HTML page on minting': ['credential', 'html'],
  'empty object answered': ['credential', 'empty-object'],
  'broken JSON answered': ['credential', 'broken-json'],
  'token without expire_time': ['credential', { status: 200, body: { token: 'abc.def.ghi' } }],
  'unknown fields in the answer': [
    'credential',
    { status: 200, body: { token: 'abc.def.ghi', expire_time: '2030-01-01T00:00:00Z', group_name: 'x', more: [1] } },
  ],
  'HTTP 403 at the token endpoint': [
    'token',
    { status: 403, body: { error: 'access_denied', error_description: 'IP address is not allowed' } },
  ],
  'HTTP 500 at the token endpoint': ['token', { status: 500, body: { message: 'oops' } }],
  'HTTP 429 on minting, ended by SIGTERM after 6 s': ['credential', { status: 429 }],
  'HTTP 503 on minting, ended by SIGTERM after 6 s': ['credential', { status: 503 }],
  'no answer on minting, ended by SIGTERM after 3 s': ['credential', 'hang'],
  'connection reset on minting, ended by SIGTERM after 6 s': ['credential', 'close'],
};

interface Outcome {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  path: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  signal = AbortSignal.timeout(60_000),
): Promise<Outcome> {
  const child = spawn(path, argv, { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  signal.addEventListener('abort', () => child.kill('SIGTERM'));
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  const [[exitCode, endedBy], stdout, stderr] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { exitCode, signal: endedBy, stdout, stderr };
}

async function scene(t: TestContext): Promise<{ workspace: Workspace; directory: string; env: NodeJS.ProcessEnv }> {
  const workspace = await workspaceFor(t, { personalAccessToken: 'pat-canary' });
  const directory = await temporaryDirectory(t);
  const home = join(directory, 'home');
  await mkdir(home);
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_AUTH_TYPE: 'oauth-m2m',
    DATABRICKS_CLIENT_ID: workspace.clientId,
    DATABRICKS_CLIENT_SECRET: workspace.clientSecret,
  };
  return { workspace, directory, env };
}

async function writeIdentityFiles(directory: string, workspace: Workspace): Promise<void> {
  const { url, clientId, clientSecret } = workspace;
  const token = await workspace.serviceAccountToken();
  const expired = await workspace.serviceAccountToken({ issuedAt: Date.now() - 7_200_000 });
  await writeFile(join(directory, 'oidc'), token);
  await writeFile(join(directory, 'oidc-nl'), `${token}\n`);
  await writeFile(join(directory, 'oidc-expired'), expired);
  const profile = `[sp]\nhost = ${url}\nclient_id = ${clientId}\nclient_secret = ${clientSecret}\n`;
  await writeFile(join(directory, 'cfg'), profile);
}

/** A build of one's own and a release tell different things about themselves. */
function withoutBuild(stdout: string): string {
  return Object.keys(JSON.parse(stdout) as object).join(' ');
}

async function replay(t: TestContext, cliPath: string, transcript: Transcript): Promise<void> {
  const { workspace, directory, env: defaults } = await scene(t);
  await writeIdentityFiles(directory, workspace);
  const fault = FAULTS[transcript.name];
  if (fault !== undefined) workspace.fail(...fault);

  const places = {
    '{host}': workspace.url,
    '{tmp}': directory,
    '{cli}': cliPath,
    '{client-id}': workspace.clientId,
    '{client-secret}': workspace.clientSecret,
  };
  const env: NodeJS.ProcessEnv = { PATH: defaults['PATH'], HOME: defaults['HOME'] };
  for (const [name, value] of Object.entries(transcript.env)) if (value !== '(unset)') env[name] = fill(value, places);
  if (transcript.name === 'HOME cannot be written') env['HOME'] = join(directory, 'cfg', 'below-a-file');
  const outcome = await run(cliPath, transcript.argv, env, endingOf(transcript, workspace));
  const isVersion = transcript.argv[0] === 'version';
  assert.deepEqual(
    {
      exitCode: outcome.exitCode,
      signal: outcome.signal,
      stdout: isVersion ? withoutBuild(outcome.stdout) : normalise(outcome.stdout, places),
      stderr: normalise(outcome.stderr, places),
      requests: workspace.requests.map((request) => normaliseRequest(request, places)),
    },
    {
      exitCode: transcript.exitCode,
      signal: transcript.signal,
      stdout: isVersion ? withoutBuild(transcript.stdout) : transcript.stdout,
      stderr: normalise(transcript.stderr),
      requests: transcript.requests.map(normaliseRecorded),
    },
  );
}

/**
 * When the recorded one was ended, told by its requests: a busy machine may be slow to start this one. The next would
 * come three seconds after the last, or never.
 */
function endingOf(transcript: Transcript, workspace: Workspace): AbortSignal | undefined {
  const endAfterMs = endOf(transcript);
  if (endAfterMs === 0) return undefined;
  const count = transcript.requests.length;
  if (count === 0) return AbortSignal.timeout(endAfterMs);
  const ending = new AbortController();
  const endAfterTheLast = async (): Promise<void> => {
    while (workspace.requests.length < count) await workspace.nextRequest();
    setTimeout(() => ending.abort(), 1_500);
  };
  void endAfterTheLast();
  return ending.signal;
}

function endOf({ name }: Transcript): number {
  return Number(/SIGTERM after (\d+) s/.exec(name)?.[1] ?? 0) * 1000;
}

for (const cli of clis) {
  describe(`${cli.name} does what was recorded`, { concurrency: 6 }, () => {
    // The long ones first, so that the others run meanwhile.
    for (const transcript of readTranscripts().toSorted((left, right) => endOf(right) - endOf(left))) {
      test(`in the situation: ${transcript.name}`, async (t) => {
        await replay(t, await realpath(cli.path), transcript);
      });
    }
  });

  describe(cli.name, { concurrency: 4 }, () => {
    test('asks for the host metadata once while its cache directory keeps them', async (t) => {
      const { workspace, directory, env } = await scene(t);
      const cached = { ...env, DATABRICKS_CACHE_DIR: join(directory, 'cache') };
      for (let runs = 0; runs < 2; runs += 1) assert.equal((await run(cli.path, MINT, cached)).exitCode, 0);
      const paths = workspace.requests.map(({ path }) => path);
      assert.equal(paths.filter((path) => path === '/.well-known/databricks-config').length, 1);
      assert.equal(paths.length, 7);
    });

    test('says once a minute that the host metadata are missing, and mints without them', async (t) => {
      const { workspace, env } = await scene(t);
      workspace.fail('metadata', { status: 404 });
      const first = await run(cli.path, MINT, env);
      const second = await run(cli.path, MINT, env);
      assert.match(first.stderr, /^Warn: \[hostmetadata\] failed to fetch host metadata for .*, will skip for 1m0s\n$/);
      assert.deepEqual([first.exitCode, second.exitCode, second.stderr], [0, 0, '']);
    });

    // What becomes of a status is in config/azure.go (tokenError) and config/experimental/auth/retry.go of
    // databricks-sdk-go v0.175.0, the words of throttling in its config/config.go, those of 503 in its issue 1072.
    test('takes 503 from who issues tokens as the last word, and asks again only where that is said to throttle', async (t) => {
      const { workspace, env } = await scene(t);
      const message = 'The service at /oidc/v1/token is temporarily unavailable. Please try again later.';
      workspace.fail('token', { status: 503, body: { message, error_code: 'TEMPORARILY_UNAVAILABLE' } });
      const out = await run(cli.path, MINT, env);
      assert.match(out.stderr, /^Error: error getting token: Post "\S+\/oidc\/v1\/token": {"message":"The service at /);
      assert.equal(workspace.requests.filter(({ path }) => path === '/oidc/v1/token').length, 1);
      await workspace.recover();
      workspace.fail('token', { status: 429, body: { error: 'invalid_request', error_description: 'Not now' } }, 1);
      assert.match((await run(cli.path, MINT, env)).stderr, /Not now/);
      const error_description = 'Temporarily throttled, too many requests';
      workspace.fail('token', { status: 429, body: { error: 'invalid_request', error_description } }, 1);
      assert.deepEqual([(await run(cli.path, MINT, env)).stderr, workspace.minted.length], ['', 1]);
    });

    test('keeps to itself that the file of a profile is missing', async (t) => {
      const { directory, env } = await scene(t);
      const files = { DATABRICKS_CONFIG_FILE: join(directory, 'away'), DATABRICKS_CONFIG_PROFILE: 'sp' };
      const { stderr } = await run(cli.path, MINT, { PATH: env['PATH'], HOME: env['HOME'], ...files });
      assert.match(stderr, /^Error: default auth: cannot configure default credentials, .*profile=sp, config_file=/);
    });

    test('keeps to itself why it cannot log in by a profile, unless that has an auth_type', async (t) => {
      const { workspace, directory, env } = await scene(t);
      const profile = `[sp]\nhost = ${workspace.url}\nclient_id = ${workspace.clientId}\nclient_secret = wrong\n`;
      const files = { DATABRICKS_CONFIG_FILE: join(directory, 'cfg'), DATABRICKS_CONFIG_PROFILE: 'sp' };
      for (const [line, stderr] of [
        ['', /^Error: default auth: cannot configure default credentials, .*profile=sp/],
        ['auth_type = oauth-m2m\n', /^Error: error getting token: Post .*"invalid_client"/],
        ['auth_type = file-oidc\n', /^Error: file-oidc auth: missing path\. Config: host=.*, profile=sp/],
        [
          'auth_type = oauth-m2m\nclient_id =\n',
          /^Error: oauth-m2m auth: not configured\. Config: host=.*, profile=sp/,
        ],
        ['auth_type = oauth-m2n\n', /^Error: default auth: auth type "oauth-m2n" not found, please check /],
        ['auth_type = databricks-cli\n', /^Error: error getting token: cache: no cached credentials; run /],
      ] as const) {
        await writeFile(files.DATABRICKS_CONFIG_FILE, profile + line);
        const outcome = await run(cli.path, MINT, { PATH: env['PATH'], HOME: env['HOME'], ...files });
        assert.match(outcome.stderr, stderr);
        assert.equal(outcome.exitCode, 1);
      }
    });
  });
}

if (!clis.some(({ isReal }) => isReal)) {
  test('the real CLI does what was recorded', { skip: NO_REAL_CLI });
}

describe('a stand-in CLI made to order', () => {
  const versions = [
    { version: '0.284.0', argv: MINT, stderr: /^Error: unknown command "postgres" for "databricks"\n$/ },
    { version: '1.6.0', argv: [...MINT, '--ttl', '900s'], stderr: /^Error: unknown flag: --ttl\n\nUsage:/ },
    { version: '1.7.0', argv: [...MINT, '--ttl', '900s'], stderr: /^$/ },
  ];
  for (const { version, argv, stderr } of versions) {
    test(`knows what version ${version} knows`, async (t) => {
      const { env } = await scene(t);
      const cli = await standInCli(t, { version });
      const shown = await run(cli, ['version', '-o', 'json'], env);
      assert.equal((JSON.parse(shown.stdout) as { Version: string }).Version, version);
      const minted = await run(cli, argv, env);
      assert.match(minted.stderr, stderr);
      assert.equal(minted.exitCode, minted.stderr === '' ? 0 : 1);
    });
  }

  test('goes on after SIGTERM where it is told to ignore it', async (t) => {
    const { workspace, env } = await scene(t);
    const cli = await standInCli(t, { ignoresSigterm: true });
    const ended = new AbortController();
    void workspace.nextRequest().then(() => ended.abort());
    const outcome = await run(cli, MINT, env, ended.signal);
    assert.deepEqual([outcome.exitCode, outcome.signal], [0, null]);
  });

  test('leaves nothing but its cache behind', async (t) => {
    const { env } = await scene(t);
    await run(clis[0]!.path, MINT, env);
    assert.deepEqual(await readdir(env['HOME']!), ['.cache']);
  });
});
