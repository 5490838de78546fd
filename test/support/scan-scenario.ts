import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cli } from './clis.ts';
import { commandLineOf } from './processes.ts';
import type { Places } from './scan.ts';
import { recordingCli, scriptedCli, workspaceFor } from './sidecar-clis.ts';
import type { SetupOptions } from './sidecar-setup.ts';
import { temporaryDirectory, type Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { runCommand, startSidecar, type Sidecar } from './sidecar.ts';
import type { Workspace } from './workspace.ts';

export interface Evidence {
  /** Everything that must not show. */
  readonly secrets: Places;
  /** Everything that anybody gets to see. */
  readonly places: Places;
  /** Where the secrets belong: what the scan must be able to find. */
  readonly files: Places;
}

/** The refresh comes every second, so that a run shows several. */
const LIVELY = { refresh: { at: 0.1, jitter: 0, floor: '1s' }, log: { level: 'trace' } };
const OPENMETRICS = 'application/openmetrics-text';

const ENDPOINTS: readonly (readonly [string, string])[] = [
  ['/metrics', 'text/plain'],
  ['/metrics', OPENMETRICS],
  ['/status', 'application/json'],
  ['/status', 'text/html'],
  ['/healthz?verbose', '*/*'],
  ['/readyz?verbose', '*/*'],
];

async function look(sidecar: Sidecar, when: string, places: Record<string, string>): Promise<void> {
  for (const [path, accept] of ENDPOINTS) {
    places[`${path} as ${accept}, ${when}`] = (await sidecar.get(path, { headers: { accept } })).body;
  }
}

async function finish(sidecar: Sidecar, name: string, places: Record<string, string>): Promise<void> {
  places[`command line of ${name}`] = commandLineOf(sidecar.pid);
  await sidecar.stop();
  places[`output of ${name}`] = sidecar.stdout;
  places[`errors of ${name}`] = sidecar.stderr;
}

/** What ways of failing print: the whole exchange, the environment, a token. */
async function failingClis(t: Cleanup, token: string): Promise<Readonly<Record<string, string>>> {
  return {
    'a CLI that prints its environment': await scriptedCli(t, 'env >&2; env; exit 1'),
    'a CLI that prints a token': await scriptedCli(t, `echo "Error: cannot use ${token} here" >&2; exit 1`),
    'a CLI that prints half an answer': await scriptedCli(t, `echo '{"token": "${token}"'`),
    'a CLI that prints a token without an expiry': await scriptedCli(t, `echo '{"token": "${token.split('.')[1]}"}'`),
    'a CLI that prints a token with a blank': await scriptedCli(t, `echo '{"token": "${token} x", "expire_time": 1}'`),
  };
}

/** Healthy, then with an answer that cannot be parsed, then healthy again; a sink that somebody breaks. */
async function longRun(
  t: Cleanup,
  workspace: Workspace,
  options: SetupOptions,
  stray: string,
  evidence: { places: Record<string, string>; files: Record<string, string> },
): Promise<void> {
  const { places, files } = evidence;
  const sidecar = await (await startSidecar(t, { workspace, config: LIVELY, ...options })).ready();
  await look(sidecar, 'while all is well', places);
  const body = `{"token":"${stray}","expire_time":`;
  workspace.fail('credential', { status: 200, body, headers: { 'content-type': 'application/json' } });
  await sidecar.logged('mint failed');
  await look(sidecar, 'after an answer that cannot be parsed', places);
  await writeFile(sidecar.path('pgpass'), `${await sidecar.read('pgpass')} `);
  await sidecar.logged('sink repaired after somebody else changed it');
  await workspace.recover();
  await sidecar.logged('minted again after failures');
  const minted = workspace.minted.length;
  await eventually('one more rotation', () => workspace.minted.length > minted);
  await look(sidecar, 'after it recovered', places);
  places['the state file'] = await sidecar.read('.backstage.state.json');
  await finish(sidecar, 'a long run', places);
  files['token'] = await sidecar.read('token');
  files['pgpass'] = await sidecar.read('pgpass');
}

/** Each way to fail, by each command; with workload identity too where the environment is printed. */
async function shortRuns(
  t: Cleanup,
  workspace: Workspace,
  stray: string,
  oidc: NonNullable<SetupOptions['env']>,
  places: Record<string, string>,
): Promise<void> {
  const failures = Object.entries(await failingClis(t, stray)).map(async ([name, cli], i) => {
    const identities = { 'a client secret': {}, ...(i === 0 && { 'an OIDC token': oidc }) };
    for (const [identity, env] of Object.entries(identities)) {
      const who = `${name}, with ${identity}`;
      const sidecar = await startSidecar(t, { workspace, cli, env, config: { log: LIVELY.log } });
      await sidecar.logged('mint failed');
      await look(sidecar, who, places);
      await finish(sidecar, who, places);
    }
    const check = await runCommand(t, 'check', { workspace, cli });
    places[`check of ${name}`] = check.stdout + check.stderr;
    const once = await runCommand(t, 'once', { workspace, cli, flags: ['--timeout', '500ms'] });
    places[`once of ${name}`] = once.stdout + once.stderr;
  });
  await Promise.all(failures);
}

export interface Scenario {
  readonly cli: Cli;
  /** Another entry than the source, which then only goes through the long run. */
  readonly entry?: string;
}

/** Goes through what can happen, at the most talkative level, and collects what it said and what there was to hide. */
export async function everythingItSays(t: Cleanup, { cli, entry }: Scenario): Promise<Evidence> {
  const places: Record<string, string> = {};
  const files: Record<string, string> = {};
  const workspace = await workspaceFor(t, { tokenLifetimeMs: 12_000 });
  const stray = await workspace.signCredential();
  const oidcToken = await workspace.serviceAccountToken();
  const tokenFile = join(await temporaryDirectory(t), 'oidc-token');
  await writeFile(tokenFile, oidcToken);
  const oidc = { DATABRICKS_CLIENT_SECRET: undefined, DATABRICKS_OIDC_TOKEN_FILEPATH: tokenFile };

  const recording = await recordingCli(t, cli);
  const common = { cli: recording.path, ...(entry !== undefined && { entry }) };
  // At once: the long run waits for most of its time, and the short ones only work.
  await Promise.all([
    longRun(t, workspace, common, stray, { places, files }),
    ...(entry === undefined ? [shortRuns(t, workspace, stray, oidc, places)] : []),
  ]);
  for (const [i, { argv }] of (await recording.runs()).entries())
    places[`command line ${i} of the CLI`] = argv.join(' ');

  const authorizations = workspace.requests.flatMap(({ authorization }) => authorization?.split(' ')[1] ?? []);
  return {
    secrets: {
      ...Object.fromEntries(workspace.minted.map(({ token }, i) => [`token ${i}`, token])),
      ...Object.fromEntries([...new Set(authorizations)].map((text, i) => [`authorization ${i}`, text])),
      'a stray token': stray,
      'the OIDC token': oidcToken,
      'the client secret': workspace.clientSecret,
    },
    places,
    files,
  };
}
