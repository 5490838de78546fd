import { type ChildProcess, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { HAS_PROC } from './linux.ts';

export interface Memory {
  /** All pages, those of the Node.js executable included that other processes use too. */
  readonly rss: number;
  /** Each shared page counted in proportion to how many processes use it. */
  readonly pss: number;
  /** What would be free if the process ended. */
  readonly own: number;
  /** Heaps and stacks: what is in no file, however many others run the same executable. */
  readonly anonymous: number;
}

export function readMemory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string): number => kilobytes(text, name);
  return {
    rss: field('Rss'),
    pss: field('Pss'),
    own: field('Private_Clean') + field('Private_Dirty'),
    anonymous: field('Anonymous'),
  };
}

/** The most that was ever resident. */
export function readPeak(pid: number): number {
  return kilobytes(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM');
}

/** Of the threads that run now, without children; the times in `stat` are rounded to 10 ms, those of the scheduler are not. */
export function readCpuMs(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const times = tasks.map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]));
  return times.reduce((sum, ns) => sum + ns, 0) / 1e6;
}

/** And theirs. */
export function descendantsOf(pid: number): number[] {
  const children = childrenOf(pid);
  return [...children, ...children.flatMap(descendantsOf)];
}

/**
 * At once, with all that it has started: the CLI of a sidecar has a process group of its own, and would go on
 * for minutes, writing where somebody has tidied up.
 */
export function killWithDescendants({ exitCode, pid, signalCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  for (const one of [...descendantsOf(pid), pid]) {
    try {
      process.kill(one, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  }
}

/** Direct ones. */
export function childrenOf(pid: number): number[] {
  if (!HAS_PROC) return childrenByPs(pid);
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return []; // it has ended
  }
}

/** On macOS. */
function childrenByPs(pid: number): number[] {
  const { stdout } = spawnSync('ps', ['-axo', 'pid=,ppid='], { encoding: 'utf8' });
  const pairs = stdout.split('\n').map((line) => line.trim().split(/ +/).map(Number));
  return pairs.flatMap(([child, parent]) => (child !== undefined && parent === pid ? [child] : []));
}

function kilobytes(text: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text);
  if (found === null) throw new Error(`the kernel does not tell ${name}`);
  return Number(found[1]) * 1024;
}
