import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clis, type Cli } from './clis.ts';
import { temporaryDirectory, type Cleanup } from './cleanup.ts';
import type { Workspace } from './workspace.ts';

/** Without it each start would strip the types anew, which is nearly half of what the tests of the program take. */
const COMPILED = join(import.meta.dirname, '../../node_modules/.cache/sidecar');
export const ENDPOINT = 'projects/backstage/branches/production/endpoints/primary';
/**
 * The first refresh is due at any time after the floor. Longer than any test takes that counts mints, and no more than a
 * ttl of five minutes allows.
 */
const CALM = { floor: '3m' };

export interface SetupOptions {
  /** Who mints, and where; without one the identity is up to `env`. */
  readonly workspace?: Workspace;
  /** A program, or the name of one. */
  readonly cli?: string | Cli;
  /** Top-level keys that differ from the usual configuration, a whole text, or null for no file at all. */
  readonly config?: Readonly<Record<string, unknown>> | string | null;
  /** Undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly flags?: readonly string[];
  /** The place of an earlier one, to start again there. */
  readonly directory?: string;
  /** Another entry than the source. */
  readonly entry?: string;
  /** Another Node.js than the project's. */
  readonly node?: string;
}

export interface SidecarSetup {
  readonly directory: string;
  readonly configFile: string;
  readonly env: NodeJS.ProcessEnv;
  readonly flags: readonly string[];
  readonly entry: string | undefined;
  readonly node: string | undefined;
}

/** A credential with files in `directory`, as far as it is not said otherwise. */
export function credential(directory: string, differences: Readonly<Record<string, unknown>> = {}): object {
  return {
    name: 'backstage',
    endpoint: ENDPOINT,
    connection: { host: 'localhost', port: 5432, database: 'app' },
    sinks: [
      { file: { path: `${directory}/run/pgpass`, format: 'pgpass' } },
      { file: { path: `${directory}/run/token`, format: 'token', mode: '0640' } },
    ],
    ...differences,
  };
}

/** As YAML, of which JSON is a part. */
export function configText(
  directory: string,
  cli: string | Cli = clis[0]!,
  differences: Readonly<Record<string, unknown>> = {},
): string {
  return JSON.stringify({
    credentials: [credential(directory)],
    minter: { cli: { command: typeof cli === 'string' ? cli : cli.path } },
    http: { host: '127.0.0.1', port: 0 },
    refresh: CALM,
    ...differences,
  });
}

/** Everything that a process is started with: its configuration, environment and folders of its own. */
export async function sidecarSetup(t: Cleanup, options: SetupOptions): Promise<SidecarSetup> {
  const { cli, config = {}, env = {}, entry, flags = [], node, workspace } = options;
  const directory = options.directory ?? (await temporaryDirectory(t));
  const configFile = join(directory, 'config.yaml');
  const scratch = join(directory, 'tmp');
  await mkdir(scratch, { recursive: true });
  if (config !== null) {
    await writeFile(configFile, typeof config === 'string' ? config : configText(directory, cli, config));
  }
  const identity = workspace && {
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_CLIENT_ID: workspace.clientId,
    DATABRICKS_CLIENT_SECRET: workspace.clientSecret,
  };
  const all = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: COMPILED, TMPDIR: scratch, ...identity, ...env };
  return {
    directory,
    configFile,
    env: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)),
    flags: config === null ? flags : ['--config', configFile, ...flags],
    entry,
    node,
  };
}
