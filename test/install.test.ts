import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from './support/cleanup.ts';

/** What the script says in a checkout whose `node_modules` is made so, with an npm that only says what it is asked to do. */
async function install(t: TestContext, makeModules: (path: string, elsewhere: string) => Promise<unknown>) {
  const directory = await temporaryDirectory(t);
  const [checkout, elsewhere] = [join(directory, 'checkout'), join(directory, 'elsewhere')];
  const npm = join(directory, 'npm.cjs');
  const script = join(checkout, 'scripts/install.mjs');
  await mkdir(join(checkout, 'scripts'), { recursive: true });
  await mkdir(elsewhere);
  await writeFile(npm, "console.log('npm', process.argv[2], process.argv.includes('--include=dev'))");
  await writeFile(join(checkout, 'package-lock.json'), '{}');
  await copyFile(join(import.meta.dirname, '../scripts/install.mjs'), script);
  await makeModules(join(checkout, 'node_modules'), elsewhere);
  return execFileSync(process.execPath, [script], { env: { ...process.env, npm_execpath: npm }, encoding: 'utf8' });
}

async function makeInstalled(path: string): Promise<void> {
  const lock = join(path, '.package-lock.json');
  await mkdir(path, { recursive: true });
  await writeFile(lock, '{}');
  await utimes(lock, new Date(), new Date(Date.now() + 60_000));
}

test('what package-lock.json lists is installed, with the tools too, where it is not yet, or not any more', async (t) => {
  assert.match(await install(t, async () => {}), /^installing .*\nnpm ci true\n$/);
  assert.match(await install(t, async (path) => await mkdir(path)), /npm ci true\n$/);
  assert.equal(await install(t, makeInstalled), '');
});

test('a node_modules that is a link is never installed into, because npm would empty what it leads to', async (t) => {
  const said = await install(t, async (path, elsewhere) => await symlink(elsewhere, path));
  assert.match(said, /^node_modules is a link: .*\n$/);
  const isFresh = await install(t, async (path, elsewhere) => {
    await makeInstalled(elsewhere);
    await symlink(elsewhere, path);
  });
  assert.equal(isFresh, '');
});
