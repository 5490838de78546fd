import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { parseArgs } from 'node:util';
import type { FuzzResults } from '../test/mutants/report.ts';

const HELP = `Tries the properties of test/fuzz with many more cases than npm test does.

node scripts/fuzz.ts [--record] [CASES] [SEED]

  CASES     of each property that costs little, and less of the others; 30000 without it
  SEED      repeats an earlier run
  --record  for docs/reliability.md (npm run generate), if nothing is found
`;
const root = join(import.meta.dirname, '..');
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { record: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
});
const print = (line: string): boolean => process.stdout.write(`${line}\n`);
if (values.help) {
  print(HELP);
  process.exit();
}
const [cases = '30000', seed = `${Math.trunc(Math.random() * 2 ** 31)}`] = positionals;
if (!/^[1-9]\d*$/.test(cases) || !/^\d+$/.test(seed)) throw new Error('wanted: [CASES] [SEED], both whole numbers');

print(`seed ${seed}, Node ${process.versions.node}, ${new Date().toISOString()}`);

const properties: Record<string, number> = {};
const finds: string[] = [];
const env = { ...process.env, FUZZ_CASES: cases, FUZZ_SEED: seed };
const files = globSync(join(root, 'test/fuzz/*.test.ts')).toSorted((a, b) => a.localeCompare(b));
const tests = run({ files, cwd: root, env, concurrency: 2 });
tests.on('test:diagnostic', ({ message }) => {
  const [, tried, what] = /^(\d+) cases of: (.*)$/.exec(message) ?? [];
  if (tried === undefined) return;
  properties[what!] = Number(tried);
  print(`${tried.padStart(8)}  ${what}`);
});
tests.on('test:fail', ({ name, details }) => {
  if (!finds.includes(name)) print(`FOUND     ${name}\n${String(details.error.cause)}`);
  finds.push(name);
});
tests.on('test:pass', ({ name, skip }) => skip !== undefined && print(` skipped  ${name} (${String(skip)})`));
for await (const _ of tests); // until it ends
const total = Object.values(properties).reduce((sum, count) => sum + count, 0);
print(`${total} cases, ${finds.length === 0 ? 'nothing found' : `found: ${finds.join('; ')}`}`);
process.exitCode = finds.length === 0 ? 0 : 1;
if (values.record && finds.length === 0) {
  const date = new Date().toISOString().slice(0, 10);
  const results: FuzzResults = { date, node: process.versions.node, seed: Number(seed), properties };
  writeFileSync(join(root, 'test/fuzz/results.json'), `${JSON.stringify(results, null, 2)}\n`);
}
