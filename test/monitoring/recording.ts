import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { metricsIn, rules } from '../support/monitoring.ts';
import type { Range, RangeSeries } from '../support/prometheus.ts';

const FOLDER = join(import.meta.dirname, 'recordings');

/** An alert that fired while it was recorded; seconds since the beginning. */
export interface SeenAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly firesAt: number;
  readonly resolvesAt?: number;
}

export interface Recording {
  readonly name: string;
  /** Of a value to the next one. */
  readonly interval: string;
  /** As `promtool test rules` reads them; times count from the beginning. */
  readonly series: readonly { readonly series: string; readonly values: string }[];
  readonly alerts: readonly SeenAlert[];
}

export interface Recorded {
  readonly name: string;
  readonly series: readonly RangeSeries[];
  readonly range: Range;
  readonly seen: readonly SeenAlert[];
  /** Of the sidecar: the name of a temporary one is nobody's business. */
  readonly directory: string;
}

/** What the rules ask for, of everything that was scraped. */
export function toRecording({ directory, name, range, seen, series }: Recorded): Recording {
  const wanted = new Set(['up', ...rules().flatMap(({ expr }) => metricsIn(expr))]);
  return {
    name,
    interval: `${range.step}s`,
    alerts: seen.map(({ firesAt, labels, resolvesAt }) => ({
      labels: Object.fromEntries(Object.entries(labels).map(([label, value]) => [label, neutral(value, directory)])),
      firesAt: Math.ceil(firesAt),
      ...(resolvesAt === undefined ? {} : { resolvesAt: Math.ceil(resolvesAt) }),
    })),
    series: series
      .filter(({ metric }) => wanted.has(metric['__name__']!))
      .map(({ metric: { __name__: metric = '', ...labels }, values }) => ({
        series: `${metric}{${Object.entries(labels)
          .map(([label, value]) => `${label}="${neutral(value, directory)}"`)
          .join(', ')}}`,
        values: notation(metric, values, range),
      }))
      .toSorted((a, b) => a.series.localeCompare(b.series)),
  };
}

export function recordings(): readonly Recording[] {
  return readdirSync(FOLDER).map((file) => JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Recording);
}

function neutral(value: string, directory: string): string {
  return value.replace(`${directory}/run/`, '/run/lakebase/');
}

function notation(metric: string, values: RangeSeries['values'], { from, step, to }: Range): string {
  const known = new Map(values.map(([at, value]) => [Math.round((at - from) / step), value]));
  const words: string[] = [];
  for (let index = 0; index <= Math.floor((to - from) / step); index += 1) {
    const value = known.get(index);
    // A gap begins with a mark: else Prometheus goes on with the last value for five minutes.
    if (value === undefined) words.push(known.has(index - 1) ? 'stale' : '_');
    else words.push(metric.endsWith('_timestamp_seconds') ? sinceBeginning(value, from) : value);
  }
  return shortened(words).join(' ');
}

function sinceBeginning(seconds: string, from: number): string {
  return String(Math.round((Number(seconds) - from) * 1_000) / 1_000);
}

/** `1x3` is 1 four times. */
function shortened(words: readonly string[]): string[] {
  const runs: { readonly word: string; count: number }[] = [];
  for (const word of words) {
    const last = runs.at(-1);
    if (last?.word === word && word !== 'stale') last.count += 1;
    else runs.push({ word, count: 1 });
  }
  return runs.map(({ count, word }) => (count === 1 ? word : `${word}x${word === '_' ? count : count - 1}`));
}
