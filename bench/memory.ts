import { setTimeout as delay } from 'node:timers/promises';
import { descendantsOf, readMemory, readPeak, type Memory } from '../test/support/proc.ts';
import { PROBE_MS, SCRAPE_MS } from './cpu.ts';
import { credential, QUIET_LIFETIME_SECONDS, type Running, type Scene } from './scene.ts';
import { mb, median, ratio } from './table.ts';

const AIM = 1.5;
export const COPIES = 3;
/** V8 gives back what the start took, once it has noticed that little happens. */
export const SETTLE_MS = 60_000;
const LOOK_MS = 15;
const LOOKS_MS = 12_000;
const HOUR_MS = 3_600_000;
/** Renewed every four seconds. */
const SHORT_LIFETIME_SECONDS = 6;
/** What a sidecar cannot do without of Node.js itself. */
const NEEDED = `require('node:http').createServer().listen(0, '127.0.0.1');
  require('node:child_process').spawn('/bin/true');
  require('node:crypto').createHash('sha256').update('').digest();`;

export const row = (title: string, { rss, pss, own }: Memory): string[] => [title, mb(rss), mb(pss), mb(own)];

/** Idle in a pod that the chart made, and while it mints, against a Node.js that does nothing. */
export async function measureMemory(scene: Scene): Promise<void> {
  const identity = await scene.startWorkspace(QUIET_LIFETIME_SECONDS);
  const bare = idlers(scene);
  const needed = idlers(scene, NEEDED);
  const sidecars: Running[] = [];
  const byFile: Running[] = [];
  for (let i = 0; i < COPIES; i += 1) {
    sidecars.push(await scene.startInjected(identity, await scene.volume()));
    byFile.push(await startOne(scene, identity, { floor: '20m' }));
  }
  await Promise.all([...sidecars, ...byFile].map(({ port }) => port));
  await delay(SETTLE_MS);
  const idle = middle(sidecars.map(({ pid }) => readMemory(pid)));
  const floor = middle(bare.map(readMemory));
  const peak = median(sidecars.map(({ pid }) => readPeak(pid)));
  await Promise.all(sidecars.map(async ({ port }) => await askForAnHour(`http://127.0.0.1:${await port}`)));
  await delay(SETTLE_MS);
  const used = middle(sidecars.map(({ pid }) => readMemory(pid)));
  const minting = await whileMinting(scene);
  scene.report.quote(
    'idle memory (RSS)',
    `${mb(idle.rss)}, ${ratio(idle.rss / floor.rss)} that of a Node.js that does nothing; ${mb(used.rss)} after an hour's probes and scrapes`,
  );
  scene.report.table(
    `memory: one credential, medians of ${COPIES} processes, ${SETTLE_MS / 1_000} s after the start`,
    ['', 'RSS', 'PSS', 'private'],
    [
      row('bare Node', floor),
      row('… that listens for HTTP, has run a command and computed a hash', middle(needed.map(readMemory))),
      row('sidecar, idle', idle),
      ['ratio', ratio(idle.rss / floor.rss, AIM), ratio(idle.pss / floor.pss), ratio(idle.own / floor.own)],
      row('… with a configuration file', middle(byFile.map(({ pid }) => readMemory(pid)))),
      ['sidecar, peak since its start', mb(peak), '', ''],
      row("sidecar, after an hour's probes and scrapes", used),
      row('sidecar while its CLI runs, peak', minting.sidecar),
      row(`… with the processes of ${scene.cli.name}`, minting.all),
    ],
  );
}

/** As fast as it answers: V8 counts the calls, not the minutes. */
async function askForAnHour(url: string): Promise<void> {
  for (let scrapes = 0; scrapes < HOUR_MS / SCRAPE_MS; scrapes += 1) {
    for (let probes = 0; probes < SCRAPE_MS / PROBE_MS; probes += 1) {
      for (const path of ['/healthz', '/readyz']) await (await fetch(url + path)).text();
    }
    await (await fetch(`${url}/metrics`)).text();
  }
}

export function idlers(scene: Scene, code?: string): number[] {
  return Array.from({ length: COPIES }, () => scene.startNode(code));
}

export async function startOne(
  scene: Scene,
  identity: Record<string, string>,
  refresh: object,
  sinks?: readonly object[],
): Promise<Running> {
  const config = {
    credentials: [{ ...credential('primary', await scene.volume()), ...(sinks === undefined ? {} : { sinks }) }],
    minter: { cli: { command: scene.cli.path } },
    refresh,
  };
  return await scene.startSidecar(identity, config);
}

async function whileMinting(scene: Scene): Promise<{ readonly sidecar: Memory; readonly all: Memory }> {
  const identity = await scene.startWorkspace(SHORT_LIFETIME_SECONDS);
  const { pid, port } = await startOne(scene, identity, { floor: '1s' });
  await port;
  await delay(SETTLE_MS / 4);
  let highest = { sidecar: NOTHING, all: NOTHING };
  for (const end = performance.now() + LOOKS_MS; performance.now() < end; await delay(LOOK_MS)) {
    const children = descendantsOf(pid).flatMap((child) => readIfThere(child));
    if (children.length === 0) continue;
    const sidecar = readMemory(pid);
    const all = [sidecar, ...children].reduce(add);
    highest = {
      sidecar: sidecar.own > highest.sidecar.own ? sidecar : highest.sidecar,
      all: all.own > highest.all.own ? all : highest.all,
    };
  }
  return highest;
}

const NOTHING: Memory = { rss: 0, pss: 0, own: 0, anonymous: 0 };

function readIfThere(pid: number): Memory[] {
  try {
    return [readMemory(pid)];
  } catch {
    return []; // it has ended
  }
}

function add(a: Memory, b: Memory): Memory {
  return {
    rss: a.rss + b.rss,
    pss: a.pss + b.pss,
    own: a.own + b.own,
    anonymous: a.anonymous + b.anonymous,
  };
}

export function middle(memories: readonly Memory[]): Memory {
  const of = (field: keyof Memory): number => median(memories.map((memory) => memory[field]));
  return { rss: of('rss'), pss: of('pss'), own: of('own'), anonymous: of('anonymous') };
}
