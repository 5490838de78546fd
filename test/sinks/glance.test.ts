import assert from 'node:assert/strict';
import { chmod, copyFile, lstat, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Glance } from '../../src/sinks/glance.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

/** A file that was read and found right `ageMs` after its last change. */
async function glanceAfter(t: TestContext, ageMs: number): Promise<{ readonly glance: Glance; readonly path: string }> {
  const path = join(await temporaryDirectory(t), 'token');
  await writeFile(path, 'one', { mode: 0o600 });
  const stats = await lstat(path, { bigint: true });
  const glance = new Glance(path, new FakeClock(Number(stats.ctimeMs) + ageMs));
  glance.remember(stats);
  return { glance, path };
}

test('a file that was changed less than a second before it was read has to be read again', async (t) => {
  assert.equal(await (await glanceAfter(t, 999)).glance.showsNoChange(), false);
  assert.equal(await (await glanceAfter(t, 1_000)).glance.showsNoChange(), true);
});

const CHANGES: Record<string, (path: string) => Promise<unknown>> = {
  'an edit': (path) => writeFile(path, 'two'),
  'an edit that keeps size and time': async (path) => {
    const { atime, mtime } = await stat(path);
    await writeFile(path, 'two', { flag: 'r+' });
    await utimes(path, atime, mtime);
  },
  'another mode': (path) => chmod(path, 0o640),
  'a deletion': (path) => rm(path),
  'a copy in its place': async (path) => {
    await copyFile(path, `${path}.copy`);
    await rename(`${path}.copy`, path);
    assert.equal(await readFile(path, 'utf8'), 'one');
  },
};

for (const [what, change] of Object.entries(CHANGES)) {
  test(`${what} shows at a glance`, async (t) => {
    const { glance, path } = await glanceAfter(t, 60_000);
    assert.equal(await glance.showsNoChange(), true);
    await change(path);
    assert.equal(await glance.showsNoChange(), false);
  });
}

test('every eleventh look reads the file, whatever its times say', async (t) => {
  const { glance } = await glanceAfter(t, 60_000);
  for (let look = 0; look < 10; look += 1) assert.equal(await glance.showsNoChange(), true);
  assert.equal(await glance.showsNoChange(), false);
});

test('what was forgotten has to be read again', async (t) => {
  const { glance } = await glanceAfter(t, 60_000);
  glance.forget();
  assert.equal(await glance.showsNoChange(), false);
});

test('what a file system shows of a change in any one way is enough', async (t) => {
  const fields = ['dev', 'ino', 'mode', 'uid', 'gid', 'size', 'mtimeNs', 'ctimeNs'] as const;
  for (const field of fields) {
    const { glance, path } = await glanceAfter(t, 60_000);
    const stats = await lstat(path, { bigint: true });
    glance.remember(Object.assign(stats, { [field]: stats[field] + 1n }));
    assert.equal(await glance.showsNoChange(), false, field);
  }
});
