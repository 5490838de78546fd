import type { Policy } from './policies.ts';
import { seeded } from '../../test/support/random.ts';
import { followPolicy, keepCredentials, type Witness } from './sidecars.ts';
import { SimulatedTime } from './time.ts';
import { LIFETIME_MS, SimulatedWorkspace } from './workspace.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const BUCKET_MS = 5 * MINUTE_MS;

export interface Scenario {
  readonly sidecars: number;
  /** They start one after the other within this time. */
  readonly startsWithinMs: number;
  readonly durationMs: number;
  readonly seed: number;
  /** Begins at `fromMs`; the workspace can make `headroom` times as many tokens as the fleet needs on average. */
  readonly outage?: { readonly fromMs: number; readonly durationMs: number; readonly headroom: number };
}

export interface Outcome {
  /** When each token was there, but for the first of each sidecar. */
  readonly mints: readonly number[];
  /** When the workspace was asked, answered or not. */
  readonly requests: readonly number[];
  /** How many sidecars had a token that expired before its successor came. */
  readonly expired: number;
  /** How long all of them together were without a valid token. */
  readonly withoutMs: number;
  /** After the end of the outage, until nobody's last attempt had failed. */
  readonly recoveryMs: number;
}

/** Follows the policy, or where none is given the sidecar's own keeper. */
export async function simulate(scenario: Scenario, policy?: Policy): Promise<Outcome> {
  const { outage, durationMs } = scenario;
  // What the fleet needs on average is what it asks for where nothing goes wrong.
  const capacityPerSecond =
    outage === undefined ? Infinity : outage.headroom * meanRate(await simulate(steady(scenario), policy), HOUR_MS);
  const time = new SimulatedTime();
  const random = seeded(scenario.seed);
  const interval = outage && { fromMs: outage.fromMs, untilMs: outage.fromMs + outage.durationMs };
  const workspace = new SimulatedWorkspace(time, random, { capacityPerSecond, outage: interval });
  const stop = new AbortController();
  const world = { time, workspace, random, signal: stop.signal };
  const start = policy === undefined ? await keepCredentials(world) : followPolicy(policy, world);
  const lives = Array.from({ length: scenario.sidecars }, () => new Life(time));
  for (const life of lives) {
    time.at(random() * scenario.startsWithinMs, () => {
      start(life);
      return true;
    });
  }
  await time.run(durationMs);
  stop.abort(new Error('the simulation is over'));
  const lastRecovery = Math.max(0, ...lives.map(({ lastRecoveryAt }) => lastRecoveryAt));
  const isOver = lives.every(({ isTroubled }) => !isTroubled);
  return {
    mints: lives.flatMap(({ mints }) => mints.slice(1)).sort((a, b) => a - b),
    requests: workspace.requests,
    expired: lives.filter(({ withoutMs }) => withoutMs > 0).length,
    withoutMs: lives.reduce((sum, life) => sum + life.withoutMs, 0),
    recoveryMs: isOver ? Math.max(0, lastRecovery - (interval?.untilMs ?? Infinity)) : Infinity,
  };
}

/** Long enough for an hour without first mints. */
function steady({ sidecars, startsWithinMs, seed }: Scenario): Scenario {
  return { sidecars, startsWithinMs, seed, durationMs: 2 * HOUR_MS };
}

/** Of the mints after the first, in a second. */
export function meanRate({ mints }: Outcome, fromMs: number, untilMs = fromMs + HOUR_MS): number {
  return mints.filter((at) => at >= fromMs && at < untilMs).length / ((untilMs - fromMs) / 1_000);
}

/** The busiest five minutes of an hour against its mean. */
export function peakToMean(outcome: Outcome, hour: number): number {
  const counts = histogram(outcome.mints, hour * HOUR_MS, HOUR_MS);
  return Math.max(...counts) / (counts.reduce((sum, count) => sum + count) / counts.length);
}

export function histogram(times: readonly number[], fromMs: number, durationMs: number): number[] {
  const counts = Array.from({ length: Math.round(durationMs / BUCKET_MS) }, () => 0);
  for (const at of times) {
    const bucket = Math.floor((at - fromMs) / BUCKET_MS);
    if (bucket >= 0 && bucket < counts.length) counts[bucket]! += 1;
  }
  return counts;
}

/** What happens to one sidecar. */
class Life implements Witness {
  readonly mints: number[] = [];
  withoutMs = 0;
  isTroubled = false;
  lastRecoveryAt = 0;
  readonly #time: SimulatedTime;
  #expiresAt: number | undefined;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  minted(issuedAt: number): void {
    const now = this.#time.now();
    if (this.#expiresAt !== undefined) this.withoutMs += Math.max(0, now - this.#expiresAt);
    this.#expiresAt = issuedAt + LIFETIME_MS;
    this.mints.push(now);
    if (this.isTroubled) this.lastRecoveryAt = now;
    this.isTroubled = false;
  }

  failed(): void {
    this.isTroubled = true;
  }
}
