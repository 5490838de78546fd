import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { requireLoopback } from './loopback.ts';
import { PART_NAMES, PARTS, type PartName } from './parts.ts';
import { circumstances, saveResult } from './results.ts';
import { runParts } from './run.ts';
import { version } from '../src/version.ts';
import { clis } from '../test/support/clis.ts';
import { say } from './table.ts';

const USAGE = `npm run bench -- [${PART_NAMES.join(' | ')}]… [--full] [--repeat COUNT] [--write]`;

const { values, positionals } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '15' },
    /** Into the page of figures and the README. */
    write: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !PART_NAMES.some((part) => part === name));
const repetitions = Number(values.repeat);
if (unknown !== undefined || !(repetitions >= 1)) throw new Error(`${unknown ?? '--repeat'}: usage: ${USAGE}`);
requireLoopback('DATABRICKS_HOST', process.env['DATABRICKS_HOST']);
const chosen = positionals.length === 0 ? PART_NAMES : PART_NAMES.filter((name) => positionals.includes(name));

if (chosen.some((name) => PARTS[name].needsBundle)) runScript('scripts/build.ts');
const versions = [`this sidecar ${version}`, `Node.js ${process.versions.node}`, clis.at(-1)!.name];
const found = circumstances(versions);
say(`${found.machine}; load ${found.load}; ${found.versions}`);
await runParts(
  Object.fromEntries(chosen.map((name) => [name, PARTS[name]])) as Record<PartName, (typeof PARTS)[PartName]>,
  { isFull: values.full, repetitions },
  async (name, report) => {
    if (values.write) await saveResult(name, report, found);
  },
);
if (values.write) runScript('scripts/generate.ts');

function runScript(path: string): void {
  const { status } = spawnSync(process.execPath, [path], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${path} failed`);
}
