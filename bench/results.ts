import { globSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { basename, join } from 'node:path';
import type { Quote, Report, Table } from './report.ts';
import { SECTIONS, type SectionName } from './sections.ts';

const FOLDER = 'docs/figures';
const root = join(import.meta.dirname, '..');

/** Where, when and with what something was measured. */
export interface Circumstances {
  readonly date: string;
  readonly machine: string;
  /** Average number of busy processes in the minute before: figures of a busy machine are worth less. */
  readonly load: string;
  readonly versions: string;
}

/** What is kept of one part; the page of figures is made of these and of nothing else. */
export interface Result extends Circumstances {
  readonly tables: readonly Table[];
  readonly notes: readonly string[];
  readonly quotes: readonly Quote[];
  readonly skipped: readonly string[];
}

/** To be called before the measurement, which raises the load. */
export function circumstances(versions: readonly string[]): Circumstances {
  const processors = cpus();
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  const model = processors[0]?.model.trim() || 'unknown processor';
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${processors.length} × ${model}, ${gigabytes} GiB, ${type()} ${release().split('.').slice(0, 2).join('.')}`,
    load: (loadavg()[0] ?? 0).toFixed(1),
    versions: versions.join(', '),
  };
}

export async function saveResult(
  name: SectionName,
  { tables, notes, quotes, skipped, versions, drawing }: Report,
  found: Circumstances,
): Promise<void> {
  await mkdir(join(root, FOLDER), { recursive: true });
  const used = [found.versions, ...versions].join(', ');
  const result: Result = { ...found, versions: used, tables, notes, quotes, skipped };
  await writeFile(join(root, FOLDER, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
  if (drawing !== undefined) await copyFile(drawing, join(root, FOLDER, `${name}.svg`));
}

/** In the order of the sections. */
export function readResults(): ReadonlyMap<SectionName, Result> {
  const found = new Set(globSync(`${FOLDER}/*.json`, { cwd: root }).map((path) => basename(path, '.json')));
  const names = Object.keys(SECTIONS) as SectionName[];
  const read = (name: string): Result => JSON.parse(readFileSync(join(root, FOLDER, `${name}.json`), 'utf8')) as Result;
  return new Map(names.filter((name) => found.has(name)).map((name) => [name, read(name)]));
}
