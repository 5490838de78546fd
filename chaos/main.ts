import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT_UNAVAILABLE, lifeline, requireLoopbackOnly, runInside } from './isolation.ts';
import { planRun } from './schedule.ts';

const HELP = `Usage: npm run chaos -- [--seed N]... [--minutes M] [--plan]
       npm run chaos -- soak [--rotations N]

Does to the built sidecar whatever can happen to it, and checks all the time that it keeps its promises. The same seed and
length make the same faults. It ends with 1 where a promise was broken.

  --seed N        which faults; the date without it, as the word date does. Several seeds run side by side
  --minutes M     for how long; 5 without it
  --plan          prints the faults, and makes none

soak rotates quickly and in peace instead, and ends with 1 where memory, descriptors, threads, watches or files grow.

  --rotations N   how many; 10000 without it
`;
const EXIT_USAGE = 64;
const EXIT_INTERRUPTED = 130;
const MAX_SEED = 2 ** 32;
/** With fewer there is no slope yet. */
const LEAST_ROTATIONS = 2_000;

interface Options {
  readonly isSoak: boolean;
  readonly rotations: number;
  readonly seeds: readonly number[];
  readonly minutes: number;
  readonly isPlan: boolean;
  /** Where it stands inside its namespaces. */
  readonly inside: string | undefined;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A text where they make no sense. */
function readOptions(args: string[]): Options | string {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        seed: { type: 'string', multiple: true, default: ['date'] },
        minutes: { type: 'string', default: '5' },
        plan: { type: 'boolean', default: false },
        rotations: { type: 'string', default: '10000' },
        inside: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    const now = Math.floor(Date.now() / 1_000);
    const seeds = values.seed.map((seed) => (seed === 'date' ? now : Number(seed)));
    const minutes = Number(values.minutes);
    if (values.help) return '';
    const isSeed = (seed: number): boolean => Number.isInteger(seed) && seed >= 0 && seed < MAX_SEED;
    if (!seeds.every(isSeed)) return `--seed: a number from 0 to ${MAX_SEED - 1}`;
    if (!(minutes > 0)) return '--minutes: a number above 0';
    const rotations = Number(values.rotations);
    if (!(rotations >= LEAST_ROTATIONS)) return `--rotations: a number from ${LEAST_ROTATIONS}`;
    const isSoak = positionals[0] === 'soak';
    if (positionals.length > (isSoak ? 1 : 0)) return `${positionals.join(' ')}: not known`;
    return { isSoak, rotations, seeds, minutes, isPlan: values.plan, inside: values.inside };
  } catch (error) {
    return (error as Error).message;
  }
}

function printPlan(seed: number, minutes: number): void {
  for (const { name, atMs, lastsMs } of planRun(seed, minutes).flatMap(({ faults }) => faults)) {
    say(
      `${(atMs / 1_000).toFixed(1).padStart(8)} s  ${name}${lastsMs > 0 ? `, for ${(lastsMs / 1_000).toFixed(1)} s` : ''}`,
    );
  }
}

async function performInside(seed: number, minutes: number, directory: string): Promise<number> {
  try {
    requireLoopbackOnly();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return EXIT_UNAVAILABLE;
  }
  const signal = lifeline();
  // Loaded here, because a refusal and a plan need none of it.
  const [{ Run }, { Stage }] = await Promise.all([import('./run.ts'), import('./stage.ts')]);
  const stage = await Stage.set(directory);
  const tell = (line: string): void => say(`${seed}: ${line}`);
  try {
    const { violations, lines } = await new Run(stage, seed, tell).perform(minutes, signal);
    for (const line of lines) tell(line);
    return violations.length === 0 ? 0 : 1;
  } catch (error) {
    if (!signal.aborted) throw error;
    tell('interrupted; nothing is left running');
    return EXIT_INTERRUPTED;
  } finally {
    await stage.close();
  }
}

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (typeof options === 'string') {
    (options === '' ? process.stdout : process.stderr).write(options === '' ? HELP : `${options}\n\n${HELP}`);
    return options === '' ? 0 : EXIT_USAGE;
  }
  const { seeds, minutes, isPlan, inside, isSoak } = options;
  if (inside !== undefined) return await performInside(seeds[0]!, minutes, inside);
  for (const seed of isSoak ? [] : seeds) {
    say(`seed ${seed}, ${minutes} min: npm run chaos -- --seed ${seed} --minutes ${minutes}`);
    if (isPlan) printPlan(seed, minutes);
  }
  if (isPlan) return 0;
  const builder = join(import.meta.dirname, '../scripts/build.ts');
  const built = spawnSync(process.execPath, [builder], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (built.status !== 0) return 1;
  if (isSoak) return await soakUntilStopped(options);
  const entry = join(import.meta.dirname, 'main.ts');
  const codes = seeds.map((seed) => runInside(entry, seed, ['--seed', String(seed), '--minutes', String(minutes)]));
  return Math.max(...(await Promise.all(codes)));
}

async function soakUntilStopped({ rotations }: Options): Promise<number> {
  const { soak } = await import('./soak.ts');
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort());
  try {
    return (await soak(rotations, stop.signal)) ? 1 : 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    say('interrupted; nothing is left running');
    return EXIT_INTERRUPTED;
  }
}

// oxlint-disable-next-line unicorn/no-process-exit -- what a client forgot must not hold up the end
process.exit(await main(process.argv.slice(2)));
