import assert from 'node:assert/strict';
import { mkdir, readdir, rename, stat, symlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { PrivateHomes } from '../../src/minters/homes.ts';
import { temporaryDirectory } from '../support/sidecar-wait.ts';

test('homes that cannot be removed at the end stay, and make no bug of it', async (t) => {
  const directory = await temporaryDirectory(t);
  const scratch = join(directory, 'tmp');
  await mkdir(scratch);
  const homes = new PrivateHomes(scratch);
  const { HOME } = homes.variables(0);
  await rename(scratch, join(directory, 'moved'));
  await symlink('tmp', scratch); // it leads to itself
  homes.remove();
  assert.ok((await stat(join(directory, 'moved', relative(scratch, HOME!)))).isDirectory());
});

test('a folder in which no home can be made does not stay, however often that is tried', async (t) => {
  const directory = await temporaryDirectory(t);
  // The folder itself may still be made, but with the home in it its path is longer than any may be.
  const longest = 4_095 - '/lakebase-credential-XXXXXX'.length;
  let scratch = directory;
  while (scratch.length < longest - 256) scratch = join(scratch, 'x'.repeat(200));
  scratch = join(scratch, 'x'.repeat(longest - scratch.length - 1));
  await mkdir(scratch, { recursive: true });
  const homes = new PrivateHomes(scratch);
  for (const slot of [0, 1, 0]) assert.equal(homes.variables(slot)['HOME'], '/nonexistent');
  assert.deepEqual(await readdir(scratch), []);
});
