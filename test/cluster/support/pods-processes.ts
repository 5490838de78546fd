import { readFile, readlink } from 'node:fs/promises';
import { isRunning } from '../../support/processes.ts';
import { eventually } from '../../support/eventually.ts';
import { podProcesses } from '../leftovers.ts';
import type { Following } from './pods.ts';

/** The host's number of PID 1 of the sidecar's container: from within a container, nothing can kill its PID 1. */
export async function sidecarProcess(podUid: string): Promise<number> {
  for (const pid of await podProcesses()) {
    const [program, cgroup, status] = await Promise.all([
      readlink(`/proc/${pid}/exe`).catch(() => ''),
      readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''),
      readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
    ]);
    if (program === '/nodejs/bin/node' && cgroup.includes(podUid) && /^NSpid:.*\t1$/m.test(status)) return pid;
  }
  throw new Error(`no sidecar runs in the pod ${podUid}`);
}

/** When it was gone; the kubelet tells whole seconds only, and a log that is followed ends up to a second late. */
export async function endOf(pid: number): Promise<number> {
  await eventually(`the end of process ${pid}`, () => !isRunning(pid), { withinMs: 60_000 });
  return Date.now();
}

/** When the sidecar began to stop, as its log tells. */
export function stoppingAt({ lines }: Following): number {
  const { text } = lines.find((line) => line.text.includes('stopping; the files stay'))!;
  return Date.parse((JSON.parse(text) as { time: string }).time);
}
