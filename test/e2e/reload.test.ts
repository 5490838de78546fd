import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { clis } from '../support/clis.ts';
import { kubeconfigOf } from '../support/api-client.ts';
import { configText, credential, ENDPOINT } from '../support/sidecar-setup.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { type LogLine, type Sidecar, spawnRun, startSidecar } from '../support/sidecar.ts';

const REPORTS = 'projects/reports/branches/production/endpoints/primary';

function reports(directory: string): object {
  const sinks = [{ file: { path: `${directory}/run/reports`, format: 'token' } }];
  return credential(directory, { name: 'reports', endpoint: REPORTS, sinks });
}

/** What the kubelet does: a new folder, and one rename that swaps the link to it. */
async function swapVolume(volume: string, name: string, content: string): Promise<void> {
  const version = `..${Date.now()}-${Math.random()}`;
  await mkdir(join(volume, version), { recursive: true });
  await writeFile(join(volume, version, name), content);
  await symlink(version, join(volume, '..data_tmp'));
  await rename(join(volume, '..data_tmp'), join(volume, '..data'));
  await symlink(`..data/${name}`, join(volume, name)).catch(() => {
    // There since the first time.
  });
}

testWithEachCli(
  'a changed configuration adds, changes and removes credentials, and mints for the new ones only',
  async (t, cli) => {
    const workspace = await workspaceFor(t);
    const mintedFor = () => workspace.minted.map(({ resource }) => resource);
    const sidecar = await (await startSidecar(t, { workspace, cli })).ready();
    const { configFile, directory } = sidecar;
    const reload = async (...credentials: object[]) => {
      const from = sidecar.lines.length;
      await writeFile(configFile, configText(directory, cli, { credentials }));
      return await sidecar.logged('configuration reloaded', { from });
    };

    assert.deepEqual((await reload(credential(directory), reports(directory)))['changed'], ['reports']);
    await sidecar.ready();
    assert.deepEqual(mintedFor(), [ENDPOINT, REPORTS]);
    assert.equal(await sidecar.read('reports'), workspace.minted[1]?.token);

    const sinks = [{ file: { path: `${directory}/run/token`, format: 'token', mode: '0600' } }];
    const changed = await reload(credential(directory, { sinks }), reports(directory));
    assert.deepEqual(changed['changed'], ['backstage']);
    await eventually(
      'the file has its new mode',
      async () => ((await stat(sidecar.path('token'))).mode & 0o777) === 0o600,
    );
    assert.equal(await sidecar.read('token'), workspace.minted[0]?.token);
    const left = await sidecar.logged('sinks no longer configured are left as they are');
    assert.deepEqual(left['sinks'], [`file:${directory}/run/pgpass`]);
    assert.ok((await sidecar.read('pgpass')).includes(workspace.minted[0]!.token));

    assert.deepEqual((await reload(reports(directory)))['changed'], ['backstage']);
    const { credentials } = await sidecar.status();
    assert.deepEqual(
      credentials.map(({ name }) => name),
      ['reports'],
    );
    assert.equal((await sidecar.metrics()).get('valid', { credential: 'backstage' }), undefined);
    assert.equal((await sidecar.metrics()).get('refreshes_total', { credential: 'reports' }), 1);
    assert.deepEqual(mintedFor(), [ENDPOINT, REPORTS]);
  },
);

test(
  'a bad configuration changes nothing, shows in a metric, and a good one makes up for it',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const sidecar = await (await startSidecar(t, { workspace })).ready();
    const { configFile, directory } = sidecar;
    const good = await readFile(configFile, 'utf8');
    const token = await sidecar.read('token');
    await mkdir(join(directory, 'folder'));
    const intoFolder = [{ file: { path: `${directory}/folder`, format: 'token' } }];
    const refused = configText(directory, undefined, { credentials: [credential(directory, { sinks: intoFolder })] });
    const bads = [
      ['{', 'invalid YAML'],
      [configText(directory, undefined, { nonsense: 1 }), 'nonsense: is not known'],
      [refused, 'folder is a directory'],
      [configText(directory, '/nonexistent/databricks'), 'there is no such file'],
      [undefined, 'is a named pipe'],
    ] as const;
    for (const [bad, what] of bads) {
      if (bad === undefined) execFileSync('sh', ['-c', 'mkfifo "$1.new" && mv "$1.new" "$1"', 'sh', configFile]);
      else await writeFile(configFile, bad);
      // By its reason: a file that is written in place may be read, and complained about, while it is empty.
      const complaint = `configuration not reloaded; the previous one stays active: ${what}`;
      const line = await eventually(complaint, () => sidecar.lines.find((one) => isComplaint(one, what)));
      assert.equal(line.level, 'warn', what);
      assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 0, what);
      assert.equal((await sidecar.get('/readyz')).status, 200, what);
      assert.equal(await sidecar.read('token'), token, what);
    }
    await writeFile(`${configFile}.new`, good);
    await rename(`${configFile}.new`, configFile);
    await sidecar.logged('configuration reloaded');
    assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 1);
    assert.equal(workspace.minted.length, 1);
  },
);

test(
  'a configuration that was refused for something outside of the file is in force once that is put right, and said once',
  { timeout: 60_000 },
  async (t) => {
    const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t) })).ready();
    const { configFile, directory } = sidecar;
    const refusal = 'configuration not reloaded; the previous one stays active';
    const refusals = (): number => sidecar.lines.filter(({ msg }) => msg === refusal).length;
    const cli = join(directory, 'databricks');
    const obstacle = join(directory, 'elsewhere');
    await writeFile(obstacle, '');
    const tried = join(directory, 'tried');
    const sinks = [obstacle, tried].map((folder) => ({ file: { path: `${folder}/token`, format: 'token' } }));
    await writeFile(configFile, configText(directory, cli, { credentials: [credential(directory, { sinks })] }));
    await sidecar.logged(refusal);
    await symlink(clis[0]!.path, cli);
    await eventually('the next problem is told', () => refusals() === 2);
    await rm(tried, { recursive: true });
    await eventually('it is tried again, with the same problem', () => existsSync(tried));
    await rm(obstacle);
    await sidecar.logged('configuration reloaded');
    assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 1);
    assert.equal(refusals(), 2);
    await sidecar.ready();
  },
);

function isComplaint({ msg, err }: LogLine, what: string): boolean {
  if (msg !== 'configuration not reloaded; the previous one stays active') return false;
  return (err as { message: string }).message.includes(what);
}

test('the swap of a ConfigMap volume is noticed, the second one too', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const volume = join(directory, 'volume');
  await swapVolume(volume, 'config.yaml', configText(directory));
  const flags = ['--config', join(volume, 'config.yaml')];
  const sidecar = await (await startSidecar(t, { workspace, directory, config: null, flags })).ready();
  await swapVolume(
    volume,
    'config.yaml',
    configText(directory, undefined, { credentials: [credential(directory), reports(directory)] }),
  );
  assert.deepEqual((await sidecar.logged('configuration reloaded'))['changed'], ['reports']);
  const from = sidecar.lines.length;
  await swapVolume(volume, 'config.yaml', configText(directory));
  assert.deepEqual((await sidecar.logged('configuration reloaded', { from }))['changed'], ['reports']);
});

test('reloads leave nothing open behind', { timeout: 60_000, skip: NOT_LINUX }, async (t) => {
  const workspace = await workspaceFor(t);
  const sidecar = await (await startSidecar(t, { workspace })).ready();
  const { directory } = sidecar;
  const reload = async (round: number): Promise<void> => {
    const from = sidecar.lines.length;
    // In a directory of its own each time, so that nothing is watched that was watched before.
    const moved = { file: { path: `${directory}/run-${round}/token`, format: 'token' } };
    const config = configText(directory, undefined, { credentials: [credential(directory, { sinks: [moved] })] });
    await writeFile(sidecar.configFile, config);
    await sidecar.logged('configuration reloaded', { from });
    await eventually('it is written', () => sidecar.isReady());
  };
  await reload(0);
  await reload(1);
  const before = await openIn(sidecar.pid);
  for (const round of [2, 3, 4, 5, 6]) await reload(round);
  await eventually('no more is open', async () => (await openIn(sidecar.pid)) <= before, {
    withinMs: 5_000,
    onTimeout: () => `${before} before`,
  });
});

/** Files and sockets, and what is watched. */
async function openIn(pid: number): Promise<number> {
  const infos = await Promise.all(
    (await readdir(`/proc/${pid}/fdinfo`)).map((fd) => readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '')),
  );
  return infos.length + infos.join('').split('inotify wd:').length;
}

test(
  'a new log level is in force at once, and a change of http is said to need a restart, but not one back',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const sidecar = await (await startSidecar(t, { workspace })).ready();
    const reload = async (differences: object): Promise<void> => {
      const from = sidecar.lines.length;
      await writeFile(sidecar.configFile, configText(sidecar.directory, undefined, { ...differences }));
      await sidecar.logged('configuration reloaded', { from });
    };
    const warnings = () =>
      sidecar.lines.filter(({ msg }) => msg === 'http settings changed; restart to apply them').length;
    await reload({ http: { host: '127.0.0.1', port: 1 }, log: { level: 'debug' } });
    assert.equal(warnings(), 1);
    await reload({ log: { level: 'debug' } });
    assert.equal(warnings(), 1);
    await writeFile(sidecar.path('token'), 'broken');
    await sidecar.logged('sink repaired after somebody else changed it');
    assert.equal((await sidecar.get('/readyz')).status, 200);
  },
);

/** So slow that only the new secret can be why it is tried again. */
const PATIENT = { backoff: { initial: '1m', max: '1m' } };

testWithEachCli('a rotated client secret in its file heals a failing credential at once', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'client-secret');
  await writeFile(file, `${workspace.clientSecret}\n`);
  workspace.rotateClientSecret();
  const env = { DATABRICKS_CLIENT_SECRET: undefined, DATABRICKS_CLIENT_SECRET_FILE: file };
  const sidecar = await startSidecar(t, { workspace, cli, directory, env, config: PATIENT });
  const failed = await sidecar.logged('mint failed');
  assert.equal((failed['err'] as { failure: string }).failure, 'auth');
  await writeFile(file, `${workspace.clientSecret}\n`);
  const healed = await sidecar.logged('minted again after failures');
  assert.ok(Date.parse(healed['time'] as string) < Date.parse(failed['retryAt'] as string), 'it was due anyway');
});

testWithEachCli('a new OIDC token, swapped in by the kubelet, heals a failing credential at once', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const volume = join(directory, 'tokens');
  await swapVolume(volume, 'token', await workspace.serviceAccountToken({ lifetimeMs: -60_000 }));
  const env = { DATABRICKS_CLIENT_SECRET: undefined, DATABRICKS_OIDC_TOKEN_FILEPATH: join(volume, 'token') };
  const sidecar = await startSidecar(t, { workspace, cli, directory, env, config: PATIENT });
  const failed = await sidecar.logged('mint failed');
  assert.match(failed['remedy'] as string, /find out why the file .* is not renewed/);
  await swapVolume(volume, 'token', await workspace.serviceAccountToken());
  const healed = await sidecar.logged('minted again after failures');
  assert.ok(Date.parse(healed['time'] as string) < Date.parse(failed['retryAt'] as string), 'it was due anyway');
});

/** Its start waits for an API server that says nothing. */
async function startWaiting(t: TestContext): Promise<Sidecar> {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const silent = createServer().listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const kubeconfig = join(directory, 'kubeconfig');
  await writeFile(kubeconfig, kubeconfigOf(`http://127.0.0.1:${port}`, 'of-nobody'));
  const secret = { secret: { namespace: 'a', name: 'b', data: { password: 'token' } } };
  const credentials = [credential(directory, { sinks: [secret] })];
  const connected = once(silent, 'connection');
  const env = { KUBECONFIG: kubeconfig };
  const sidecar = await spawnRun(t, { workspace, directory, env, config: { credentials } });
  const [socket] = (await connected) as [Socket];
  t.after(() => socket.destroy());
  return sidecar;
}

test(
  'a change while the start waits for an API server that says nothing is not lost',
  { timeout: 90_000 },
  async (t) => {
    const sidecar = await startWaiting(t);
    await writeFile(sidecar.configFile, configText(sidecar.directory));
    assert.deepEqual((await sidecar.logged('configuration reloaded'))['changed'], ['backstage']);
    await (await sidecar.started()).ready();
  },
);

test(
  'a configuration that becomes bad while the start waits ends nothing, and is told',
  { timeout: 90_000 },
  async (t) => {
    const sidecar = await startWaiting(t);
    await writeFile(sidecar.configFile, '{');
    await sidecar.logged('configuration not reloaded; the previous one stays active');
    await sidecar.started();
    assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 0);
  },
);
