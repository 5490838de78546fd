import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scene } from '../scene.ts';
import { ratio, say } from '../table.ts';
import { drawFleets } from './plot.ts';
import { type Policy, POLICIES } from './policies.ts';
import {
  BUCKET_MS,
  histogram,
  HOUR_MS,
  MINUTE_MS,
  type Outcome,
  peakToMean,
  type Scenario,
  simulate,
} from './simulate.ts';

const SIDECARS = 10_000;
const HOURS = 3;
const AIMS = [1.7, 1.4];
const SEED = 1;
const OUTAGE_FROM_MS = 1.5 * HOUR_MS;
const OUTAGES = [0.05, 0.15, 0.3];
/** The one that no login may be lost in. */
const BEARABLE = 0.15;
const HEADROOM = 2;

const REBOOT_MS = 5_000;
/** In the first hour after a reboot all expire together, and none has been refreshed at its own time yet. */
const SOON_MS = [1, 10, 20, 30, 40, 50].map((minutes) => minutes * MINUTE_MS);
const STARTS = { 'node reboot, all within 5 s': REBOOT_MS, 'roll-out, within 10 minutes': 10 * MINUTE_MS };

interface Contestant {
  readonly title: string;
  readonly policy: Policy | undefined;
}

const CONTESTANTS: readonly Contestant[] = [
  { title: 'this sidecar', policy: undefined },
  ...POLICIES.map((policy) => ({ title: policy.title, policy })),
];

/** Ten thousand sidecars and one workspace, in simulated time: the keeper of this sidecar against the policies of others. */
export async function measureSimulation(scene: Scene): Promise<void> {
  const base = { sidecars: SIDECARS, durationMs: HOURS * HOUR_MS, seed: SEED };
  const together = new Map<string, Outcome>();
  for (const [title, startsWithinMs] of Object.entries(STARTS)) {
    const outcomes = await simulateAll({ ...base, startsWithinMs });
    tellOfStart(scene, title, outcomes);
    for (const [name, outcome] of outcomes) if (!together.has(name)) together.set(name, outcome);
  }
  const outages = new Map<number, ReadonlyMap<string, Outcome>>();
  for (const lifetimes of OUTAGES) {
    const outage = { fromMs: OUTAGE_FROM_MS, durationMs: lifetimes * HOUR_MS, headroom: HEADROOM };
    outages.set(lifetimes, await simulateAll({ ...base, startsWithinMs: HOUR_MS, outage }));
  }
  tellOfOutages(scene, outages);
  const soon = new Map<number, Outcome>();
  for (const fromMs of SOON_MS) {
    const outage = { fromMs, durationMs: BEARABLE * HOUR_MS, headroom: HEADROOM };
    say(`  this sidecar, outage of ${BEARABLE} of the lifetime ${fromMs / MINUTE_MS} min after a node reboot`);
    soon.set(fromMs, await simulate({ ...base, startsWithinMs: REBOOT_MS, outage }, undefined));
  }
  tellOfSoonOutages(scene, soon);
  scene.report.note(rules());
  const svg = drawFleets(HOURS * HOUR_MS, [
    { title: 'all started within 5 s', outcomes: together },
    {
      title: `outage of ${BEARABLE} of a lifetime after ${OUTAGE_FROM_MS / HOUR_MS} h`,
      outcomes: outages.get(BEARABLE)!,
    },
  ]);
  const path = join(scene.directory, 'simulation.svg');
  await writeFile(path, svg);
  scene.report.picture(path);
}

async function simulateAll(scenario: Scenario): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  for (const { title, policy } of CONTESTANTS) {
    say(
      `  ${title}, ${scenario.outage === undefined ? 'no outage' : `outage of ${scenario.outage.durationMs / MINUTE_MS} min`}`,
    );
    outcomes.set(title, await simulate(scenario, policy));
  }
  return outcomes;
}

function tellOfStart(scene: Scene, title: string, outcomes: ReadonlyMap<string, Outcome>): void {
  const hours = Array.from({ length: HOURS }, (_, hour) => hour);
  const row = ([name, outcome]: [string, Outcome]): string[] => {
    const isOurs = name === CONTESTANTS[0]?.title;
    const ratios = hours.map((hour) =>
      ratio(peakToMean(outcome, hour), isOurs ? (AIMS[hour] ?? AIMS.at(-1)) : undefined),
    );
    return [name, ...ratios, busiest(outcome.mints).toFixed(1)];
  };
  scene.report.table(
    `${title}: busiest five minutes compared with the mean of the hour, without each sidecar's first token`,
    ['', ...hours.map((hour) => `hour ${hour + 1}`), 'peak tokens per second'],
    [...outcomes].map(row),
  );
  const [ours, cron] = [...outcomes.values()].map((outcome) =>
    [0, 1].map((hour) => peakToMean(outcome, hour).toFixed(1)).join(' and '),
  );
  scene.report.quote(
    `${thousands(SIDECARS)} sidecars, ${title}: busiest five minutes compared with the mean, hours 1 and 2 (simulated)`,
    `${ours}; cron script: ${cron}`,
  );
}

function tellOfOutages(scene: Scene, outages: ReadonlyMap<number, ReadonlyMap<string, Outcome>>): void {
  const rows = [...outages].flatMap(([lifetimes, outcomes]) =>
    [...outcomes].map(([name, outcome]) => [
      `${lifetimes} of the lifetime: ${name}`,
      thousands(outcome.expired),
      thousands(lost(outcome)),
      recovery(outcome),
      busiest(outcome.requests).toFixed(0),
    ]),
  );
  scene.report.table(
    `outage ${OUTAGE_FROM_MS / HOUR_MS} h after the first sidecar started (all start within an hour); after it, the workspace issues ${HEADROOM} times as many tokens as the fleet needs, and answers other requests with 429`,
    ['', 'sidecars whose token expired', 'logins lost', 'recovered after', 'peak requests per second'],
    rows,
  );
  const [ours, cron] = [...outages.get(BEARABLE)!.values()].map(lost);
  scene.report.quote(
    `${thousands(SIDECARS)} sidecars, outage of ${BEARABLE} of the lifetime: logins lost (simulated)`,
    `${thousands(ours ?? Number.NaN)}; cron script: ${thousands(cron ?? Number.NaN)}`,
  );
}

function tellOfSoonOutages(scene: Scene, outages: ReadonlyMap<number, Outcome>): void {
  scene.report.table(
    `node reboot, and an outage of ${BEARABLE} of the lifetime soon after it: this sidecar, with a workspace that issues ${HEADROOM} times the tokens that the fleet needs`,
    ['the outage begins', 'sidecars whose token expired', 'logins lost', 'recovered after'],
    [...outages].map(([fromMs, outcome]) => [
      `${fromMs / MINUTE_MS} min after the reboot`,
      thousands(outcome.expired),
      thousands(lost(outcome)),
      recovery(outcome),
    ]),
  );
}

function recovery({ recoveryMs }: Outcome): string {
  return recoveryMs === Infinity ? 'not in time' : `${(recoveryMs / MINUTE_MS).toFixed(1)} min`;
}

/** If each application logs in once a minute; begun minutes count. */
function lost({ withoutMs }: Outcome): number {
  return Math.ceil(withoutMs / MINUTE_MS);
}

function busiest(times: readonly number[]): number {
  return Math.max(...histogram(times, 0, HOURS * HOUR_MS)) / (BUCKET_MS / 1_000);
}

function thousands(count: number): string {
  return count.toLocaleString('en');
}

function rules(): string {
  return [
    'All run the same CLI, which takes a second, retries by itself after 429 or 503, and gives up after five minutes or when it is killed. Applications log in once a minute; a login that finds an expired token is lost. Each fleet has a workspace with the same headroom over the needs of the fleet. A tool that refreshes early, such as spiffe-helper, survives longer outages but mints more tokens; here, `refresh.at` is that choice. The rules of the others:',
    POLICIES.map(({ title, rule, source }) => `- **${title}**: ${rule} (${source}).`).join('\n'),
  ].join('\n\n');
}
