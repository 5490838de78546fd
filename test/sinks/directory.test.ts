import assert from 'node:assert/strict';
import fs, { linkSync, readdirSync, renameSync, symlinkSync } from 'node:fs';
import { readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { temporaryDirectory } from '../support/cleanup.ts';

// Put in its place before that is loaded, which takes the functions as they are then.
let afterMaking: ((directory: string) => void) | undefined;
const { mkdir } = fs;
fs.mkdir = ((directory: string, mode: number, done: (error: unknown) => void) =>
  mkdir(directory, mode, (error) => {
    afterMaking?.(directory);
    done(error);
  })) as typeof mkdir;
const { makeDirectory } = await import('../../src/sinks/directory.ts');

test('those who make the same directories at the same time do not get in each other’s way', async (t) => {
  const path = join(await temporaryDirectory(t), 'made', 'deep');
  await Promise.all(Array.from({ length: 10 }, async () => await makeDirectory(path)));
  assert.equal((await stat(path)).mode & 0o777, 0o750);
});

for (const [what, link] of [
  ['a link', symlinkSync],
  ['another name', linkSync],
] as const) {
  test(`${what} of a file that takes the place of a directory as soon as it is made gives it no other mode`, async (t) => {
    const volume = await temporaryDirectory(t);
    const token = join(volume, 'token');
    await writeFile(token, 'text', { mode: 0o600 });
    afterMaking = (directory) => {
      renameSync(directory, `${directory}.away`);
      link(token, directory);
    };
    t.after(() => (afterMaking = undefined));
    await assert.rejects(makeDirectory(join(volume, 'lakebase')), /ENOTDIR|ELOOP/);
    assert.equal((await stat(token)).mode & 0o7777, 0o600);
  });
}

test('a link to nothing is no directory, and is left as it is', async (t) => {
  const path = join(await temporaryDirectory(t), 'lakebase');
  await symlink('nowhere', path);
  const refused = {
    failure: 'unwritable',
    message: `${path} is a broken symbolic link, where a directory should be`,
  };
  for (const wanted of [path, join(path, 'deeper')]) await assert.rejects(makeDirectory(wanted), refused);
  assert.equal(await readlink(path), 'nowhere');
});

test('directories that are made are not kept open', async (t) => {
  const path = await temporaryDirectory(t);
  await makeDirectory(join(path, 'first'));
  const open = readdirSync('/dev/fd').length;
  for (let count = 0; count < 5; count += 1) await makeDirectory(join(path, `${count}`));
  assert.equal(readdirSync('/dev/fd').length, open);
});
