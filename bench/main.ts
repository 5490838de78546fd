import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { requireLoopback } from './loopback.ts';
import { PART_NAMES, PARTS, type PartName } from './parts.ts';
import { circumstances, saveResult } from './results.ts';
import { runParts } from './run.ts';
import { version } from '../src/version.ts';
import { clis } from '../test/support/clis.ts';
import { say } from './table.ts';

const HELP = `Usage: npm run bench -- [PART]... [--full] [--repeat COUNT] [--write]

Measures what the program costs, side by side with what it is compared to. All parts together take about ten minutes.

  PART            one of ${PART_NAMES.join(', ')}
  --full          the part fleet as slow as in production, which takes ten minutes
  --repeat COUNT  how often start, publish, flood and admission measure; 15 without it
  --write         puts the results into docs/figures.md and the README
`;
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;

interface Options {
  readonly parts: readonly PartName[];
  readonly isFull: boolean;
  readonly repetitions: number;
  readonly writes: boolean;
}

/** A text where they make no sense, and undefined where help is asked for. */
function readOptions(args: string[]): Options | string | undefined {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: {
        full: { type: 'boolean', default: false },
        repeat: { type: 'string', default: '15' },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
      allowPositionals: true,
    });
    if (values.help === true) return undefined;
    const unknown = positionals.find((name) => !PART_NAMES.some((part) => part === name));
    if (unknown !== undefined) return `there is no part ${unknown}`;
    const repetitions = Number(values.repeat);
    if (!(Number.isInteger(repetitions) && repetitions >= 1)) return '--repeat takes a whole number, 1 or more';
    const parts = PART_NAMES.filter((name) => positionals.length === 0 || positionals.includes(name));
    return { parts, isFull: values.full, repetitions, writes: values.write };
  } catch (error) {
    return (error as Error).message;
  }
}

function runScript(path: string): void {
  const { status } = spawnSync(process.execPath, [path], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${path} failed`);
}

async function measure({ parts, isFull, repetitions, writes }: Options): Promise<void> {
  requireLoopback('DATABRICKS_HOST', process.env['DATABRICKS_HOST']);
  if (parts.some((name) => PARTS[name].needsBundle)) runScript('scripts/build.ts');
  const versions = [`this sidecar ${version}`, `Node.js ${process.versions.node}`, clis.at(-1)!.name];
  const found = circumstances(versions);
  say(`${found.machine}; load ${found.load}; ${found.versions}`);
  await runParts(
    Object.fromEntries(parts.map((name) => [name, PARTS[name]])) as Record<PartName, (typeof PARTS)[PartName]>,
    { isFull, repetitions },
    async (name, report) => {
      if (writes) await saveResult(name, report, found);
    },
  );
  if (writes) runScript('scripts/generate.ts');
}

const options = readOptions(process.argv.slice(2));
if (options === undefined) {
  process.stdout.write(HELP);
} else if (typeof options === 'string') {
  process.stderr.write(`${options}\n\n${HELP}`);
  process.exitCode = EXIT_USAGE;
} else if (process.platform !== 'linux') {
  process.stderr.write('npm run bench needs Linux: it reads memory and CPU time from /proc\n');
  process.exitCode = EXIT_UNAVAILABLE;
} else {
  await measure(options);
}
