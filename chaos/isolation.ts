import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory } from '../test/cluster/layout.ts';

const PREFIX = 'lakebase-chaos-';
export const EXIT_UNAVAILABLE = 69;
const NAMESPACES = ['--mount', '--net', '--pid', '--mount-proc', '--propagation', 'private'];
/**
 * The first process of the namespace: a shell, which asks after whatever loses its parent, as the first one of a machine
 * does. Shared memory is its own: PostgreSQL and libfaketime leave segments there when they are killed.
 */
const REAPER = ['sh', '-c', 'mount -t tmpfs tmpfs /dev/shm && "$@"; exit "$?"', 'sh'];
const FLAGS = [...NAMESPACES, '--fork', '--kill-child=SIGKILL'];

/** Why faults cannot be made here, or undefined. */
export function whyNotHere(): string | undefined {
  if (process.platform !== 'linux') return 'it needs Linux: faults are made with namespaces and mounts';
  if (process.getuid?.() !== 0) return 'it needs root, to mount and to be alone in its namespaces: sudo npm run chaos';
  const probe = spawnSync('unshare', [...FLAGS, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
  if (probe.status === 0) return undefined;
  return `unshare (util-linux) and ip (iproute2) do not work here: ${probe.error?.message ?? probe.stderr.trim()}`;
}

/**
 * Runs a program where the loopback device is the only network, where its mounts are nobody else's, and where whatever
 * it starts ends with it, even when it is killed. Of the environment only the PATH goes with it, and where programs are cached.
 */
export async function runInside(program: string, seed: number, args: readonly string[]): Promise<number> {
  sweep();
  const reason = whyNotHere();
  if (reason !== undefined) {
    process.stderr.write(`no faults can be made: ${reason}\n`);
    return EXIT_UNAVAILABLE;
  }
  const directory = join(tmpdir(), `${PREFIX}${process.pid}-${seed}`);
  mkdirSync(directory);
  chmodSync(directory, 0o755); // PostgreSQL and the sidecar, which are not root, go through
  // It stops in good order when this pipe closes, for whatever reason.
  const command = [process.execPath, program, '--inside', directory, ...args];
  const child = spawn('unshare', [...FLAGS, ...REAPER, ...command], {
    env: { PATH: process.env['PATH'], TMPDIR: directory, TEST_CLUSTER_CACHE: cacheDirectory },
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  child.stdin.on('error', () => undefined); // it has ended already
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.stdin.end());
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What runs that were killed have left. Their processes and mounts are gone with them. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('-')[0]! : '';
    if (/^\d+$/.test(pid) && !isChaos(pid)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isChaos(pid: string): boolean {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) && readFileSync(file, 'utf8').includes('chaos');
}

/** @throws where anything but this machine could be reached: what follows breaks whatever it touches. */
export function requireLoopbackOnly(): void {
  const others = Object.entries(networkInterfaces()).filter(([, addresses]) => addresses?.some((one) => !one.internal));
  if (others.length > 0) {
    throw new Error(`refused: ${others.map(([name]) => name).join(', ')} is not loopback; start it with npm run chaos`);
  }
  for (const name of Object.keys(process.env)) {
    if (/^(DATABRICKS|LAKEBASE|PG)/.test(name)) throw new Error(`refused: ${name} may point to something real`);
  }
}

/** Aborts when the other end is gone. */
export function lifeline(): AbortSignal {
  const stop = new AbortController();
  process.stdin.on('end', () => stop.abort(new Error('interrupted')));
  process.stdin.on('error', () => stop.abort(new Error('interrupted')));
  process.stdin.resume();
  // The launcher gets these too, and decides.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
  return stop.signal;
}
