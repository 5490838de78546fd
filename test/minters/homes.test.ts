import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { PrivateHomes } from '../../src/minters/homes.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

test('each slot has a home, a cache and no configuration file of its own, until the end', async (t) => {
  const directory = await temporaryDirectory(t);
  const homes = new PrivateHomes(directory);
  const places = [0, 1].flatMap((slot) => Object.values(homes.variables(slot)));
  assert.equal(new Set(places).size, 6);
  const { HOME, DATABRICKS_CACHE_DIR, DATABRICKS_CONFIG_FILE } = homes.variables(1);
  assert.ok((await stat(HOME!)).isDirectory() && (await stat(DATABRICKS_CACHE_DIR!)).isDirectory());
  await assert.rejects(stat(DATABRICKS_CONFIG_FILE!), { code: 'ENOENT' });
  homes.remove();
  assert.deepEqual(await readdir(directory), []);
});

test('a relative temporary directory counts from where this process was started, and not from where the CLI runs', async (t) => {
  const directory = await temporaryDirectory(t);
  const homes = new PrivateHomes(relative(process.cwd(), directory));
  for (const path of Object.values(homes.variables(0))) assert.ok(path.startsWith(`${directory}/`), path);
  homes.remove();
  assert.deepEqual(await readdir(directory), []);
});

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

test('a folder in which no home can be made does not stay, however often that is tried, nor is one made elsewhere', async (t) => {
  const directory = await temporaryDirectory(t);
  // The folder itself may still be made, but with the home in it its path is longer than any may be.
  const longest = 4_095 - `/lakebase-credential-${process.pid}-XXXXXX`.length;
  let scratch = directory;
  while (scratch.length < longest - 256) scratch = join(scratch, 'x'.repeat(200));
  scratch = join(scratch, 'x'.repeat(longest - scratch.length - 1));
  await mkdir(scratch, { recursive: true });
  const homes = new PrivateHomes(scratch);
  for (const slot of [0, 1, 0]) {
    const { HOME, DATABRICKS_CONFIG_FILE } = homes.variables(slot);
    await assert.rejects(stat(DATABRICKS_CONFIG_FILE!), { code: 'ENOENT' });
    // By root neither, who may make directories nearly everywhere.
    await assert.rejects(mkdir(join(HOME!, '.cache'), { recursive: true }), { code: 'ENOTDIR' });
  }
  assert.deepEqual(await readdir(scratch), []);
});

test('a slot for which no home can be made goes without, and takes nobody else its own', async (t) => {
  const homes = new PrivateHomes(await temporaryDirectory(t));
  const first = homes.variables(0);
  await writeFile(join(first['HOME']!, '../slot-1'), '');
  const { HOME, DATABRICKS_CACHE_DIR } = homes.variables(1);
  assert.deepEqual({ HOME, DATABRICKS_CACHE_DIR }, { HOME: '/dev/null', DATABRICKS_CACHE_DIR: undefined });
  assert.ok((await stat(first['DATABRICKS_CACHE_DIR']!)).isDirectory());
  assert.deepEqual(homes.variables(0), first);
});

test('what killed processes have left is removed, and nothing that may be in use or is not ours', async (t) => {
  const directory = await temporaryDirectory(t);
  const { pid } = spawnSync('true');
  const [gone, predecessor, running] = [pid, process.pid, process.ppid].map(
    (one) => `lakebase-credential-${one}-a1B2c3`,
  );
  const others = [
    `lakebase-credential-${pid}`,
    `lakebase-credential-${pid}-a1B2c3d`,
    `x-lakebase-credential-${pid}-a1B2c3`,
  ];
  for (const name of [gone!, predecessor!, running!, ...others])
    await mkdir(join(directory, name, 'slot-0/cache'), { recursive: true });
  const [link, file] = [`lakebase-credential-${pid}-link00`, `lakebase-credential-${pid}-file00`];
  await symlink(others[0]!, join(directory, link));
  await writeFile(join(directory, file), '');
  const homes = new PrivateHomes(directory);
  const stranger = t.mock.method(process as { getuid: () => number }, 'getuid', () => 4_711);
  await homes.sweep(t);
  stranger.mock.restore();
  assert.equal((await readdir(directory)).length, 8, 'what belongs to another user is swept');
  const own = relative(directory, homes.variables(0)['HOME']!).split('/')[0]!;
  await homes.sweep(t);
  assert.deepEqual((await readdir(directory)).toSorted(), [running!, ...others, link, file, own].toSorted());
  assert.deepEqual(await readdir(join(directory, others[0]!)), ['slot-0']);
  await new PrivateHomes(join(directory, 'nothing')).sweep(t);
});

test('what may be in use by a process that belongs to another user stays', async (t) => {
  const directory = await temporaryDirectory(t);
  const { pid } = spawnSync('true');
  await mkdir(join(directory, `lakebase-credential-${pid}-a1B2c3`));
  t.mock.method(process, 'kill', () => {
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
  });
  await new PrivateHomes(directory).sweep(t);
  assert.equal((await readdir(directory)).length, 1);
});

test('what is there without number holds up neither anything else nor the end', async (t) => {
  const directory = await temporaryDirectory(t);
  const { pid } = spawnSync('true');
  const count = 2_000;
  const left = (): number => readdirSync(directory).length;
  for (let i = 0; i < count; i += 1)
    mkdirSync(join(directory, `lakebase-credential-${pid}-${String(i).padStart(6, '0')}`));
  const end = new AbortController();
  const swept = new PrivateHomes(directory).sweep(end);
  while (left() === count) await setImmediate();
  end.abort();
  await swept;
  assert.ok(left() > 0, 'others had no turn before all was done');
  await new PrivateHomes(directory).sweep(t);
  assert.equal(left(), 0);
});

test('a home that somebody has removed is made again under a name that nobody has seen', async (t) => {
  const directory = await temporaryDirectory(t);
  const homes = new PrivateHomes(directory);
  const rootOf = (): string => join(homes.variables(0)['HOME']!, '..');
  for (const squat of [
    async () => {},
    async (path: string) => await writeFile(path, ''),
    async (path: string) => await symlink('.', path),
  ]) {
    const root = rootOf();
    assert.equal(rootOf(), root);
    await rm(root, { recursive: true });
    await squat(root);
    assert.notEqual(rootOf(), root);
    assert.equal((await stat(rootOf())).mode & 0o777, 0o700);
  }
});
