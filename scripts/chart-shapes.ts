import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export interface Shape {
  readonly pattern: string;
  readonly write: string;
  readonly default?: string;
}

const TEMPLATE = join(import.meta.dirname, '../charts/lakebase-credential-sidecar/templates/_shapes.tpl');

/** What each setting must look like, as the templates of the chart say. */
export function chartShapes(): Readonly<Record<string, Shape>> {
  const [, yaml = ''] = /"lakebase\.shapes" -\}\}\n(.*)\{\{- end/s.exec(readFileSync(TEMPLATE, 'utf8')) ?? [];
  return parse(yaml) as Readonly<Record<string, Shape>>;
}
