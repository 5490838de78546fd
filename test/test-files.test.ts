import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from './support/cleanup.ts';

const RUNNER = join(import.meta.dirname, '../scripts/test-files.ts');
/** With which this run of tests tells its files that they are part of it, and that it is in a terminal. */
const { NODE_TEST_CONTEXT: _context, FORCE_COLOR: _color, ...env } = process.env;

/** The sources of test files by their names, in groups that run beside each other. */
async function runOf(t: TestContext, ...groups: readonly Readonly<Record<string, string>>[]) {
  const directory = await temporaryDirectory(t);
  const fileOf = (name: string): string => join(directory, `${name}.test.ts`);
  for (const [name, source] of groups.flatMap((sources) => Object.entries(sources))) {
    await writeFile(fileOf(name), `import test from 'node:test';${source}`);
  }
  const inOrder = groups.map((sources) => ({
    files: Object.keys(sources).map((name) => fileOf(name)),
    concurrency: 1,
  }));
  return spawnSync(process.execPath, [RUNNER, JSON.stringify(inOrder)], { encoding: 'utf8', env });
}

test('the tests in a cluster run in the order in which they are named, and say so as each is over', async (t) => {
  const { status, stderr, stdout } = await runOf(t, { b: "test('first', () => {});", a: "test('second', () => {});" });
  assert.match(stderr, /^[\d:]{8} ok: first \(.+\)\n[\d:]{8} ok: second \(.+\)\n$/);
  assert.match(stdout, /pass 2\n/);
  assert.equal(status, 0);
});

test('one that fails in a cluster is told of at once with its reason, and fails the run, as does a file that cannot be loaded', async (t) => {
  const { status, stderr } = await runOf(t, {
    b: "test('wrong', () => { throw new Error('too late'); });",
    a: "test('right', () => {});",
  });
  assert.match(stderr, /FAILED: wrong \(.+\)\n {2}too late\n[\d:]{8} ok: right/);
  assert.equal(status, 1);
  assert.equal((await runOf(t, { a: 'no code' })).status, 1);
});

test('what waits in a cluster runs beside what computes, each is reported as a whole, and fails the run', async (t) => {
  // Each lets the other one end.
  const meets = (own: string, other: string): string => `
    import { writeFileSync, existsSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    test('${own}', async () => {
      writeFileSync(import.meta.dirname + '/${own}', '');
      while (!existsSync(import.meta.dirname + '/${other}')) await setTimeout(10);
    });`;
  const { status, stdout } = await runOf(
    t,
    { a: meets('computes', 'waits') },
    { b: meets('waits', 'computes'), c: "test('wrong', () => { throw new Error('too late'); });" },
  );
  assert.match(stdout, /computes[^]+pass 1\n[^]+waits[^]+pass 1\n[^]+too late/);
  assert.equal(status, 1);
});
