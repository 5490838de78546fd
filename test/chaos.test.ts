import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { FAULTS, kindOf } from '../chaos/catalogue.ts';
import { brokenText, configText } from '../chaos/configuration.ts';
import { INFLICT } from '../chaos/inflict.ts';
import { NotDone, type World } from '../chaos/inflicting.ts';
import { runInside, whyNotHere } from '../chaos/isolation.ts';
import { PLACES } from '../chaos/layout.ts';
import { linkOr } from '../chaos/processes.ts';
import { damagedBy, planRun, type PlannedFault } from '../chaos/schedule.ts';
import { slope } from '../chaos/slope.ts';
import { load, problems } from './config/loading.ts';
import { processesOf } from './support/processes.ts';
import { temporaryDirectory } from './support/cleanup.ts';
import { eventually } from './support/eventually.ts';
import { whyNoHang } from './support/hanging-mount.ts';

const ENTRY = join(import.meta.dirname, '../chaos/main.ts');

function chaos(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync(process.execPath, [ENTRY, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...env },
  });
}

describe('the plan of a run', () => {
  const rounds = planRun(1, 60);
  const faults = rounds.flatMap((round) => round.faults);

  test('is the same for the same seed and length, and another for another seed', () => {
    assert.deepEqual(planRun(1, 60), rounds);
    assert.notDeepEqual(planRun(2, 60), rounds);
    const { stdout, status } = chaos(['--seed', '7', '--minutes', '1', '--plan']);
    assert.equal(status, 0);
    assert.match(stdout, /^seed 7, 1 min: npm run chaos -- --seed 7 --minutes 1\n/);
    assert.equal(chaos(['--seed', '7', '--minutes', '1', '--plan']).stdout, stdout);
  });

  test('has every fault in an hour', () => {
    const planned = new Set(faults.map(({ name }) => name));
    assert.deepEqual([...planned].sort(), Object.keys(FAULTS).sort());
  });

  test('has no fault that docs/chaos.md does not name', async () => {
    const page = await readFile(join(import.meta.dirname, '../docs/chaos.md'), 'utf8');
    assert.deepEqual(
      Object.keys(FAULTS).filter((name) => !page.includes(name)),
      [],
    );
  });

  test('lets no two faults of a lane overlap, and all of them end before the calm', () => {
    const lastEnd = new Map<string, number>();
    for (const { calmFromMs, ...round } of rounds) {
      for (const { name, atMs, lastsMs } of round.faults) {
        const { lane } = kindOf(name);
        assert.ok(atMs >= (lastEnd.get(lane) ?? 0), `${name} at ${atMs}`);
        assert.ok(atMs + lastsMs <= calmFromMs, `${name} at ${atMs}`);
        lastEnd.set(lane, atMs + lastsMs);
      }
    }
  });

  test('damages no file more often in a minute than the sidecar may repair it', () => {
    const damages = Map.groupBy(
      faults.flatMap((fault: PlannedFault) => damagedBy(fault).map((path) => ({ path, atMs: fault.atMs }))),
      ({ path }) => path,
    );
    assert.equal(damages.size, PLACES.length);
    for (const times of damages.values()) {
      for (const [index, { atMs }] of times.entries()) {
        const third = times[index + 2]?.atMs ?? Infinity;
        assert.ok(third - atMs > 60_000, `three within ${third - atMs} ms`);
      }
    }
  });
});

test('a changed configuration is one that the program accepts, and a broken one it refuses', async (t) => {
  const stage = {
    path: (...names: readonly string[]) => join('/chaos', ...names),
    cli: '/chaos/cli/databricks',
    connection: { host: 'localhost', port: 5432, database: 'app' },
    hasSecret: true,
  };
  for (const variant of [undefined, 0, 0.2, 0.4, 0.6, 0.8]) {
    assert.deepEqual(await problems(load(t, configText(stage, variant))), [], `variant ${variant}`);
  }
  for (const variant of [0, 0.2, 0.4, 0.6, 0.8]) {
    assert.notDeepEqual(await problems(load(t, brokenText(variant))), [], `variant ${variant}`);
  }
});

test('a slope is that of the many, whatever the few do', () => {
  const line = Array.from({ length: 30 }, (_, x) => [x, 2 * x + (x % 7 === 0 ? 1_000 : 0)] as const);
  assert.ok(Math.abs(slope(line) - 2) < 0.1);
  assert.equal(slope([0, 1, 2, 3].map((x) => [x, 5])), 0);
});

test('a disk whose directory another fault has removed is not made to hang', { skip: whyNoHang() }, async (t) => {
  const directory = await temporaryDirectory(t);
  const sidecar = spawn('unshare', ['--mount', 'sleep', '60'], { stdio: 'ignore' });
  t.after(() => sidecar.kill('SIGKILL'));
  const mountsOf = (pid: number): string => linkOr(`/proc/${pid}/ns/mnt`);
  await eventually('it has mounts of its own', () => mountsOf(sidecar.pid!) !== mountsOf(process.pid));
  const stage = { path: (...names: readonly string[]) => join(directory, ...names) };
  const world = { stage, sidecar } as unknown as World;
  const fault = { pick: 0 } as PlannedFault;
  await assert.rejects(async () => await INFLICT['the disk hangs'](world, fault), new NotDone('the directory is gone'));
});

test('wrong usage is refused with what is allowed', () => {
  for (const args of [['--seed', 'x'], ['--seed', '-1'], ['--minutes', '0'], ['--speed', '2'], ['sok']]) {
    const { status, stderr } = chaos(args);
    assert.equal(status, 64, args.join(' '));
    assert.match(stderr, /Usage: npm run chaos/);
  }
});

test('it refuses to begin where anything but this machine could be reached, or is pointed to', async (t) => {
  const directory = await temporaryDirectory(t);
  const { status, stderr } = chaos(['--inside', directory], { DATABRICKS_HOST: 'https://my.cloud.databricks.com' });
  assert.equal(status, 69);
  assert.match(stderr, /^refused: /);
  assert.deepEqual(readdirSync(directory), []);
});

const reason = whyNotHere();

describe('an interrupted run', { skip: reason === undefined ? false : `no faults can be made: ${reason}` }, () => {
  /** Until everything is set up. */
  async function start(t: TestContext, temporary: string) {
    const env = { PATH: process.env['PATH'], TMPDIR: temporary, DATABRICKS_HOST: 'https://my.cloud.databricks.com' };
    const child = spawn(process.execPath, [ENTRY, '--seed', '1', '--minutes', '5'], { env, stdio: 'ignore' });
    t.after(() => child.kill('SIGKILL'));
    const directory = join(temporary, `lakebase-chaos-${child.pid}-1`);
    await eventually('it is set up', () => existsSync(join(directory, 'settings/config.yaml')), { withinMs: 60_000 });
    return { child, directory, ended: once(child, 'exit') as Promise<[number | null]> };
  }

  test(
    'leaves nothing running, and what a killed one leaves on disk goes with the next',
    { timeout: 120_000 },
    async (t) => {
      const temporary = await temporaryDirectory(t);
      await chmod(temporary, 0o755); // PostgreSQL and the sidecar, which are not root, go through
      const killed = await start(t, temporary);
      killed.child.kill('SIGKILL');
      await eventually('nothing runs', () => processesOf(killed.directory).length === 0, { withinMs: 30_000 });
      assert.ok(existsSync(killed.directory));

      const interrupted = await start(t, temporary);
      assert.ok(!existsSync(killed.directory), 'the next one sweeps');
      interrupted.child.kill('SIGINT');
      const [code] = await interrupted.ended;
      assert.equal(code, 130);
      assert.deepEqual(processesOf(interrupted.directory), []);
      assert.deepEqual(readdirSync(temporary), []);
    },
  );

  test('leaves nothing in shared memory, where PostgreSQL and libfaketime keep what a kill does not remove', async (t) => {
    const left = `/dev/shm/left-by-chaos-${process.pid}`;
    t.after(() => rm(left, { force: true }));
    const program = join(await temporaryDirectory(t), 'program.mjs');
    await writeFile(program, `import { writeFileSync } from 'node:fs'; writeFileSync('${left}', '');`);
    assert.equal(await runInside(program, 1, []), 0);
    assert.ok(!existsSync(left));
  });
});
