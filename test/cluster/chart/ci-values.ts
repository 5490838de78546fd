import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { CHART } from './helm.ts';

/** Of secretSync as the chart is tried with it. */
export interface SyncValues {
  readonly secretSync: {
    readonly config: { readonly credentials: readonly object[]; readonly http?: object };
    readonly identity: object;
  };
}

export const injection = valuesOf('injection');
export const secretSync = valuesOf('secret-sync') as SyncValues;

export function withSync(changes: object): object {
  return { ...secretSync, secretSync: { ...secretSync.secretSync, ...changes } };
}

function valuesOf(name: string): object {
  return parse(readFileSync(join(CHART, `ci/${name}-values.yaml`), 'utf8')) as object;
}
