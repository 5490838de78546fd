import type { Random } from '../../src/credential/schedule.ts';
import type { SimulatedTime } from './time.ts';

export const LIFETIME_MS = 3_600_000;

export interface Weather {
  /** How many tokens a second the workspace can make; more are refused with 429. */
  readonly capacityPerSecond: number;
  readonly outage: { readonly fromMs: number; readonly untilMs: number } | undefined;
}

/** Start of the CLI, login, and the answer. */
const RUN_MS = 1_000;
/** What the CLI does about 429 and 503 without a word: it waits n seconds after the n-th, ten at most, and some more. */
const CLI_RETRY_MS = 1_000;
const CLI_MAX_RETRY_MS = 10_000;
const CLI_LEAST_EXTRA_MS = 50;
const CLI_MOST_EXTRA_MS = 750;
/** After this the CLI gives up by itself. */
export const CLI_PATIENCE_MS = 300_000;

/** The workspace, and the CLI that asks it for tokens. */
export class SimulatedWorkspace {
  /** When it was asked for a token, each time. */
  readonly requests: number[] = [];
  readonly #time: SimulatedTime;
  readonly #random: Random;
  readonly #weather: Weather;
  #allowance = 0;
  #allowedAt = 0;

  constructor(time: SimulatedTime, random: Random, weather: Weather) {
    this.#time = time;
    this.#random = random;
    this.#weather = weather;
  }

  /** One run of the CLI, killed after `timeoutMs`. @returns whether it brought a token */
  async runCli(timeoutMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const startedAt = this.#time.now();
    const deadline = startedAt + Math.min(timeoutMs, CLI_PATIENCE_MS);
    const end = (isAnswered: boolean): true => {
      resolve(isAnswered);
      return true;
    };
    const ask = (refusals: number): boolean => {
      this.requests.push(this.#time.now());
      if (this.#answers()) return end(true);
      const extraMs = CLI_LEAST_EXTRA_MS + this.#random() * (CLI_MOST_EXTRA_MS - CLI_LEAST_EXTRA_MS);
      const againAt = this.#time.now() + Math.min(CLI_MAX_RETRY_MS, CLI_RETRY_MS * refusals) + extraMs;
      if (againAt < deadline) this.#time.at(againAt, () => ask(refusals + 1));
      else this.#time.at(deadline, () => end(false));
      return false;
    };
    this.#time.at(startedAt + RUN_MS, () => ask(1));
    return await promise;
  }

  #answers(): boolean {
    const now = this.#time.now();
    const { outage, capacityPerSecond } = this.#weather;
    if (outage !== undefined && now >= outage.fromMs && now < outage.untilMs) return false;
    // No more than a second's worth is saved up.
    const gained = ((now - this.#allowedAt) / 1_000) * capacityPerSecond;
    this.#allowance = Math.min(Math.max(1, capacityPerSecond), this.#allowance + gained);
    this.#allowedAt = now;
    if (capacityPerSecond === Infinity) return true;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }
}
