import assert from 'node:assert/strict';
import { mkdir, rename, stat, symlink } from 'node:fs/promises';
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
