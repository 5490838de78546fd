import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { clis, NO_REAL_CLI, TELLS_VERSION, type Cli } from './clis.ts';
import { temporaryDirectory, undoAfter, type Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { isRunning } from './processes.ts';
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

export async function allGone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) await eventually(`process ${pid} is gone`, () => !isRunning(pid));
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

/** What a process with these constants in front notes of itself before it does what `cli` does; in place of a shell, which has variables of its own. */
const RECORDING = `
  const { renameSync, statSync, writeFileSync } = require('node:fs');
  const { argv, env, pid } = process;
  const modeOf = (path) => statSync(path, { throwIfNoEntry: false })?.mode.toString(8).slice(-3);
  const modes = { homeMode: modeOf(env.HOME ?? '/nonexistent'), homesMode: modeOf((env.HOME ?? '/nonexistent') + '/..') };
  delete env.__CF_USER_TEXT_ENCODING; // macOS gives it to every process
  writeFileSync(records + '/new.' + pid, JSON.stringify({ argv, env, cwd: process.cwd(), ...modes }));
  renameSync(records + '/new.' + pid, records + '/' + pid);
  const { status } = require('node:child_process').spawnSync(cli, argv.slice(2), { stdio: 'inherit' });
  process.exitCode = status ?? 1;
`;

/** Notes what its process is started with, then does what `cli` does. */
export async function recordingCli(t: Cleanup, cli: Cli): Promise<RecordingCli> {
  const directory = await temporaryDirectory(t);
  const records = join(directory, 'records');
  await mkdir(records, { mode: 0o700 });
  const path = join(directory, 'databricks');
  const constants = `const [records, cli] = ${JSON.stringify([records, cli.path])};`;
  await writeFile(path, `#!/usr/bin/env node\n${constants}${RECORDING}`);
  await chmod(path, 0o755);
  return { path, runs: async () => await readRecords(records) };
}

async function readRecords(directory: string): Promise<RecordedRun[]> {
  const names = (await readdir(directory)).filter((name) => /^\d+$/.test(name));
  const read = async (name: string): Promise<RecordedRun> =>
    JSON.parse(await readFile(join(directory, name), 'utf8')) as RecordedRun;
  return await Promise.all(names.map(read));
}
