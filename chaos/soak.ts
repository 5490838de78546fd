import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readCpuMs, readMemory } from '../test/support/proc.ts';
import { credential, NOBODY, Scene, type Running } from '../bench/scene.ts';
import type { Report } from '../bench/report.ts';
import { say } from '../bench/table.ts';
import { unwantedPort } from '../test/support/ports.ts';
import { GarbageCollector } from './garbage.ts';
import { usageOf } from './processes.ts';
import { middle, slope } from './slope.ts';
import { NO_SECRETS, openSecrets, type Secrets } from './soak-secrets.ts';

const CREDENTIALS = 20;
/** Of them; each write is a request, and news from the watch. */
const WITH_SECRET = 5;
const LIFETIME_SECONDS = 4;
/** A rotation a second of each credential; the tokens that follow each other are all valid for some time. */
const SETTINGS = { refresh: { at: 0.25, jitter: 0.05, floor: '0s' } };
const SAMPLE_EVERY_MS = 2_000;
const SAMPLES_TOGETHER = 10;
/** As often the account gets another token, which it has an hour for elsewhere. */
const SAMPLES_PER_TELLING = 30;
/** What is compiled, loaded and cached in the beginning is no leak. */
const WARM_UP = 0.4;
/** What memory may differ by: what is held lies in pages that are more or less full. */
const MEMORY_TOLERANCE = 0.05;

/** As a value in the JSON of a record. */
const NUMBER = /: \d+(?:\.\d+)?/g;

interface Sample {
  readonly rotations: number;
  readonly values: Readonly<Record<Measured, number>>;
}

const MEASURED = {
  RSS: 'KiB',
  PSS: 'KiB',
  'anonymous memory': 'KiB',
  'JavaScript heap': 'KiB',
  'file descriptors': '',
  threads: '',
  'inotify watches': '',
  'files on the volume and in /tmp': '',
  'bytes on the volume and in /tmp': '',
} as const;
type Measured = keyof typeof MEASURED;
const NAMES = Object.keys(MEASURED) as Measured[];
/** Depends on how many others run the same Node.js. */
const NOT_JUDGED: ReadonlySet<Measured> = new Set(['PSS']);

/** Days of rotations in minutes, by a CLI that costs next to nothing. @returns whether anything rises */
export async function soak(rotations: number, signal: AbortSignal): Promise<boolean> {
  const scene = await Scene.create();
  try {
    const expiry = `$(date -u -d '+${LIFETIME_SECONDS} seconds' +%Y-%m-%dT%H:%M:%S.%3NZ)`;
    // Always of one length, or the files would grow with the numbers of processes.
    const { path: command } = await scene.script(`printf '{"token":"token-%07d","expire_time":"%s"}' "$$" "${expiry}"`);
    const volume = await scene.folder();
    const names = Array.from({ length: CREDENTIALS }, (_, i) => `soak-${i}`);
    const secrets = await openSecrets(scene, names.slice(0, WITH_SECRET));
    if (secrets === undefined) scene.report.skip('Secrets', NO_SECRETS);
    const inspector = await unwantedPort();
    const sidecar = await scene.startSidecar(
      { ...NOBODY, NODE_OPTIONS: inspectedAt(inspector), KUBECONFIG: secrets?.kubeconfig },
      {
        credentials: names.map((name) => credential(name, volume, secrets?.sinksOf(name))),
        minter: { cli: { command } },
        ...SETTINGS,
      },
    );
    const garbage = await GarbageCollector.connect(inspector, signal);
    const directories = [scene.directory, scene.memory];
    const samples = await collect(sidecar, { directories, rotations, secrets, garbage }, signal).finally(() =>
      garbage.close(),
    );
    const cpuMs = readCpuMs(sidecar.pid);
    const isRising = report(scene.report, samples, cpuMs);
    const count = (text: string): number => sidecar.lines.filter(({ msg }) => msg === text).length;
    say(`${count('mint failed')} failed mints, ${count('sink not written')} failed writes`);
    if (secrets !== undefined) say(`${await secrets.countWrites()} writes of ${WITH_SECRET} Secrets`);
    return isRising;
  } finally {
    await scene.close();
  }
}

/** Without a word about it on standard error. */
function inspectedAt(port: number): string {
  return `--inspect=127.0.0.1:${port} --inspect-publish-uid=http`;
}

interface Collection {
  readonly directories: readonly string[];
  readonly rotations: number;
  readonly secrets: Secrets | undefined;
  readonly garbage: GarbageCollector;
}

async function collect(
  { pid, port, lines }: Running,
  { directories, rotations, secrets, garbage }: Collection,
  signal: AbortSignal,
): Promise<Sample[]> {
  const url = `http://127.0.0.1:${await port}`;
  const samples: Sample[] = [];
  let heldBytes = 0;
  for (;;) {
    await delay(SAMPLE_EVERY_MS, undefined, { signal });
    // As somebody who monitors it does.
    for (const path of ['/metrics', '/readyz', '/status']) await (await fetch(`${url}${path}`)).text();
    // Nobody knows when it would be collected: what grew would not be what is held.
    if (samples.length % SAMPLES_TOGETHER === 0) heldBytes = await garbage.collect();
    const count = lines.filter(({ msg }) => msg.startsWith('minted')).length - CREDENTIALS;
    samples.push({ rotations: count, values: measure(pid, directories, heldBytes) });
    if (count >= rotations) return samples;
    if (samples.length % SAMPLES_PER_TELLING !== 0) continue;
    say(`${count} rotations`);
    await secrets?.renewToken();
  }
}

function measure(pid: number, directories: readonly string[], heldBytes: number): Sample['values'] {
  const { rss, pss, anonymous } = readMemory(pid);
  const { descriptors, threads, watches } = usageOf(pid)!;
  const sizes = directories.flatMap(filesIn).map(sizeOf);
  return {
    RSS: rss / 1_024,
    PSS: pss / 1_024,
    'anonymous memory': anonymous / 1_024,
    'JavaScript heap': heldBytes / 1_024,
    'file descriptors': descriptors,
    threads: threads,
    'inotify watches': watches,
    'files on the volume and in /tmp': sizes.length,
    'bytes on the volume and in /tmp': sizes.reduce((total, size) => total + size, 0),
  };
}

/** The home of a CLI may go while it is looked into: then it is looked once more. */
function filesIn(directory: string): string[] {
  for (;;) {
    try {
      const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
}

/** In bytes, but for the digits of numbers: records have times with more or fewer of them. Nothing of one that is gone. */
function sizeOf(path: string): number {
  try {
    return Buffer.byteLength(readFileSync(path, 'utf8').replaceAll(NUMBER, ': 0'));
  } catch (error) {
    if (!isGone(error)) throw error;
    return 0;
  }
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** The least of every few samples: what is under way at a time varies with how busy the machine is, what is held does not. */
function held(samples: readonly Sample[]): Sample[] {
  const groups = Map.groupBy(samples, (sample) => Math.floor(samples.indexOf(sample) / SAMPLES_TOGETHER));
  const whole = [...groups.values()].filter(({ length }) => length === SAMPLES_TOGETHER);
  return whole.map((group) => ({
    rotations: group.at(-1)!.rotations,
    values: Object.fromEntries(
      NAMES.map((name) => [name, Math.min(...group.map(({ values }) => values[name]))]),
    ) as Sample['values'],
  }));
}

function report(into: Report, samples: readonly Sample[], cpuMs: number): boolean {
  const last = samples.at(-1)!.rotations;
  const steady = held(samples.filter(({ rotations }) => rotations >= last * WARM_UP));
  const rising: string[] = [];
  const rows = NAMES.map((name) => {
    const unit = MEASURED[name];
    const values = steady.map(({ values }) => values[name]);
    const per10000 = slope(steady.map(({ rotations, values }) => [rotations, values[name]])) * 10_000;
    const isMemory = unit !== '';
    const isSteep = isMemory ? per10000 > MEMORY_TOLERANCE * middle(values) : per10000 >= 1;
    if (isSteep && !NOT_JUDGED.has(name)) rising.push(name);
    const show = (value: number): string => `${Math.round(value)}${unit && ` ${unit}`}`;
    return [
      name,
      show(Math.min(...values)),
      show(middle(values)),
      show(Math.max(...values)),
      `${per10000.toFixed(isMemory ? 0 : 3)}${unit && ` ${unit}`}`,
    ];
  });
  into.table(
    `${last} rotations by one process, ${CREDENTIALS} credentials, ${Math.round(cpuMs / 1_000)} s of CPU time`,
    ['after the warm-up', 'least', 'median', 'most', 'slope per 10,000 rotations'],
    rows,
  );
  say(rising.length === 0 ? 'nothing rises' : `rises: ${rising.join(', ')}`);
  return rising.length > 0;
}
