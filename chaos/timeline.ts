import type { Impairment } from './catalogue.ts';

interface Interval {
  readonly name: string;
  readonly impairs: readonly Impairment[];
  readonly paths: readonly string[];
  readonly from: number;
  /** What lingers counts; Infinity while it lasts. */
  until: number;
  /** Without what lingers. */
  endedAt: number;
}

export interface BeginOptions {
  readonly impairs?: readonly Impairment[];
  /** The files that it takes from their readers. */
  readonly paths?: readonly string[];
}

/** Ends it; it may linger. */
export type End = (lingersMs?: number) => void;

const KEPT_MS = 180_000;

/** What was done to the sidecar and its surroundings, and when: what can explain a failure. */
export class Timeline {
  #intervals: Interval[] = [];
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  begin(name: string, { impairs = [], paths = [] }: BeginOptions = {}): End {
    const from = this.#now();
    const interval: Interval = { name, impairs, paths, from, until: Infinity, endedAt: Infinity };
    this.#intervals = this.#intervals.filter(({ until }) => until > from - KEPT_MS);
    this.#intervals.push(interval);
    return (lingersMs = 0) => {
      interval.endedAt = this.#now();
      interval.until = interval.endedAt + lingersMs;
    };
  }

  /** Whether between the two instants nothing of this kind was impaired for so long in a row. */
  hasHealthyGap(from: number, to: number, kinds: readonly Impairment[], lengthMs: number): boolean {
    let wellSince = from;
    const troubles = this.#intervals
      .filter(({ impairs, until }) => until > from && impairs.some((kind) => kinds.includes(kind)))
      .sort((a, b) => a.from - b.from);
    for (const trouble of troubles) {
      if (Math.min(trouble.from, to) - wellSince >= lengthMs) return true;
      wellSince = Math.max(wellSince, trouble.until);
    }
    return to - wellSince >= lengthMs;
  }

  isImpaired(kind: Impairment, from: number, to: number): boolean {
    return this.#intervals.some((one) => one.impairs.includes(kind) && one.from <= to && one.until >= from);
  }

  /** Whether somebody took this file from its readers between the two instants. */
  wasDamaged(path: string, from: number, to: number): boolean {
    return this.#intervals.some((one) => one.paths.includes(path) && one.from <= to && one.endedAt >= from);
  }

  /** Whether something of this name went on between the two instants. */
  had(pattern: RegExp, from: number, to = this.#now()): boolean {
    return this.#intervals.some((one) => pattern.test(one.name) && one.from <= to && one.endedAt >= from);
  }

  /** When the last one of this name ended, in epoch milliseconds; -Infinity without one. */
  latest(pattern: RegExp): number {
    return Math.max(...this.#intervals.filter(({ name }) => pattern.test(name)).map(({ endedAt }) => endedAt));
  }

  /** When those of this name began since then, in epoch milliseconds. */
  beginnings(pattern: RegExp, since: number): number[] {
    return this.#intervals.filter(({ name, from }) => pattern.test(name) && from >= since).map(({ from }) => from);
  }

  /** For a story. */
  tell(from: number, to = this.#now()): string[] {
    return this.#intervals
      .filter((one) => one.from <= to && one.until >= from)
      .map((one) => {
        const ended = one.endedAt === Infinity ? 'still' : `to ${clockTime(one.endedAt)}`;
        return `${clockTime(one.from)} ${ended}: ${one.name}`;
      });
  }
}

export function clockTime(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
