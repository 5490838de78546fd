import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from './support/cleanup.ts';

/** Only says what it is asked to do, and installs nothing but a program in the place of Node.js. */
const NPM = `#!/usr/bin/env node
const { mkdirSync, writeFileSync } = require('node:fs');
console.log(['npm', ...process.argv.slice(2, 5)].join(' '));
mkdirSync('node_modules/.bin', { recursive: true });
writeFileSync('node_modules/.bin/node', '#!' + process.env.INTERPRETER, { mode: 0o755 });
`;
const OLD = `--import=data:text/javascript,Object.defineProperty(process.versions,'node',{value:'22.21.9'})`;

interface Circumstances {
  readonly modules?: (path: string, elsewhere: string) => Promise<unknown>;
  readonly manager?: string;
  readonly flags?: readonly string[];
  /** Of what npm installs as Node.js. */
  readonly interpreter?: string;
}

/** What the script says in such a checkout, and how it ends. */
async function install(t: TestContext, circumstances: Circumstances = {}) {
  const { modules = async () => {}, manager = 'npm-cli.js', flags = [], interpreter = '/bin/sh' } = circumstances;
  const directory = await temporaryDirectory(t);
  const [checkout, elsewhere] = [join(directory, 'checkout'), join(directory, 'elsewhere')];
  const script = join(checkout, 'scripts/install.mjs');
  await mkdir(join(checkout, 'scripts'), { recursive: true });
  await mkdir(elsewhere);
  for (const name of ['npm', 'npm-cli.js']) {
    await writeFile(join(directory, name), NPM);
    await chmod(join(directory, name), 0o755);
  }
  await writeFile(join(checkout, 'package-lock.json'), '{}');
  await copyFile(join(import.meta.dirname, '../scripts/install.mjs'), script);
  await modules(join(checkout, 'node_modules'), elsewhere);
  const env = {
    ...process.env,
    PATH: `${directory}:${process.env['PATH']}`,
    npm_execpath: join(directory, manager),
    INTERPRETER: interpreter,
  };
  const { status, stderr, stdout } = spawnSync(process.execPath, [...flags, script], { env, encoding: 'utf8' });
  const node = await readlink(join(checkout, 'node_modules/.bin/node')).catch(() => undefined);
  return { status, said: stdout + stderr, node };
}

async function makeInstalled(path: string): Promise<void> {
  const lock = join(path, '.package-lock.json');
  await mkdir(join(path, '.bin'), { recursive: true });
  await writeFile(join(path, '.bin/node'), '');
  await writeFile(lock, '{}');
  await utimes(lock, new Date(), new Date(Date.now() + 60_000));
}

test('what package-lock.json lists is installed, with the tools too, where it is not yet, or not any more', async (t) => {
  const installing = /^installing .*\nnpm ci --include=dev --include=optional\n$/;
  assert.match((await install(t)).said, installing);
  assert.match((await install(t, { modules: async (path) => await mkdir(path) })).said, installing);
  assert.deepEqual(await install(t, { modules: makeInstalled }), { status: 0, said: '', node: undefined });
});

test('it is npm that installs, whichever package manager has started the script', async (t) => {
  for (const manager of ['pnpm.cjs', 'yarn.js']) {
    assert.match(
      (await install(t, { manager })).said,
      /^installing .*\nnpm ci --include=dev --include=optional\n$/,
      manager,
    );
  }
});

test('a node_modules that is a link is never installed into, because npm would empty what it leads to', async (t) => {
  const { said } = await install(t, { modules: async (path, elsewhere) => await symlink(elsewhere, path) });
  assert.match(said, /^node_modules is a link: .*\n$/);
  const modules = async (path: string, elsewhere: string): Promise<void> => {
    await makeInstalled(elsewhere);
    await symlink(elsewhere, path);
  };
  assert.equal((await install(t, { modules })).said, '');
});

test('where the Node.js of npm does not run, or was not fetched, the one that is there takes its place', async (t) => {
  const modules = async (path: string): Promise<void> => {
    await makeInstalled(path);
    await rm(join(path, '.bin/node'));
  };
  for (const circumstances of [{ interpreter: '/nonexistent/loader' }, { modules }]) {
    const { node, said, status } = await install(t, circumstances);
    assert.match(said, /this one is used, v[\d.]+\n$/);
    assert.deepEqual([status, node], [0, process.execPath]);
    const old = await install(t, { ...circumstances, flags: [OLD] });
    assert.match(old.said, /this one, v[\d.]+, is too old: use 22\.22 or newer, or, .*`npm rebuild node /);
    assert.deepEqual([old.status, old.node], [1, undefined]);
  }
});

test('where npm fails, its own words are the last ones', async (t) => {
  const { said, status } = await install(t, { modules: async (path) => await writeFile(path, '') });
  assert.match(said, /mkdir/);
  assert.doesNotMatch(said, /install\.mjs/);
  assert.equal(status, 1);
});
