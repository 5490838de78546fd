import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { readMemory } from '../test/support/proc.ts';
import { credential, NOBODY, NODE, shellAnswer, type LogLine, type Scene } from './scene.ts';
import { mb, median, ms, type Extent } from './table.ts';

const LIFETIME_SECONDS = 6;
const NAMES = ['a', 'b', 'c', 'd'];
const JUNK_A_SECOND = 10_000;
const SETTLE_MS = 5_000;
/** Each credential is renewed every three to four seconds, so that one repetition sees two or more of the four renewed. */
const MS_PER_REPETITION = 2_000;
/** Asks for health as a kubelet does, meanwhile. */
const PROBE_MS = 500;

interface Flood {
  readonly connections: number;
  readonly mostHeld: number;
  readonly answers: number;
  readonly shouted: number;
  readonly seconds: number;
}

/** Whether rotations come later while somebody floods the port, against the same process before. */
export async function measureFlood(scene: Scene, { repetitions }: Extent): Promise<void> {
  const directory = await scene.folder();
  const { path: command } = await scene.script(shellAnswer(LIFETIME_SECONDS));
  const sidecar = await scene.startSidecar(NOBODY, {
    credentials: NAMES.map((name) => credential(name, directory)),
    minter: { cli: { command } },
    refresh: { floor: '1s' },
  });
  const port = String(await sidecar.port);
  await delay(SETTLE_MS);
  const phaseMs = repetitions * MS_PER_REPETITION;
  const quiet = await latenesses(sidecar.lines, phaseMs);

  const args = ['test/fixtures/flood.ts', '127.0.0.1', port, String(JUNK_A_SECOND)];
  const flood = scene.spawn(NODE, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const printed = text(flood.stdout as Readable);
  const stop = new AbortController();
  const probing = probe(`http://127.0.0.1:${port}/readyz`, stop);
  const flooded = await latenesses(sidecar.lines, phaseMs);
  const { rss } = readMemory(sidecar.pid);
  stop.abort();
  flood.stdin!.end();
  const { connections, mostHeld, answers, shouted, seconds } = JSON.parse(await printed) as Flood;
  const probes = await probing;

  const perSecond = (count: number): string => Math.round(count / seconds).toLocaleString('en-US');
  scene.report.quote(
    `most delayed rotation in a flood of ${perSecond(shouted)} requests a second`,
    `${ms(Math.max(...flooded))} late (quiet: ${ms(Math.max(...quiet))})`,
  );
  scene.report.table(
    `${perSecond(shouted)} requests a second, ${mostHeld.toLocaleString('en-US')} connections open at once and ${perSecond(connections)} new ones a second, tokens of ${LIFETIME_SECONDS} s`,
    ['', 'quiet', 'in the flood'],
    [
      ['delay of a new token after its due time: median', ms(median(quiet)), ms(median(flooded))],
      ['… maximum', ms(Math.max(...quiet)), ms(Math.max(...flooded))],
      ['rotations', String(quiet.length), String(flooded.length)],
      ['responses to junk per second', '', perSecond(answers)],
      ['kubelet probes answered with 200', '', `${probes.answered} of ${probes.asked}`],
      ['RSS at the end', '', mb(rss)],
    ],
  );
}

/** Of the rotations of the next `forMs`: from when each was due until it was there. */
async function latenesses(lines: readonly LogLine[], forMs: number): Promise<number[]> {
  const from = lines.length;
  await delay(forMs);
  const dueAt = new Map<string, number>();
  const late: number[] = [];
  for (const line of lines.slice(from)) {
    if (line.msg !== 'minted' || line.credential === undefined) continue;
    const due = dueAt.get(line.credential);
    if (due !== undefined) late.push(Date.parse(line.time) - due);
    dueAt.set(line.credential, Date.parse(String(line['nextRefreshAt'])));
  }
  return late;
}

async function probe(url: string, { signal }: AbortController): Promise<{ asked: number; answered: number }> {
  const counts = { asked: 0, answered: 0 };
  while (!signal.aborted) {
    counts.asked += 1;
    const isOk = await fetch(url, { headers: { connection: 'close' }, signal: AbortSignal.timeout(1_000) }).then(
      ({ status }) => status === 200,
      () => false,
    );
    if (isOk) counts.answered += 1;
    await delay(PROBE_MS, undefined, { signal }).catch(() => undefined);
  }
  return counts;
}
