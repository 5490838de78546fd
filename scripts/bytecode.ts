import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Parts } from '../src/platform/parts.ts';

/** What a sidecar loads before it starts the CLI. */
const START = './main.js';
/** More than a start takes on the slowest of machines. */
const START_MS = 60_000;
const ENDPOINT = 'projects/backstage/branches/production/endpoints/primary';

/** Nobody listens there. */
const KUBECONFIG = {
  clusters: [{ name: 'none', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'nobody', user: { token: 'nothing' } }],
  contexts: [{ name: 'none', context: { cluster: 'none', user: 'nobody' } }],
  'current-context': 'none',
};

/**
 * Leaves bytecode beside the parts: of what runs in a sidecar that mints once and answers each path, no more. Of what is
 * loaded before the CLI is started, only what runs until the first credential is readable: V8 reads all of a file's
 * bytecode before the first line runs. Returns its size.
 */
export async function recordBytecode(outdir: string): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'bytecode-'));
  try {
    const config = join(directory, 'config.yaml');
    await writeFile(config, JSON.stringify(configuration(directory)));
    await writeFile(join(directory, 'kubeconfig'), JSON.stringify(KUBECONFIG));
    await writeFile(join(directory, 'databricks'), cli());
    await chmod(join(directory, 'databricks'), 0o755);
    // Both ways to configure it; the second start has the bytecode of the first, and adds its own.
    await start(outdir, directory, { args: [], env: variables(directory) });
    await start(outdir, directory, { args: ['--config', config], env: {} });
    await operate(outdir, directory, config);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const parts = join(outdir, 'parts');
  const names = (await readdir(parts)).filter((name) => name.endsWith('.bytecode'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(parts, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

interface Start {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function start(outdir: string, directory: string, { args, env }: Start): Promise<void> {
  const volume = volumeIn(directory);
  await mkdir(volume);
  const child = spawn(process.execPath, [import.meta.filename, resolve(outdir), volume, 'run', ...args], {
    env: { ...environment(directory), ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: START_MS,
    killSignal: 'SIGKILL',
  });
  requireZero(await once(child, 'exit'));
  await rm(volume, { recursive: true });
}

async function operate(outdir: string, directory: string, config: string): Promise<void> {
  const child = spawn(process.execPath, [import.meta.filename, resolve(outdir), '', 'run', '--config', config], {
    env: environment(directory),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  try {
    for await (const line of createInterface(child.stdout)) {
      const { msg, port } = JSON.parse(line) as { readonly msg: string; readonly port?: number };
      if (msg !== 'started') continue;
      for (const path of ['/healthz', '/readyz', '/readyz?verbose', '/metrics', '/status']) {
        await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
      }
      break;
    }
  } finally {
    child.kill('SIGTERM');
    await exited;
  }
  requireZero(await exited);
}

function requireZero([code]: unknown[]): void {
  if (code !== 0) throw new Error(`the bundle ended with ${String(code)} while its bytecode was recorded`);
}

function volumeIn(directory: string): string {
  return join(directory, 'run');
}

function environment(directory: string): Record<string, string> {
  return {
    PATH: directory, // the CLI is there
    TMPDIR: directory,
    KUBECONFIG: join(directory, 'kubeconfig'),
    DATABRICKS_HOST: 'https://workspace.invalid',
    DATABRICKS_CLIENT_ID: 'nobody',
    DATABRICKS_CLIENT_SECRET: 'nothing',
  };
}

/** As an injected pod has them. */
function variables(directory: string): Record<string, string> {
  return {
    LAKEBASE_ENDPOINT: ENDPOINT,
    LAKEBASE_CREDENTIAL_DIR: volumeIn(directory),
    LAKEBASE_CREDENTIAL_HTTP_HOST: '127.0.0.1',
    LAKEBASE_CREDENTIAL_HTTP_PORT: '0',
    PGHOST: 'localhost',
  };
}

function configuration(directory: string): object {
  return {
    credentials: [
      {
        name: 'recorded',
        endpoint: ENDPOINT,
        connection: { host: 'localhost', database: 'app' },
        sinks: [
          { file: { path: join(volumeIn(directory), 'pgpass'), format: 'pgpass' } },
          { secret: { namespace: 'recorded', name: 'recorded', data: { token: 'token' } } },
        ],
      },
    ],
    http: { host: '127.0.0.1', port: 0 },
  };
}

/** A shell script that answers as the real one does. */
function cli(): string {
  const answer = { token: 'token-of-nobody', expire_time: new Date(Date.now() + 3_600_000).toISOString() };
  return `#!/bin/sh\nif [ "$1" = version ]; then echo '{"Version": "1.13.0"}'; else echo '${JSON.stringify(answer)}'; fi\n`;
}

/** In a process of its own: until the first file is in the volume, or, without one, until it is stopped. */
function record(): void {
  const [outdir = '', volume = '', ...args] = process.argv.slice(2);
  const parts = new Parts(join(outdir, 'parts'));
  process.argv.splice(2, Infinity, ...args);
  if (volume === '') {
    process.on('exit', () => parts.writeBytecode((name) => name !== START));
  } else {
    watch(volume, (_event, changed) => {
      if (changed !== 'pgpass') return;
      parts.writeBytecode((name) => name === START);
      process.exit();
    });
  }
  parts.require(START);
}

if (process.argv[1] === import.meta.filename) record();
