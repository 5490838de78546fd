import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { standInRuntime } from './cluster/base-images.ts';
import { temporaryDirectory } from './support/cleanup.ts';
import { NOT_LINUX } from './support/linux.ts';

test(
  'an image that is built without a registry is for every user, whatever the umask',
  { skip: NOT_LINUX },
  async (t) => {
    const root = await temporaryDirectory(t);
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    await standInRuntime(root);
    const paths = ['.', ...(await readdir(root, { recursive: true }))];
    assert.ok(paths.includes('nodejs/bin/node'));
    for (const path of paths) {
      const status = await stat(join(root, path));
      const needed = status.isDirectory() ? 0o005 : 0o004;
      assert.equal(status.mode & needed, needed, path);
    }
  },
);
