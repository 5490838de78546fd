import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { shellWord } from '../../src/sinks/render.ts';
import { RESOURCE, type Scene } from '../scene.ts';

/** Everything is this much faster than with tokens of an hour, but for what cannot be: the CLI, and the CLI's own pauses. */
export const SCALE = 120;
export const LIFETIME_MS = 3_600_000 / SCALE;
/** Of the cron that people use: every 50 minutes. */
const CRON_MS = 3_000_000 / SCALE;
/** How long the CLI tries by itself where nobody ends it. */
const CLI_PATIENCE_MS = 300_000 / SCALE;

/** One way to keep a file with a token fresh. */
export interface Contestant {
  readonly title: string;
  /** What its endpoints begin with, by which its requests are told from others'. */
  readonly name: string;
  /** Keeps `${directory}/token` until the scene is over. */
  readonly start: (scene: Scene, setting: Setting) => Promise<void>;
}

export interface Setting {
  readonly endpoint: string;
  readonly directory: string;
  readonly identity: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export const CONTESTANTS: readonly Contestant[] = [
  { title: 'this sidecar', name: 'sidecar', start: startSidecar },
  {
    title: 'cron, writes in place',
    name: 'cron-in-place',
    start: async (scene, setting) => await startCron(scene, setting, `printf '%s' "$token" > "$file"`),
  },
  {
    title: 'cron, writes and renames',
    name: 'cron-renames',
    start: async (scene, setting) =>
      await startCron(scene, setting, `printf '%s' "$token" > "$file.new" && mv "$file.new" "$file"`),
  },
];

async function startSidecar(scene: Scene, { endpoint, directory, identity }: Setting): Promise<void> {
  await scene.startSidecar(identity, {
    credentials: [
      { name: 'primary', endpoint, sinks: [{ file: { path: join(directory, 'token'), format: 'token' } }] },
    ],
    // Less is not to be had, nor would it do for the CLI: at this scale these are minutes, to the sidecar's disadvantage.
    minter: { cli: { command: scene.cli.path, timeout: '3s' } },
    refresh: { floor: '1s' },
    backoff: { initial: '1s', max: '1s' },
  });
}

/**
 * What people write today, but careful: what fails does not touch the file, which the published one may not see to. The
 * command ends after what five minutes are at this scale: so long the CLI tries by itself.
 */
async function startCron(scene: Scene, setting: Setting, write: string): Promise<void> {
  const { endpoint, directory, identity, signal } = setting;
  const script = join(await scene.folder(), 'rotate.sh');
  const mint = `timeout ${CLI_PATIENCE_MS / 1_000} ${shellWord(scene.cli.path)} postgres generate-database-credential '${endpoint}' -o json`;
  await writeFile(
    script,
    `#!/bin/sh
set -e
file='${directory}/token'
answer=$(${mint} 2>/dev/null)
token=$(printf '%s' "$answer" | sed -n 's/.*"token": *"\\([^"]*\\)".*/\\1/p')
[ -n "$token" ]
${write}
`,
  );
  await chmod(script, 0o755);
  const home = join(directory, '..', 'home');
  await mkdir(home, { recursive: true });
  const env = { PATH: process.env['PATH'], HOME: home, DATABRICKS_AUTH_TYPE: 'oauth-m2m', ...identity };
  const turn = (): void => void scene.spawn(script, [], { env, cwd: '/', stdio: 'ignore' });
  const daemon = async (): Promise<void> => {
    for (let next = performance.now(); !signal.aborted; next += CRON_MS) {
      turn();
      await delay(next + CRON_MS - performance.now(), undefined, { signal }).catch(() => undefined);
    }
  };
  daemon().catch(() => {
    // The measurement was interrupted: nothing is started any more.
  });
}

export function endpointOf({ name }: Contestant, copy: number): string {
  return `${RESOURCE}${name}-${copy}`;
}
