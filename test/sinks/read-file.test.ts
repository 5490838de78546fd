import assert from 'node:assert/strict';
import fs, { appendFileSync, readdirSync, truncateSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { temporaryDirectory } from '../support/cleanup.ts';
import { run } from './programs.ts';

// Put in its place before that is loaded, which takes the functions as they are then.
let beforeReading: (() => void) | undefined;
let mostAtOnce = Infinity;
const { read } = fs;
fs.read = ((file: number, buffer: Buffer, offset: number, length: number, at: null, done: () => void) => {
  beforeReading?.();
  read(file, buffer, offset, Math.min(length, mostAtOnce), at, done);
}) as typeof read;
// By a property of it promisify() knows that it has two results.
Object.defineProperties(fs.read, Object.getOwnPropertyDescriptors(read));
const { readRegularFile } = await import('../../src/sinks/read-file.ts');

async function fileOf(t: TestContext, text: string): Promise<string> {
  const path = join(await temporaryDirectory(t), 'token');
  await writeFile(path, text);
  t.after(() => {
    beforeReading = undefined;
    mostAtOnce = Infinity;
  });
  return path;
}

test('a file is read up to the limit, and not at all if it is longer', async (t) => {
  const path = await fileOf(t, 'five!');
  assert.equal(await readRegularFile(path, 5), 'five!');
  assert.equal(await readRegularFile(path, 4), undefined);
  await writeFile(path, '');
  assert.equal(await readRegularFile(path, 5), '');
});

test('a file that a file system hands out in pieces is read whole', async (t) => {
  const path = await fileOf(t, 'five!');
  for (mostAtOnce = 1; mostAtOnce < 7; mostAtOnce += 1) assert.equal(await readRegularFile(path, 5), 'five!');
});

test('a file that grows while it is read is not taken for what it was, and one that shrinks has an end', async (t) => {
  const path = await fileOf(t, 'five!');
  beforeReading = () => appendFileSync(path, 'x');
  assert.equal(await readRegularFile(path, 10), undefined);
  beforeReading = () => truncateSync(path, 2);
  assert.equal(await readRegularFile(path, 10), 'fi');
});

test('what is no regular file has no text, and nothing is waited for', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'directory'));
  await run('mkfifo', [join(directory, 'pipe')]);
  await symlink('directory', join(directory, 'link'));
  for (const path of [join(directory, 'directory'), join(directory, 'pipe'), '/dev/zero']) {
    assert.equal(await readRegularFile(path, 5), undefined, path);
  }
  await assert.rejects(readRegularFile(join(directory, 'link'), 5), { code: 'ELOOP' });
});

test('no file is kept open', async (t) => {
  const path = await fileOf(t, 'five!');
  const open = readdirSync('/dev/fd').length;
  for (const limit of [1, 5]) await readRegularFile(path, limit);
  assert.equal(readdirSync('/dev/fd').length, open);
});
