import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { clis } from '../support/clis.ts';
import { shellWord } from '../../src/sinks/render.ts';
import { configText, credential } from '../support/sidecar-setup.ts';
import { scriptedCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';

test('other settings of refresh or backoff are in force for every credential', { timeout: 30_000 }, async (t) => {
  const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t) })).ready();
  for (const [differences, changed] of [
    [{ refresh: { at: 0.5 } }, ['backstage']],
    [{ refresh: { at: 0.5 }, backoff: { max: '2m' } }, ['backstage']],
    [{ refresh: { at: 0.5 }, backoff: { max: '2m' }, log: { level: 'info' } }, []],
  ] as const) {
    const from = sidecar.lines.length;
    await writeFile(sidecar.configFile, configText(sidecar.directory, undefined, differences));
    assert.deepEqual((await sidecar.logged('configuration reloaded', { from }))['changed'], changed);
  }
});

test('another level of the log is in force at once', { timeout: 30_000 }, async (t) => {
  const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t) })).ready();
  const reloadedAt = async (): Promise<number | undefined> =>
    (await sidecar.metrics()).get('config_last_reload_success_timestamp_seconds');
  const [from, startedAt] = [sidecar.lines.length, await reloadedAt()];
  const write = async (level: string): Promise<void> =>
    await writeFile(sidecar.configFile, configText(sidecar.directory, undefined, { log: { level } }));
  await write('warn');
  await eventually('it is reloaded', async () => (await reloadedAt()) !== startedAt);
  await write('info');
  await sidecar.logged('configuration reloaded', { from });
  const told = sidecar.lines.slice(from).filter(({ msg }) => msg === 'configuration reloaded');
  assert.equal(told.length, 1, 'only the second time');
});

test(
  'those that a new configuration adds wait for the same slots as those that go on',
  { timeout: 30_000 },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const [record, go] = [join(directory, 'record'), join(directory, 'go')];
    const waits = `until [ -e '${go}' ]; do sleep 0.05; done`;
    const path = await scriptedCli(
      t,
      `echo begins >> '${record}'; ${waits}; ${shellWord(clis[0]!.path)} "$@" && echo ends >> '${record}'`,
    );
    const config = { minter: { cli: { command: path, concurrency: 1 } } };
    const sidecar = await startSidecar(t, { workspace: await workspaceFor(t), directory, cli: path, config });
    const sinks = [{ file: { path: `${directory}/run/other`, format: 'token' } }];
    const credentials = [credential(directory), credential(directory, { name: 'other', sinks })];
    await writeFile(sidecar.configFile, configText(directory, path, { ...config, credentials }));
    await sidecar.logged('configuration reloaded');
    await eventually('one mints, and the other waits for its turn', async () => {
      const { body } = await sidecar.get('/healthz?verbose');
      return body.includes(' minting') && body.includes(' waiting for its turn to mint');
    });
    await writeFile(go, '');
    await sidecar.ready();
    assert.deepEqual((await readFile(record, 'utf8')).trim().split('\n'), ['begins', 'ends', 'begins', 'ends']);
  },
);

test('another number of CLIs that may run together is in force at once', { timeout: 30_000 }, async (t) => {
  const directory = await temporaryDirectory(t);
  const record = join(directory, 'record');
  const path = await scriptedCli(t, `echo begins >> '${record}'; exec sleep 600`);
  const begun = async (): Promise<number> => (await readFile(record, 'utf8').catch(() => '')).split('\n').length - 1;
  const credentials = ['one', 'other'].map((name) =>
    credential(directory, { name, sinks: [{ file: { path: `${directory}/run/${name}`, format: 'token' } }] }),
  );
  const config = (concurrency: number) => ({ credentials, minter: { cli: { command: path, concurrency } } });
  const sidecar = await startSidecar(t, { workspace: await workspaceFor(t), directory, config: config(1) });
  await eventually('one runs', async () => (await begun()) === 1);
  // Of three slots the two that have no credential yet leave one free.
  await writeFile(sidecar.configFile, configText(directory, path, config(3)));
  await sidecar.logged('configuration reloaded');
  await eventually('both run', async () => (await begun()) === 3);
});

test('a directory that is gone is no obstacle to what else changes', { timeout: 30_000 }, async (t) => {
  const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t) })).ready();
  const { directory } = sidecar;
  await eventually('a file is in its place', async () => {
    try {
      await rm(join(directory, 'run'), { recursive: true });
      await writeFile(join(directory, 'run'), '', { flag: 'wx' });
      return true;
    } catch {
      return false; // the sidecar has made it anew meanwhile
    }
  });
  const sinks = [{ file: { path: `${directory}/elsewhere/token`, format: 'token' } }];
  const credentials = [credential(directory), credential(directory, { name: 'other', sinks })];
  await writeFile(sidecar.configFile, configText(directory, undefined, { credentials }));
  assert.deepEqual((await sidecar.logged('configuration reloaded'))['changed'], ['other']);
  await eventually(
    'the other is there',
    async () => (await readFile(join(directory, 'elsewhere/token')).catch(() => '')) !== '',
  );
});
