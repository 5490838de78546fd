import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from './support/sidecar-wait.ts';

const RUNNER = join(import.meta.dirname, '../scripts/test-files.ts');
/** With which this run of tests tells its files that they are part of it. */
const { NODE_TEST_CONTEXT: _, ...env } = process.env;

async function runOf(t: TestContext, sources: Readonly<Record<string, string>>) {
  const directory = await temporaryDirectory(t);
  const files = Object.keys(sources).map((name) => join(directory, `${name}.test.ts`));
  const texts = Object.values(sources);
  await Promise.all(files.map(async (file, i) => await writeFile(file, `import test from 'node:test';${texts[i]}`)));
  return spawnSync(process.execPath, [RUNNER, '1', ...files], { encoding: 'utf8', env });
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
