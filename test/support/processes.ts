import { ChildProcess, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { queryObjects } from 'node:v8';
import { eventually } from './eventually.ts';
import { HAS_PROC } from './linux.ts';

// Not by `ps` alone, which images may lack, as those of Node.js that are slim do; macOS has nothing else.

/** The command lines of all that name this directory, in their environment too: that is where a CLI has it. */
export function processesOf(directory: string): string[] {
  if (!HAS_PROC) {
    const lines = ps('-axEww', '-o', 'args=').split('\n');
    // An environment is nobody else's business.
    return lines.filter((line) => line.includes(directory)).map((line) => line.replace(/ \w+=.*/, ''));
  }
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const words = (pid: string): string => proc(pid, 'cmdline').replaceAll('\0', ' ');
  return pids.filter((pid) => `${words(pid)}${proc(pid, 'environ')}`.includes(directory)).map(words);
}

export function commandLineOf(pid: number): string {
  return HAS_PROC ? proc(pid, 'cmdline') : ps('-ww', '-o', 'args=', '-p', String(pid));
}

/** Whether it runs; a zombie that nobody asked after does not. */
export function isRunning(pid: number): boolean {
  const state = HAS_PROC ? /\) (\w) /.exec(proc(pid, 'stat'))?.[1] : ps('-o', 'state=', '-p', String(pid)).trim()[0];
  return state !== undefined && !'ZX'.includes(state);
}

function proc(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has ended, or is another user's
  }
}

function ps(...args: readonly string[]): string {
  return spawnSync('ps', args, { encoding: 'utf8' }).stdout;
}

/** Runs it a few times; fails where the objects of its processes, which are over, are kept in memory. */
export async function assertKeepsNoProcess(run: () => Promise<unknown>): Promise<void> {
  const kept = (): number => queryObjects(ChildProcess, { format: 'count' });
  const before = kept();
  for (const _ of Array.from({ length: 5 })) await run();
  await eventually('none is kept', () => kept() <= before, { onTimeout: () => `${kept()} are, ${before} at first` });
}
