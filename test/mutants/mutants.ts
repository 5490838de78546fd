import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BEYOND } from './beyond.ts';
import type { Mutant } from './mutant.ts';
import { OF_CLASSES } from './of-classes.ts';

export const MUTANTS: readonly Mutant[] = [...OF_CLASSES, ...BEYOND];

export const RESULTS = join(import.meta.dirname, 'results.json');

export interface Fate {
  readonly fate: 'caught' | 'survived';
  /** Of what was tried: a mutant that was changed since has no fate. */
  readonly digest: string;
}

export interface Results {
  /** Of the last run. */
  readonly date: string;
  readonly node: string;
  readonly fates: Readonly<Record<string, Fate>>;
}

export function readResults(): Results {
  return JSON.parse(readFileSync(RESULTS, 'utf8')) as Results;
}
