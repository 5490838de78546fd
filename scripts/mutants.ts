import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { type Stopped, stopSignal } from '../src/platform/signals.ts';
import { digestOf, type Mutant, needsPods, testFileOf } from '../test/mutants/mutant.ts';
import { type Fate, MUTANTS, readResults, type Results, RESULTS } from '../test/mutants/mutants.ts';

const HELP = `Puts each known bug into a copy of the source, and demands that the test which is named for it fails.

node scripts/mutants.ts [--pods] [CLASS | beyond | WORD OF THE BUG]...

  --pods  also those whose test needs a real pod (npm run test:cluster, see docs/images.md)
`;
const PATIENCE_MS = 10 * 60_000;
/** What a bug makes hang has failed, where its test has no time-out of its own. */
const HANGS_AFTER_MS = 3 * 60_000;

const root = join(import.meta.dirname, '..');
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { pods: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
});
const signal = stopSignal();

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Broken is what does not even run: a test that fails for that has caught nothing. */
type Outcome = 'passed' | 'failed' | 'skipped' | 'broken' | 'not run';

/** What became of the named test, by the marks of the spec reporter. */
async function runTest(copy: string, mutant: Mutant): Promise<Outcome> {
  const [, title] = mutant.test;
  const file = testFileOf(mutant);
  const pattern = RegExp.escape(title).replaceAll('…', '.*');
  const args = needsPods(mutant)
    ? ['scripts/test-cluster.ts', file]
    : ['--test', '--test-reporter=spec', `--test-timeout=${HANGS_AFTER_MS}`, `--test-name-pattern=${pattern}`, file];
  // In a group of its own, so that whatever a bug leaves running ends with it.
  const child = spawn(process.execPath, args, { cwd: copy, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const end = (): void => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // All of it has ended.
    }
  };
  const timer = setTimeout(end, PATIENCE_MS);
  signal.addEventListener('abort', end);
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
  end();
  const lines = output.matchAll(new RegExp(`^\\s*([✔✖﹣]) .*${pattern}`, 'gmu'));
  const marks = new Set([...lines].map(([, mark]) => mark));
  if (/ReferenceError|SyntaxError/.test(output)) return 'broken';
  if (marks.has('✖')) return 'failed';
  if (marks.has('✔')) return 'passed';
  return marks.has('﹣') ? 'skipped' : 'not run';
}

async function copyProject(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'mutants-'));
  const { stdout } = await execa('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
  });
  for (const path of stdout.split('\0').filter((path) => path !== '')) {
    await mkdir(join(copy, dirname(path)), { recursive: true });
    await copyFile(join(root, path), join(copy, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error; // deleted, and not yet committed
    });
  }
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

async function tryOut(copy: string, mutant: Mutant, isSound: (mutant: Mutant) => Promise<Outcome>): Promise<string> {
  if (needsPods(mutant) && !values.pods) return 'not tried: needs a pod, add --pods';
  const sound = await isSound(mutant);
  if (sound !== 'passed') return `not tried: without the bug its test ${sound === 'failed' ? 'fails' : `is ${sound}`}`;
  const path = join(copy, mutant.file);
  const source = await readFile(path, 'utf8');
  await writeFile(
    path,
    source.replace(mutant.from, () => mutant.to),
  );
  try {
    const outcome = await runTest(copy, mutant);
    return outcome === 'failed' ? 'caught' : outcome === 'passed' ? 'survived' : `not tried: its test was ${outcome}`;
  } finally {
    await writeFile(path, source);
  }
}

function isWanted({ bugClass, bug }: Mutant): boolean {
  const isMeant = (word: string): boolean =>
    /^\d+$/.test(word) ? Number(word) === bugClass : word === 'beyond' ? bugClass === undefined : bug.includes(word);
  return positionals.length === 0 || positionals.some(isMeant);
}

/** For docs/reliability.md (npm run generate). What is no mutant any more is forgotten. */
async function record(mutant: Mutant, fate: Fate['fate']): Promise<void> {
  const fates = { ...readResults().fates, [mutant.bug]: { fate, digest: digestOf(mutant) } };
  const known = MUTANTS.flatMap(({ bug }) => (fates[bug] === undefined ? [] : [[bug, fates[bug]] as const]));
  const date = new Date().toISOString().slice(0, 10);
  const results: Results = { date, node: process.versions.node, fates: Object.fromEntries(known) };
  await writeFile(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
}

async function main(): Promise<number> {
  if (values.help) {
    print(HELP);
    return 0;
  }
  const others: string[] = [];
  const sound = new Map<string, Promise<Outcome>>();
  const copy = await copyProject();
  const isSound = async (mutant: Mutant): Promise<Outcome> => {
    const key = mutant.test.join(' ');
    if (!sound.has(key)) sound.set(key, runTest(copy, mutant));
    return await sound.get(key)!;
  };
  try {
    for (const mutant of MUTANTS.filter(isWanted)) {
      if (signal.aborted) break;
      const fate = await tryOut(copy, mutant, isSound);
      if (signal.aborted) break;
      print(`${fate.padEnd(8)}  ${mutant.bugClass ?? 'beyond'}: ${mutant.bug} (${mutant.file})`);
      if (fate === 'caught' || fate === 'survived') await record(mutant, fate);
      if (fate !== 'caught') others.push(mutant.bug);
    }
  } finally {
    await rm(copy, { recursive: true, force: true, maxRetries: 3 });
  }
  if (signal.aborted) return (signal.reason as Stopped).exitCode;
  print(others.length === 0 ? 'all caught' : `not caught: ${others.join('; ')}`);
  return others.length === 0 ? 0 : 1;
}

process.exitCode = await main();
