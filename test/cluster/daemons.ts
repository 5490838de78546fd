import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile, readlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ClusterError } from './failure.ts';
import { logFile } from './layout.ts';

export interface Daemon {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const GONE_MS = 10_000;
const POLL_MS = 100;

/** Starts it in a session of its own, so that it outlives this process; what it says goes to its log. */
export async function startDaemon({ name, program, args, env }: Daemon): Promise<void> {
  await mkdir(dirname(logFile(name)), { recursive: true });
  const log = await open(logFile(name), 'a');
  try {
    const child = spawn(program, args, {
      cwd: '/',
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', log.fd, log.fd],
    });
    await once(child, 'spawn');
    child.unref();
  } finally {
    await log.close();
  }
}

/**
 * The processes that run one of these programs, by path of the program. Asked of Linux instead of written down at
 * their start: the programs are this cluster's own copies, so even after a crash of anything none is missed or mistaken.
 */
export async function processesOf(programs: readonly string[]): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const program = await readlink(`/proc/${entry}/exe`).catch(() => undefined); // gone meanwhile, or a zombie
    if (program !== undefined && programs.includes(program)) {
      found.set(program, [...(found.get(program) ?? []), Number(entry)]);
    }
  }
  return found;
}

/** Kills at once, since everything that they could save is thrown away next; returns when none is left. */
export async function killAll(find: () => Promise<readonly number[]>, what: string): Promise<void> {
  const deadline = Date.now() + GONE_MS;
  for (let pids = await find(); pids.length > 0; pids = await find()) {
    if (Date.now() > deadline) throw new ClusterError(`${what} does not end: process ${pids.join(', ')}`);
    for (const pid of pids) kill(pid);
    await delay(POLL_MS);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Asks until the answer is yes; fails when it takes too long, or when a daemon has ended meanwhile. */
export async function waitUntil(
  what: string,
  isTrue: () => Promise<boolean>,
  { daemons, timeoutMs }: { readonly daemons: readonly Daemon[]; readonly timeoutMs: number },
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isTrue())) {
    const running = await processesOf(daemons.map(({ program }) => program));
    const ended = daemons.find(({ program }) => !running.has(program));
    if (ended !== undefined) throw new ClusterError(`${ended.name} has ended: ${await lastWords(ended.name)}`);
    if (Date.now() > deadline) {
      const logs = await Promise.all(daemons.map(({ name }) => lastWords(name)));
      throw new ClusterError(`${what}: not within ${timeoutMs / 1_000} s\n${logs.join('\n')}`);
    }
    await delay(POLL_MS);
  }
}

async function lastWords(name: string): Promise<string> {
  const text = await readFile(logFile(name), 'utf8').catch(() => '');
  return [`${logFile(name)} ends with`, ...text.trimEnd().split('\n').slice(-4)].join('\n  ');
}
