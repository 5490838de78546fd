import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Parts } from '../src/platform/parts.ts';

const ENDPOINT = 'projects/backstage/branches/production/endpoints/primary';

/** Nobody listens there. */
const KUBECONFIG = {
  clusters: [{ name: 'none', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'nobody', user: { token: 'nothing' } }],
  contexts: [{ name: 'none', context: { cluster: 'none', user: 'nobody' } }],
  'current-context': 'none',
};

/**
 * Leaves bytecode beside the parts: of what runs in a sidecar that mints once and answers each path, no more.
 * Returns its size.
 */
export async function recordBytecode(outdir: string): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'bytecode-'));
  try {
    const config = join(directory, 'config.yaml');
    await writeFile(config, JSON.stringify(configuration(directory)));
    await writeFile(join(directory, 'kubeconfig'), JSON.stringify(KUBECONFIG));
    await writeFile(join(directory, 'databricks'), cli());
    await chmod(join(directory, 'databricks'), 0o755);
    await operate(outdir, config, directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const parts = join(outdir, 'parts');
  const names = (await readdir(parts)).filter((name) => name.endsWith('.bytecode'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(parts, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function operate(outdir: string, config: string, directory: string): Promise<void> {
  const child = spawn(process.execPath, [import.meta.filename, resolve(outdir), 'run', '--config', config], {
    env: {
      PATH: process.env['PATH'],
      TMPDIR: directory,
      KUBECONFIG: join(directory, 'kubeconfig'),
      DATABRICKS_HOST: 'https://workspace.invalid',
      DATABRICKS_CLIENT_ID: 'nobody',
      DATABRICKS_CLIENT_SECRET: 'nothing',
    },
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
  const [code] = await exited;
  if (code !== 0) throw new Error(`the bundle ended with ${String(code)} while its bytecode was recorded`);
}

function configuration(directory: string): object {
  return {
    credentials: [
      {
        name: 'recorded',
        endpoint: ENDPOINT,
        connection: { host: 'localhost', database: 'app' },
        sinks: [
          { file: { path: join(directory, 'run', 'pgpass'), format: 'pgpass' } },
          { secret: { namespace: 'recorded', name: 'recorded', data: { token: 'token' } } },
        ],
      },
    ],
    minter: { cli: { command: join(directory, 'databricks') } },
    http: { host: '127.0.0.1', port: 0 },
  };
}

/** A shell script that answers as the real one does. */
function cli(): string {
  const answer = { token: 'token-of-nobody', expire_time: new Date(Date.now() + 3_600_000).toISOString() };
  return `#!/bin/sh\nif [ "$1" = version ]; then echo '{"Version": "1.13.0"}'; else echo '${JSON.stringify(answer)}'; fi\n`;
}

function record(): void {
  const [outdir = '', ...args] = process.argv.slice(2);
  const parts = new Parts(join(outdir, 'parts'));
  process.argv.splice(2, Infinity, ...args);
  process.on('exit', () => parts.writeBytecode());
  parts.require('./main.js');
}

if (process.argv[1] === import.meta.filename) record();
