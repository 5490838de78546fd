import { setTimeout as delay } from 'node:timers/promises';
import { readCpuMs } from '../test/support/proc.ts';
import { QUIET_LIFETIME_SECONDS, type Scene } from './scene.ts';

const SETTLE_MS = 10_000;
const QUIET_MS = 60_000;
/** How often the kubelet asks for each probe, and Prometheus for the metrics. */
export const PROBE_MS = 10_000;
export const SCRAPE_MS = 30_000;
const AIM_MS = 60;

/** Processor time of a minute in which nothing is due: the first one, in which V8 clears away once what the start has left, and a later one. */
export async function measureCpu(scene: Scene): Promise<void> {
  const identity = await scene.startWorkspace(QUIET_LIFETIME_SECONDS);
  const bare = scene.startNode();
  const quiet = await scene.startInjected(identity, await scene.volume());
  const probed = await scene.startInjected(identity, await scene.volume());
  await quiet.port;
  const url = `http://127.0.0.1:${await probed.port}`;
  await delay(SETTLE_MS);
  const stop = new AbortController();
  const asking = [
    ask(`${url}/healthz`, PROBE_MS, stop),
    ask(`${url}/readyz`, PROBE_MS, stop),
    ask(`${url}/metrics`, SCRAPE_MS, stop),
  ];
  const pids = [bare, quiet.pid, probed.pid];
  const first = await useOfAMinute(pids);
  const later = await useOfAMinute(pids);
  stop.abort();
  await Promise.all(asking);
  const titles = [
    'bare Node',
    'sidecar, one credential, nothing due',
    `… and both probes every ${PROBE_MS / 1_000} s, a scrape every ${SCRAPE_MS / 1_000} s`,
  ];
  const share = (ms = 0): string => `${((ms / QUIET_MS) * 100).toFixed(2)} %`;
  scene.report.quote('CPU time of a quiet minute', `${later[1]} ms`);
  scene.report.table(
    'CPU time in a quiet minute',
    ['', 'first after the start', 'later', 'of one CPU'],
    titles.map((title, i) => [title, `${first[i]} ms`, `${later[i]} ms`, share(later[i])]),
  );
  scene.report.note(
    `Aim for a later minute in the second row: ${AIM_MS} ms, ${later[1]! <= AIM_MS ? 'met' : 'missed'}. In the first minute, V8 once releases memory that the start needed.`,
  );
}

async function useOfAMinute(pids: readonly number[]): Promise<number[]> {
  const before = pids.map(readCpuMs);
  await delay(QUIET_MS);
  return pids.map((pid, i) => Math.round(readCpuMs(pid) - (before[i] ?? 0)));
}

async function ask(url: string, everyMs: number, { signal }: AbortController): Promise<void> {
  while (!signal.aborted) {
    await (await fetch(url)).text();
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}
