import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../bench/table.ts';
import { type Stopped, stopSignal } from '../src/platform/signals.ts';
import { useCluster, whyNoPods, whyNotOwn } from '../test/cluster/cluster.ts';
import { runMain } from '../test/cluster/failure.ts';
import { down, status } from '../test/cluster/lifecycle.ts';
import { buildHelm, buildOperator, buildPrograms } from '../test/cluster/programs.ts';
import { requireTools } from '../test/cluster/requirements.ts';
import { loadImagesForAll } from '../test/cluster/support/pods-images.ts';
import { SharedCleanup } from '../test/support/cleanup.ts';
import type { FileGroup } from './test-files.ts';

const HELP = `Tests in a real cluster, which is started for all of them and stopped after the last.

npm run test:cluster -- [--install] [FILE]...

A cluster that is up before is used, and left as it is; so is that of KUBECONFIG (docs/images.md).

  --install   installs the Debian packages that are missing
`;

/** Starts and stops the cluster itself, so nobody else may use it meanwhile. */
const ALONE = 'lifecycle.test.ts';
/**
 * How many files of a kind run at once: about so many milliseconds, divided by those that a bare Node.js takes to start.
 * Those that compute start one pod after the other, those that wait for tokens to expire start few; too many starve each
 * other of what their deadlines ask for.
 */
const COMPUTING = { least: 2, most: 3, startsMs: 100 };
const WAITING = { least: 3, most: 5, startsMs: 200 };
/** Starts of a bare Node.js that are measured. */
const SAMPLES = 7;
/** Until test files and what they have started have ended. */
const PATIENCE_MS = 10_000;
const folder = join(import.meta.dirname, '../test/cluster');
const RUNNER = join(import.meta.dirname, 'test-files.ts');
/** What waits, the longest first. */
const WAITING_FILES = [
  'backstage-outages',
  'backstage',
  'secret-volume',
  'rotations',
  'absence',
  'agreement',
  'trouble',
];
/** It only waits, for two minutes: beside all others that costs nothing. */
const IDLE_FILE = 'silence';

interface Running {
  readonly env?: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Groups that run beside each other, each in its order. */
async function inGroups(files: readonly string[]): Promise<FileGroup[]> {
  const nameOf = (file: string): string => basename(file, '.test.ts');
  const waiting = WAITING_FILES.flatMap((one) => files.filter((file) => nameOf(file) === one));
  const idle = files.filter((file) => nameOf(file) === IDLE_FILE);
  const computing = files.filter((file) => !waiting.includes(file) && !idle.includes(file));
  const startMs = await nodeStartMs();
  const bearable = ({ least, most, startsMs }: typeof WAITING): number =>
    Math.min(most, Math.max(least, Math.floor(startsMs / startMs)));
  const groups = [
    { files: computing, concurrency: bearable(COMPUTING) },
    { files: waiting, concurrency: bearable(WAITING) },
    { files: idle, concurrency: 1 },
  ].filter((group) => group.files.length > 0);
  const counts = groups.map((group) => `${group.files.length} files, at most ${group.concurrency} at once`);
  report(`${counts.join('; ')}: bare Node.js starts in ${startMs.toFixed(0)} ms`);
  return groups;
}

function report(line: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ==> ${line}\n`);
}

async function nodeStartMs(): Promise<number> {
  const durations: number[] = [];
  while (durations.length < SAMPLES) {
    const startedAt = performance.now();
    await once(spawn(process.execPath, ['--eval', '0'], { stdio: 'ignore' }), 'close');
    durations.push(performance.now() - startedAt);
  }
  return median(durations);
}

/** Test files in a process group of their own, so that whatever they have started ends with them. */
async function runFiles(files: readonly string[], { env, signal }: Running): Promise<number> {
  if (files.length === 0) return 0;
  const groups = await inGroups(files);
  if (signal.aborted) return 0;
  report(files.map((file) => basename(file)).join(', '));
  const temporary = await mkdtemp(join(tmpdir(), 'cluster-tests-'));
  await chmod(temporary, 0o755); // PostgreSQL, which is not root, goes through
  const child = spawn(process.execPath, [RUNNER, JSON.stringify(groups)], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env, TMPDIR: temporary },
  });
  let impatience: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', () => {
    endGroup(child.pid!, 'SIGINT');
    impatience = setTimeout(() => endGroup(child.pid!, 'SIGKILL'), PATIENCE_MS);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(impatience);
  endGroup(child.pid!, 'SIGKILL');
  await rm(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  return code ?? 1;
}

function endGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** First what needs the cluster for itself, then the rest in one cluster with its images. */
async function runInCluster(files: readonly string[], { signal }: Running): Promise<number> {
  const shared = new SharedCleanup();
  // Also what a test has left that was killed.
  if (whyNotOwn === undefined && (await status()) !== 'up') shared.after(() => down());
  try {
    // Tests would do it without a word, and several at once.
    if (whyNotOwn === undefined) await buildPrograms(report);
    if (whyNotOwn === undefined && files.some((file) => file.includes('/chart/'))) {
      await buildHelm(report);
      await buildOperator(report);
    }
    const together = files.filter((file) => basename(file) !== ALONE);
    const alone = files.filter((file) => basename(file) === ALONE);
    const code = await runFiles(alone, { signal });
    if (together.length === 0 || signal.aborted) return code;
    const cluster = await useCluster(shared, { report });
    report('loading images');
    const env = await loadImagesForAll(cluster, { signal });
    return Math.max(code, await runFiles(together, { env, signal }));
  } finally {
    report('cleaning up');
    await shared.undo();
  }
}

/**
 * What takes less of the CPU: test files keep what they compiled, and programs in Go tidy up their memory only where it grows.
 * Hundreds of kubectl and Helm soon end, and so does the cluster.
 */
function beThrifty(): void {
  process.env['NODE_COMPILE_CACHE'] = join(import.meta.dirname, '../node_modules/.cache/tests');
  process.env['GOGC'] = 'off';
  process.env['GOMEMLIMIT'] = '600MiB';
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { install: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  beThrifty();
  const signal = stopSignal();
  if (values.install && whyNotOwn === undefined) await requireTools({ installs: true });
  const all = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.test.ts')).toSorted();
  const files = positionals.length > 0 ? positionals : all.map((name) => join(folder, name));
  const why = await whyNoPods();
  // Where there can be none, each file says why.
  if (why !== undefined) report(`tests are skipped: ${why}`);
  try {
    const code = await (why === undefined ? runInCluster : runFiles)(files, { signal });
    if (!signal.aborted) return code;
  } catch (error) {
    if (!signal.aborted) throw error; // else Ctrl-C has ended what was running, too
  }
  return (signal.reason as Stopped).exitCode;
}

await runMain(main);
