import { setTimeout as delay } from 'node:timers/promises';
import { readMemory } from '../test/support/proc.ts';
import { credential, NOBODY, shellAnswer, type LogLine, type Running, type Scene } from './scene.ts';
import { mb, median, ms, quantile, type Extent } from './table.ts';

const COUNT = 50;
const HANGING = 3;
const MINTS = 3;
const SCRAPES = 20;

/** What production has; a scaled run divides all of it by the same number. */
const LIFETIME_SECONDS = 300;
const CLI_SECONDS = 1;
const TIMEOUT_SECONDS = 30;
const FLOOR_SECONDS = 10;
const SCALE = 10;
/** Two refreshes are due after at most this many lifetimes, but for the start and the queue. */
const LIFETIMES = 2;

/** Fifty credentials in one process, three of which belong to a CLI that never ends. */
export async function measureFleet(scene: Scene, { isFull }: Extent): Promise<void> {
  const scale = isFull ? 1 : SCALE;
  const lifetimeMs = (LIFETIME_SECONDS / scale) * 1_000;
  const { path: command } = await scene.script(
    `case "$3" in */hangs-*) exec sleep 3600;; esac\nsleep ${CLI_SECONDS / scale}\n${shellAnswer(LIFETIME_SECONDS / scale)}`,
  );
  const directory = await scene.folder();
  const settings = {
    minter: { cli: { command, timeout: `${TIMEOUT_SECONDS / scale}s` } },
    refresh: { floor: `${FLOOR_SECONDS / scale}s` },
  };
  const names = Array.from({ length: COUNT }, (_, i) => (i % 17 === 5 ? `hangs-${i}` : `works-${i}`));
  const fleet = await scene.startSidecar(NOBODY, {
    credentials: names.map((name) => credential(name, directory)),
    ...settings,
  });
  const single = await scene.startSidecar(NOBODY, {
    credentials: [credential('works-alone', directory)],
    ...settings,
  });
  const port = await fleet.port;
  await single.port;
  await delay(lifetimeMs * LIFETIMES);
  const scrapes = await scrape(port);
  const perCredential = (readMemory(fleet.pid).own - readMemory(single.pid).own) / (COUNT - 1);
  report(scene, fleet, names, lifetimeMs, scale, [
    ['scrape, median', ms(median(scrapes.map(({ durationMs }) => durationMs)))],
    ['size of a scrape', `${Math.round((scrapes[0]?.size ?? 0) / 1024)} KiB`],
    ['memory per credential (private)', mb(perCredential)],
    ['memory of the process (RSS)', mb(readMemory(fleet.pid).rss)],
  ]);
  await scene.stop(fleet.child);
  await scene.stop(single.child);
}

async function scrape(port: number): Promise<{ readonly durationMs: number; readonly size: number }[]> {
  const scrapes = [];
  for (let i = 0; i < SCRAPES; i += 1) {
    const startedAt = performance.now();
    const { length: size } = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    scrapes.push({ durationMs: performance.now() - startedAt, size });
  }
  return scrapes;
}

function report(
  scene: Scene,
  { lines }: Running,
  names: readonly string[],
  lifetimeMs: number,
  scale: number,
  rest: readonly (readonly string[])[],
): void {
  const works = names.filter((name) => name.startsWith('works-'));
  const minted = new Map(works.map((name) => [name, lines.filter((line) => isMinted(line, name))]));
  const counts = [...minted.values()].map(({ length }) => length);
  const left = [...minted.values()].flatMap(lifeLeft).map((leftMs) => leftMs / lifetimeMs);
  const expired = new Set(lines.filter(({ msg }) => msg.startsWith('expired')).map(({ credential }) => credential));
  const failed = lines.filter(({ msg, credential }) => msg === 'mint failed' && credential?.startsWith('works-'));
  scene.report.quote(
    `${COUNT} credentials in one process, ${HANGING} of them hanging for ever`,
    `${expired.size} healthy credentials expired`,
  );
  const percent = (fraction: number): string => `${Math.round(fraction * 100)} % of a lifetime`;
  scene.report.table(
    `${COUNT} credentials with tokens of ${lifetimeMs / 60_000} min and a CLI that takes ${CLI_SECONDS / scale} s, ${HANGING} of them hanging for ever` +
      (scale === 1 ? '' : ` (everything ${scale} times faster than in production, without --full)`),
    ['', 'measured'],
    [
      [
        `healthy credentials that were minted and refreshed ${MINTS - 1} times or more`,
        `${counts.filter((n) => n >= MINTS).length} of ${works.length}`,
      ],
      ['healthy credentials that expired', String(works.filter((name) => expired.has(name)).length)],
      ['failed attempts of healthy credentials', String(failed.length)],
      ['lifetime left when the next token was ready: minimum', percent(Math.min(...left))],
      ['lifetime left when the next token was ready: median', percent(quantile(left, 0.5))],
      ...rest,
    ],
  );
}

function isMinted({ msg, credential }: LogLine, name: string): boolean {
  return credential === name && msg.startsWith('minted');
}

/** Of each credential, when it was replaced. */
function lifeLeft(minted: readonly LogLine[]): number[] {
  return minted.slice(1).map(({ time }, i) => Date.parse(String(minted[i]?.['expiresAt'])) - Date.parse(time));
}
