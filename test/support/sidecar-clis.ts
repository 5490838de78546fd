import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { clis, NO_REAL_CLI, TELLS_VERSION, type Cli } from './clis.ts';
import { shellWord } from '../../src/sinks/render.ts';
import { temporaryDirectory, undoAfter, type Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { startWorkspace, type Workspace } from './workspace.ts';
import type { WorkspaceOptions } from './workspace-server.ts';

let isSkipTold = false;

/** A test with each CLI that there is; where the real one is missing, that shows once in each file. */
export function testWithEachCli(title: string, body: (t: TestContext, cli: Cli) => Promise<void>): void {
  for (const cli of clis) test(`${title}, with ${cli.name}`, { timeout: 60_000 }, (t) => body(t, cli));
  if (isSkipTold || clis.some(({ isReal }) => isReal)) return;
  isSkipTold = true;
  test('the same with the real CLI', { skip: NO_REAL_CLI }, () => {});
}

export async function workspaceFor(t: Cleanup, options: WorkspaceOptions = {}): Promise<Workspace> {
  const workspace = await startWorkspace(options);
  undoAfter(t, () => workspace.close());
  return workspace;
}

/** An executable with this shell script, for everything but its version. */
export async function scriptedCli(t: Cleanup, script: string): Promise<string> {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'databricks');
  await writeFile(path, `#!/bin/sh\n${TELLS_VERSION}\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

export interface HangingCli {
  readonly path: string;
  /** Its process and one that it started, as soon as both run. */
  pids(): Promise<number[]>;
}

/** Never ends, ignores SIGTERM, and so does the program that it started. */
export async function hangingCli(t: Cleanup): Promise<HangingCli> {
  const record = join(await temporaryDirectory(t), 'pids');
  const path = await scriptedCli(
    t,
    `trap '' TERM; sleep 600 & echo "$$ $!" > '${record}.new'; mv '${record}.new' '${record}'; wait; sleep 600`,
  );
  const pids = async (): Promise<number[]> => {
    const text = await eventually('the CLI runs', () => readFile(record, 'utf8').catch(() => undefined));
    return text.trim().split(' ').map(Number);
  };
  return { path, pids };
}

/** Whether it runs; a zombie that nobody asked after does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) [ZX] /.test(stat);
}

export async function allGone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) await eventually(`process ${pid} is gone`, async () => !(await isRunning(pid)));
}

export interface RecordedRun {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly homeMode: string;
  /** Of the folder above, whose name tells nobody anything. */
  readonly homesMode: string;
}

export interface RecordingCli {
  readonly path: string;
  runs(): Promise<RecordedRun[]>;
}

/** Notes what the kernel knows about its process, then becomes `cli`. */
export async function recordingCli(t: Cleanup, cli: Cli): Promise<RecordingCli> {
  const directory = await temporaryDirectory(t);
  const records = join(directory, 'records');
  await mkdir(records, { mode: 0o700 });
  const path = join(directory, 'databricks');
  const script = [
    '#!/bin/sh',
    `record='${records}'/$$`,
    'mkdir "$record.new"',
    'cat /proc/$$/environ > "$record.new/env"',
    'cat /proc/$$/cmdline > "$record.new/argv"',
    'readlink /proc/$$/cwd > "$record.new/cwd"',
    'stat -c %a "${HOME:-/nonexistent}" > "$record.new/home" 2>&1',
    'stat -c %a "${HOME:-/nonexistent}/.." > "$record.new/homes" 2>&1',
    'mv "$record.new" "$record"',
    `exec ${shellWord(cli.path)} "$@"`,
  ];
  await writeFile(path, `${script.join('\n')}\n`);
  await chmod(path, 0o755);
  return { path, runs: async () => await readRecords(records) };
}

async function readRecords(directory: string): Promise<RecordedRun[]> {
  const names = (await readdir(directory)).filter((name) => /^\d+$/.test(name));
  const read = async (record: string, name: string): Promise<string> =>
    await readFile(join(directory, record, name), 'utf8');
  return await Promise.all(
    names.map(async (record) => ({
      argv: split(await read(record, 'argv')),
      env: Object.fromEntries(
        split(await read(record, 'env')).map((pair) => pair.split(/=(.*)/s, 2) as [string, string]),
      ),
      cwd: (await read(record, 'cwd')).trim(),
      homeMode: (await read(record, 'home')).trim(),
      homesMode: (await read(record, 'homes')).trim(),
    })),
  );
}

/** The kernel ends each word with a NUL. */
function split(words: string): string[] {
  return words.split('\0').slice(0, -1);
}
