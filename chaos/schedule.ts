import { choose, seeded } from '../test/support/random.ts';
import { FAULTS, kindOf, type FaultName, type Impairment, type Lane } from './catalogue.ts';
import { DIRECTORIES, FILES, SECRET_PLACE } from './layout.ts';

export interface PlannedFault {
  readonly name: FaultName;
  /** Since the beginning of the run. */
  readonly atMs: number;
  readonly lastsMs: number;
  /** In [0, 1): which file, how far, in which way. */
  readonly pick: number;
}

/** A storm of faults, then calm in which everything has to be well again. */
export interface Round {
  readonly beginsMs: number;
  readonly calmFromMs: number;
  readonly endsMs: number;
  readonly faults: readonly PlannedFault[];
}

const ROUND_MS = 75_000;
const SHORTEST_STORM_MS = 6_000;
/** What lingers longest, a retry, and some seconds in which nothing may be wrong. */
const CALM_MS = 20_000;
/** Between two faults of a lane, in seconds. */
const PAUSES: Readonly<Record<Lane, readonly [number, number]>> = {
  workspace: [1, 12],
  cli: [4, 20],
  process: [4, 25],
  clock: [5, 30],
  volume: [4, 20],
  disk: [8, 40],
  file: [2, 8],
  config: [4, 20],
  'client secret': [6, 35],
  dns: [8, 45],
  postgres: [8, 40],
  Kubernetes: [8, 30],
  Secret: [4, 15],
  pods: [5, 30],
};
/** A process that lives through several rounds shows what leaks, so most rounds kill none. */
const ROUNDS_BETWEEN_KILLS = 3;
const KILLS: ReadonlySet<FaultName> = new Set(['the sidecar is killed', 'the sidecar is stopped']);
/** The sidecar repairs three times a minute at most; two of ours, and one after whatever else. */
const DAMAGES_A_MINUTE = 2;
const MINUTE_MS = 62_000;

const NAMES = Object.keys(FAULTS) as FaultName[];
const LANES = Object.keys(PAUSES) as Lane[];

/** The same seed and length give the same faults. */
export function planRun(seed: number, minutes: number): Round[] {
  const random = seeded(seed);
  const totalMs = minutes * 60_000;
  const count = Math.max(1, Math.round(totalMs / ROUND_MS));
  const lengthMs = Math.max(totalMs / count, SHORTEST_STORM_MS + CALM_MS);
  const damages = new Damages();
  return Array.from({ length: count }, (_, index) => {
    const beginsMs = index * lengthMs;
    const endsMs = beginsMs + lengthMs;
    const calmFromMs = endsMs - CALM_MS;
    const mayKill = index % ROUNDS_BETWEEN_KILLS === 0;
    const faults = LANES.flatMap((lane) => planLane(lane, mayKill, beginsMs, calmFromMs, random))
      .sort((a, b) => a.atMs - b.atMs)
      .filter((fault) => damages.allow(fault));
    return { beginsMs, calmFromMs, endsMs, faults };
  });
}

function planLane(lane: Lane, mayKill: boolean, fromMs: number, untilMs: number, random: () => number): PlannedFault[] {
  const [shortest, longest] = PAUSES[lane];
  const names = NAMES.filter((name) => kindOf(name).lane === lane && (mayKill || !KILLS.has(name))).flatMap((name) =>
    Array.from({ length: kindOf(name).weight ?? 1 }, () => name),
  );
  const faults: PlannedFault[] = [];
  // The first one of a round comes at any time within a pause, so that short storms have different ones.
  let atMs = fromMs + random() * Math.min(longest * 1_000, untilMs - fromMs);
  for (;;) {
    const name = choose(names, random());
    const [least, most] = kindOf(name).seconds;
    const lastsMs = Math.round((least + random() * (most - least)) * 1_000);
    const pick = random();
    if (atMs + lastsMs > untilMs) return faults;
    faults.push({ name, atMs: Math.round(atMs), lastsMs, pick });
    atMs += lastsMs + (shortest + random() * (longest - shortest)) * 1_000;
  }
}

/** The files, or the Secret, that a fault takes from its readers. */
export function damagedBy({ name, pick }: Pick<PlannedFault, 'name' | 'pick'>): readonly string[] {
  if (name === 'the directory is removed') {
    const directory = choose(DIRECTORIES, pick);
    return FILES.filter((file) => file.directory === directory).map(({ path }) => path);
  }
  const { lane } = kindOf(name);
  if (lane === 'Secret') return [SECRET_PLACE];
  const isTouch = lane === 'file' && name !== 'a state file is damaged';
  return isTouch ? [choose(FILES, pick).path] : [];
}

/** What cannot be expected while it lasts. */
export function impairedBy({ name, pick }: Pick<PlannedFault, 'name' | 'pick'>): readonly Impairment[] {
  return name === 'the disk hangs' ? [`write to ${choose(DIRECTORIES, pick)}`] : kindOf(name).impairs;
}

class Damages {
  readonly #times = new Map<string, number[]>();

  allow(fault: PlannedFault): boolean {
    const paths = damagedBy(fault);
    const isTooMuch = (path: string): boolean =>
      this.#timesOf(path).filter((atMs) => fault.atMs - atMs < MINUTE_MS).length >= DAMAGES_A_MINUTE;
    if (paths.some(isTooMuch)) return false;
    for (const path of paths) this.#timesOf(path).push(fault.atMs);
    return true;
  }

  #timesOf(path: string): number[] {
    const known = this.#times.get(path) ?? [];
    this.#times.set(path, known);
    return known;
  }
}
