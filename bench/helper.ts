import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { programsDirectory } from '../test/cluster/layout.ts';
import { findProgram } from '../test/cluster/requirements.ts';
import { unwantedPorts } from '../test/support/ports.ts';
import { eventually } from '../test/support/eventually.ts';
import { readCpuMs, readMemory, type Memory } from '../test/support/proc.ts';
import { BUNDLE, credential, type Scene } from './scene.ts';
import { mb, median, ms, ratio, say } from './table.ts';

/** A small public side-car in Go, of a well-known maker, that installs by name and version. */
const NAME = 'cloud-sql-proxy';
const VERSION = '2.25.3';
const PACKAGE = `github.com/GoogleCloudPlatform/cloud-sql-proxy/v2@v${VERSION}`;
const INSTALL_TIMEOUT_MS = 300_000;
const REPETITIONS = 7;
const SETTLE_MS = 20_000;
const QUIET_MS = 30_000;
const MINUTE_MS = 60_000;

interface Helper {
  readonly pid: number;
  readonly answersMs: number;
  readonly stop: () => Promise<void>;
}

/** What a helper in Go costs, which does something else: where a program on Node.js loses. */
export async function measureHelper(scene: Scene): Promise<void> {
  const program = await install().catch((error: unknown) => error as Error);
  if (program instanceof Error) {
    scene.report.skip(`${NAME} ${VERSION}`, program.message);
    return;
  }
  scene.report.uses(`${NAME} ${VERSION}`);
  const identity = await scene.startWorkspace(3_600);
  const startSidecar = async (): Promise<Helper> => {
    const { child, pid, port, startedAt } = await scene.startSidecar(identity, {
      credentials: [credential('primary', await scene.folder())],
      minter: { cli: { command: scene.cli.path } },
      refresh: { floor: '20m' },
    });
    await port;
    return { pid, answersMs: performance.now() - startedAt, stop: async () => await scene.stop(child) };
  };
  const ours = await startAgain(startSidecar);
  const theirs = await startAgain(async () => await startHelper(scene, program));
  const bare = scene.startNode();
  await idle([ours, theirs]);
  const [sizes, size] = [await bundleSize(), (await stat(program)).size];
  const { size: nodeSize } = await stat(process.execPath);
  const compare = (title: string, text: (value: number) => string, a: number, b: number): string[] => [
    title,
    text(a),
    text(b),
    b === 0 ? '' : ratio(a / b),
  ];
  scene.report.table(
    `this sidecar, and ${NAME} ${VERSION}, which is written in Go and does something else`,
    ['', 'this sidecar', NAME, 'ratio'],
    [
      compare(`start to probes answered, median of ${REPETITIONS}`, ms, ours.answersMs, theirs.answersMs),
      compare('idle RSS', mb, ours.memory.rss, theirs.memory.rss),
      compare('idle PSS', mb, ours.memory.pss, theirs.memory.pss),
      compare('CPU time of a quiet minute', ms, ours.cpuMs, theirs.cpuMs),
      compare('on disk: bundle and Node.js, to one executable', mb, sizes + nodeSize, size),
      ['… of which the bundle', mb(sizes), '', ''],
    ],
  );
  scene.report.note(
    `A bare Node.js already has ${mb(readMemory(bare).rss)} of RSS here: a helper in Go is smaller and starts faster than any program on Node.js can. The Databricks CLI, also a Go program, is on disk beside the sidecar, and runs briefly for each token.`,
  );
  scene.report.quote(
    `idle RSS compared with a sidecar in Go (${NAME})`,
    `${ratio(ours.memory.rss / theirs.memory.rss)}: a program in Go is smaller`,
  );
}

interface Measured {
  readonly answersMs: number;
  readonly pid: number;
  memory: Memory;
  cpuMs: number;
}

/** The last of them goes on running. */
async function startAgain(start: () => Promise<Helper>): Promise<Measured> {
  const times: number[] = [];
  for (;;) {
    const helper = await start();
    times.push(helper.answersMs);
    if (times.length === REPETITIONS) {
      return { answersMs: median(times), pid: helper.pid, memory: readMemory(helper.pid), cpuMs: Number.NaN };
    }
    await helper.stop();
  }
}

/** Side by side, so that whatever else the machine does counts for both. */
async function idle(all: readonly Measured[]): Promise<void> {
  await delay(SETTLE_MS);
  const before = all.map(({ pid }) => readCpuMs(pid));
  await delay(QUIET_MS);
  for (const [i, measured] of all.entries()) {
    measured.cpuMs = ((readCpuMs(measured.pid) - (before[i] ?? Number.NaN)) * MINUTE_MS) / QUIET_MS;
    measured.memory = readMemory(measured.pid);
  }
}

/** With a token that nobody takes, and told to ask for nothing before the first connection, which never comes. */
async function startHelper(scene: Scene, program: string): Promise<Helper> {
  const [http, postgres] = await unwantedPorts(2);
  const startedAt = performance.now();
  const flags = {
    token: 'of-nobody',
    'sqladmin-api-endpoint': 'http://127.0.0.1:9',
    address: '127.0.0.1',
    port: String(postgres),
    'http-address': '127.0.0.1',
    'http-port': String(http),
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const child = scene.spawn(program, ['--lazy-refresh', '--health-check', ...args, 'project:region:instance'], {
    stdio: 'ignore',
    env: {},
  });
  const answers = async (): Promise<boolean> =>
    await fetch(`http://127.0.0.1:${http}/readiness`).then(
      ({ ok }) => ok,
      () => false,
    );
  await eventually(`${NAME} answers`, answers, { everyMs: 1 });
  const answersMs = performance.now() - startedAt;
  return { pid: child.pid!, answersMs, stop: async () => await scene.stop(child) };
}

/** Once; it stays in the cache. @throws why it cannot be had */
async function install(): Promise<string> {
  const folder = join(programsDirectory, `${NAME}-${VERSION}`);
  const program = join(folder, NAME);
  if (existsSync(program)) return program;
  const go = await findProgram('go');
  if (go === undefined) throw new Error('Go is missing: install it (https://go.dev/dl/)');
  say(`building ${NAME} ${VERSION} (once)`);
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const { failed } = await execa(go, ['install', '-trimpath', '-ldflags=-s -w', PACKAGE], {
    env: { GOBIN: unfinished, CGO_ENABLED: '0' },
    stdio: ['ignore', 'ignore', process.stderr],
    timeout: INSTALL_TIMEOUT_MS,
    reject: false,
  });
  if (failed) throw new Error(`\`go install ${PACKAGE}\` failed`);
  await rename(join(unfinished, 'v2'), join(unfinished, NAME)).catch(() => undefined);
  await rename(unfinished, folder);
  return program;
}

async function bundleSize(): Promise<number> {
  const folder = join(BUNDLE, '..');
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = files
    .filter((file) => file.isFile())
    .map(async (file) => (await stat(join(file.parentPath, file.name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
