import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { credential, NOBODY, shellAnswer, type Scene } from './scene.ts';
import { median, ms, quantile, type Extent } from './table.ts';

const AIM_MS = 5;
const NAMES = ['a', 'b', 'c', 'd'];
const LIFETIME_SECONDS = 4;
/** Each credential is renewed every two to three seconds. */
const MS_PER_REPETITION = 2_000;

/** From the end of the CLI to the new file, with the fsync of file, record and directory in between. */
export async function measurePublish(scene: Scene, extent: Extent): Promise<void> {
  await measureIn(await scene.volume(), 'a memory-backed volume', scene, extent);
  await measureIn(await scene.folder(), 'the disk of this machine', scene, extent);
}

/**
 * Both leave a trace in the file system, and one process sees both. The CLI's trace is its last act, so its own exit
 * counts too.
 */
async function measureIn(directory: string, place: string, scene: Scene, { repetitions }: Extent): Promise<void> {
  const traces = await scene.folder();
  const { path: command } = await scene.script(`${shellAnswer(LIFETIME_SECONDS)}\nprintf . >> '${traces}'/"\${3##*/}"`);
  const endedAt = new Map<string, number>();
  const delays: number[] = [];
  const watchers = [
    watch(traces, (_event, name) => {
      if (name !== null) endedAt.set(name, performance.now());
    }),
  ];
  for (const name of NAMES) {
    await mkdir(join(directory, name));
    const onChange = (_event: string, changed: string | null): void => {
      const ended = endedAt.get(name);
      if (changed !== 'pgpass' || ended === undefined) return;
      delays.push(performance.now() - ended);
      endedAt.delete(name);
    };
    watchers.push(watch(join(directory, name), onChange));
  }
  const sidecar = await scene.startSidecar(NOBODY, {
    credentials: NAMES.map((name) => credential(name, directory)),
    minter: { cli: { command } },
    refresh: { floor: '1s' },
  });
  try {
    await sidecar.port;
    await delay(1_000);
    delays.length = 0; // the first ones are a matter of the start
    await delay(repetitions * MS_PER_REPETITION);
  } finally {
    for (const watcher of watchers) watcher.close();
    await scene.stop(sidecar.child);
  }
  const middle = median(delays);
  scene.report.quote(`end of the CLI to the new file, on ${place}`, `${ms(middle)} (median)`);
  scene.report.table(
    `end of the CLI to the new file on ${place}: ${delays.length} refreshes`,
    ['', 'time', `aim: median ≤ ${AIM_MS} ms`],
    [
      ['median', ms(middle), middle <= AIM_MS ? 'met' : 'missed'],
      ['nine of ten within', ms(quantile(delays, 0.9)), ''],
      ['worst', ms(Math.max(...delays)), ''],
    ],
  );
}
