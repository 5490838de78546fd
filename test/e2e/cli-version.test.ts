import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { printVersions } from '../../src/commands/version.ts';
import { ConfigError } from '../../src/credential/errors.ts';
import { shellWord } from '../../src/sinks/render.ts';
import { standInCli } from '../support/clis.ts';
import { scriptedCli, workspaceFor } from '../support/sidecar-clis.ts';
import { configText, credential } from '../support/sidecar-setup.ts';
import { eventually } from '../support/eventually.ts';
import { runCommand, startSidecar } from '../support/sidecar.ts';

const options = { timeout: 30_000 };

test('the version of the CLI is known, also of another one that a new configuration names', options, async (t) => {
  const workspace = await workspaceFor(t);
  const sidecar = await (await startSidecar(t, { workspace })).ready();
  const { configFile, directory } = sidecar;
  const knows = async (version: string): Promise<void> => {
    const label = `cli_version="${version}"`;
    await eventually(label, async () => (await sidecar.get('/metrics')).body.includes(label));
  };
  await knows('1.13.0');
  const old = await standInCli(t, { version: '0.297.0' });
  await writeFile(configFile, configText(directory, old));
  const warning = await sidecar.logged('this Databricks CLI may not work');
  assert.equal(warning['complaint'], 'Databricks CLI 0.297.0 is too old: 0.298.0 or newer is needed');
  assert.equal(warning['remedy'], 'install a newer Databricks CLI');
  await knows('0.297.0');
  const from = sidecar.lines.length;
  const record = join(directory, 'asked');
  const older = shellWord(await standInCli(t, { version: '1.6.0' }));
  const recorded = await scriptedCli(t, '');
  await writeFile(recorded, `#!/bin/sh\n[ "$1" = version ] && echo asked >> '${record}'\nexec ${older} "$@"\n`);
  const credentials = [credential(directory, { ttl: '15m' })];
  await writeFile(configFile, configText(directory, recorded, { credentials }));
  const { complaint } = await sidecar.logged('this Databricks CLI may not work', { from });
  assert.equal(complaint, 'Databricks CLI 1.6.0 is too old: 1.7.0 or newer is needed for a ttl');
  const broken = await scriptedCli(t, '');
  await writeFile(broken, '#!/nonexistent/interpreter\n');
  await writeFile(configFile, configText(directory, broken));
  await knows('unknown');
  assert.equal(await readFile(record, 'utf8'), 'asked\n', 'once for each configuration');
});

test(
  'the metrics tell versions, configuration and counts from the start, without the version of a CLI that has not answered',
  options,
  async (t) => {
    const cli = await scriptedCli(t, 'exec sleep 600');
    const sidecar = await startSidecar(t, { workspace: await workspaceFor(t), cli });
    const samples = await sidecar.metrics();
    await sidecar.stop();
    assert.equal(samples.get('build_info', { cli_version: 'unknown' }), 1);
    assert.equal(samples.get('config_last_reload_successful'), 1, 'what it started with');
    const labels = { credential: 'backstage' };
    assert.equal(samples.get('refresh_failures_total', { ...labels, reason: 'auth' }), 0);
    assert.equal(
      samples.get('sink_writes_total', { ...labels, sink: `file:${sidecar.path('token')}`, result: 'failure' }),
      0,
    );
  },
);

test('the version is asked for after some seconds, also where nothing could be minted', options, async (t) => {
  const cli = await scriptedCli(t, 'exec sleep 600'); // but it tells its version
  const sidecar = await startSidecar(t, { workspace: await workspaceFor(t), cli });
  await eventually('it is told', async () => (await sidecar.get('/metrics')).body.includes('cli_version="1.13.0"'));
});

test(
  'a program that mints and does not print its version is warned of by run, and found by check, with what to do',
  options,
  async (t) => {
    const workspace = await workspaceFor(t);
    const nameless = await standInCli(t, { version: '1.13' });
    const { code, stdout } = await runCommand(t, 'check', { workspace, cli: nameless });
    assert.equal(code, 69, stdout);
    assert.match(
      stdout,
      /✗ fail cli: the CLI "\/.+" does not print its version\n {7}→ set minter\.cli\.command to the Databricks CLI; the deprecated CLI from pip \(databricks-cli\) does not work\n/,
    );
    const versions = await runCommand(t, 'version', { workspace, cli: nameless });
    assert.match(versions.stdout, /^databricks the CLI "\/.+" does not print its version$/m);
    const sidecar = await (await startSidecar(t, { workspace, cli: nameless })).ready();
    const { level, complaint, remedy } = await sidecar.logged('this Databricks CLI may not work');
    assert.deepEqual([level, complaint], ['warn', `the CLI "${nameless}" does not print its version`]);
    assert.match(String(remedy), /^set minter\.cli\.command to the Databricks CLI; /);
    assert.match((await sidecar.get('/metrics')).body, /cli_version="unknown"/);
  },
);

test('version does without a configuration that is bad, but not with a bug in reading one', async () => {
  const printed = new PassThrough();
  const print = (problem: Error): Promise<void> =>
    printVersions({
      load: () => Promise.reject(problem),
      env: { PATH: '/nonexistent' },
      stdout: printed,
      signal: new AbortController().signal,
    });
  await print(new ConfigError([]));
  assert.match(String(printed.read()), /^databricks the CLI "databricks" does not exist, or is not a program/m);
  await assert.rejects(print(new TypeError('a bug')), /a bug/);
});
