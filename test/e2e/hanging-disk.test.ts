import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { hang, nodeWithMounts, whyNoHang } from '../support/hanging-mount.ts';
import { configText, ENDPOINT, credential } from '../support/sidecar-setup.ts';
import { allGone, hangingCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { runCommand, type Sidecar, startSidecar } from '../support/sidecar.ts';

/** A write does four things at once, and somebody asks what the file holds. */
const CALLS_PER_FILE = 5;

/** What has Node.js run that first. */
function running(code: string): string {
  return `--import=data:text/javascript,${encodeURIComponent(code).replaceAll("'", '%27')}`;
}

/** Whoever looks for something on that disk waits until the process ends. */
function awayFromTheStart(disk: string) {
  const hang = ['stat', 'lstat', 'open', 'opendir'].map(
    (name) =>
      `const ${name} = fs.${name}; fs.${name} = (path, ...rest) => path.startsWith('${disk}') || ${name}(path, ...rest);`,
  );
  return { NODE_OPTIONS: running(`const fs = process.getBuiltinModule('fs'); ${hang.join(' ')}`) };
}

test(
  'a disk that hangs, with two files on it, keeps no other file from its next token',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t, { tokenLifetimeMs: 12_000 });
    const directory = await temporaryDirectory(t);
    const away = ['away', 'away-too'].map((name) => ({ file: { path: `${directory}/disk/${name}`, format: 'token' } }));
    const config = {
      credentials: [
        credential(directory),
        credential(directory, { name: 'away', endpoint: `${ENDPOINT}2`, sinks: away }),
      ],
      refresh: { at: 0.1, jitter: 0, floor: '1s' },
    };
    // Nobody writes into the pipe, so that each call to open it waits like one for such a disk: until the process ends.
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const hang = `for (let i = 0; i < ${CALLS_PER_FILE * away.length}; i++) process.getBuiltinModule('fs').open('${pipe}', () => {})`;
    const env = { NODE_OPTIONS: running(`process.once('SIGUSR2', () => { ${hang} })`) };
    const sidecar = await (await startSidecar(t, { workspace, directory, config, env })).ready();
    sidecar.kill('SIGUSR2');
    const minted = workspace.minted.length;
    await eventually('the file has a token that was minted since', async () => {
      const token = await sidecar.read('token');
      return workspace.minted.slice(minted + 1).some((one) => one.token === token && one.resource === ENDPOINT);
    });
    assert.ok(await sidecar.isReady());
  },
);

test(
  'a disk that hangs at the start, too, holds up other credentials for seconds only',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const disk = join(directory, 'disk');
    const away = credential(directory, {
      name: 'away',
      endpoint: `${ENDPOINT}2`,
      sinks: [
        { file: { path: `${disk}/away`, format: 'token' } },
        { file: { path: `${directory}/run/near`, format: 'token' } },
      ],
    });
    const env = awayFromTheStart(disk);
    const config = { credentials: [credential(directory), away] };
    const sidecar = await startSidecar(t, { workspace, directory, config, env });
    for (const name of ['token', 'near']) {
      await eventually(`${name} is written`, async () => await sidecar.read(name).catch(() => undefined));
    }
  },
);

test('check tells of a disk that hangs, and of everything else', { timeout: 60_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const disk = join(directory, 'disk');
  const sinks = [disk, `${directory}/run`].map((folder) => ({ file: { path: `${folder}/token`, format: 'token' } }));
  const config = { credentials: [credential(directory, { sinks })] };
  const env = awayFromTheStart(disk);
  const { code, stdout, stderr } = await runCommand(t, 'check', { workspace, directory, config, env });
  assert.equal(code, 69, stdout + stderr);
  assert.match(stdout, /✗ fail backstage file:.+\/disk\/token: file:.+ does not answer\n/);
  assert.match(stdout, /✓ ok {3}backstage file:.+\/run\/token: /);
  assert.match(stdout, /^1 of 6 checks failed$/m);
});

test(
  'a file system that does not answer is told in the log and by /readyz, gets the newest token once it does, and keeps nothing from its end',
  { timeout: 150_000, skip: whyNoHang() },
  async (t) => {
    const workspace = await workspaceFor(t, { tokenLifetimeMs: 12_000 });
    const directory = await temporaryDirectory(t);
    const [disk, near] = [join(directory, 'disk'), join(directory, 'near')];
    const sinks = [disk, near].map((folder) => ({ file: { path: `${folder}/token`, format: 'token' } }));
    const config = {
      credentials: [credential(directory, { sinks })],
      refresh: { at: 0.1, jitter: 0, floor: '1s' },
    };
    const node = await nodeWithMounts(directory);
    const sidecar = await (await startSidecar(t, { workspace, directory, config, node })).ready();
    const isNewest = async (folder: string): Promise<boolean> =>
      (await readFile(join(folder, 'token'), 'utf8')) === workspace.minted.at(-1)?.token;

    const answerAgain = await hang(t, sidecar.pid, disk);
    const told = await sidecar.logged('sink does not answer');
    assert.equal(told['sink'], `file:${disk}/token`);
    assert.match(String(told['remedy']), /find out why its volume hangs/);
    const { status, body } = await sidecar.get('/readyz?verbose');
    assert.equal(status, 503);
    assert.match(body, new RegExp(`^\\[-\\]backstage file:${disk}/token failed: .+ does not answer$`, 'm'));
    assert.ok(!(await isNewest(disk)));
    await eventually('the other file has the newest token', async () => await isNewest(near));

    await answerAgain();
    await sidecar.logged('sink answers again');
    await eventually('both have the newest token', async () => (await isNewest(disk)) && (await isNewest(near)));
    await eventually('it is ready', async () => await sidecar.isReady());

    const minted = workspace.minted.length;
    await hang(t, sidecar.pid, disk);
    await eventually('there is a token to be written', () => workspace.minted.length > minted);
    const { code } = await sidecar.stop();
    assert.equal(code, 0, sidecar.stderr);
  },
);

test('a reload that waits for a write on a disk that hangs says so', { timeout: 60_000 }, async (t) => {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: 12_000 });
  const directory = await temporaryDirectory(t);
  const hang = `const fs = process.getBuiltinModule('fs'); const { open } = fs;
    fs.open = (path, ...rest) => path.includes('/disk/') && isAway || open(path, ...rest);`;
  const env = { NODE_OPTIONS: running(`let isAway = false; process.once('SIGUSR2', () => (isAway = true)); ${hang}`) };
  const away = credential(directory, { sinks: [{ file: { path: `${directory}/disk/token`, format: 'token' } }] });
  const refresh = { at: 0.1, jitter: 0, floor: '1s' };
  const config = { credentials: [away], refresh };
  const sidecar = await (await startSidecar(t, { workspace, directory, config, env })).ready();
  sidecar.kill('SIGUSR2');
  // The first one may have been written before the signal was heard.
  for (const _ of ['first', 'second']) await sidecar.logged('minted', { from: sidecar.lines.length });
  await writeFile(
    sidecar.configFile,
    configText(directory, undefined, { credentials: [credential(directory)], refresh }),
  );
  await sidecar.logged('new configuration delayed by a hanging write; restart the container if this persists');
  assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 0);
});

test(
  'while a reload waits for a disk that hangs, metrics tell nothing of a credential that is gone, and all of a new one',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const env = {
      NODE_OPTIONS: running(`const fs = process.getBuiltinModule('fs'); const { rename } = fs;
      fs.rename = (from, ...rest) => from.includes('/disk/') || rename(from, ...rest);`),
    };
    const fileOf = (name: string, place = name) =>
      credential(directory, {
        name,
        endpoint: `${ENDPOINT}-${name}`,
        sinks: [{ file: { path: `${directory}/${place}/token`, format: 'token' } }],
      });
    const config = { credentials: [fileOf('away', 'disk'), fileOf('gone')] };
    const sidecar = await startSidecar(t, { workspace, directory, config, env });
    const valid = async (name: string) => (await sidecar.metrics()).get('valid', { credential: name });
    await eventually('the one that is to go is valid', async () => (await valid('gone')) === 1);
    const credentials = [{ ...fileOf('away', 'disk'), ttl: '30m' }, fileOf('new')];
    await writeFile(sidecar.configFile, configText(directory, undefined, { credentials }));
    await eventually('the new one is valid', async () => (await valid('new')) === 1);
    const metrics = await sidecar.metrics();
    assert.deepEqual(metrics.all('refresh_failures_total', { credential: 'new', reason: 'auth' }), [0]);
    assert.ok(!metrics.text.includes('credential="gone"'), metrics.text);
    assert.equal(await valid('away'), 0);
  },
);

test(
  'of a file on a disk that hangs probes and metrics say so, and of the others what is true',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const hang = `const fs = process.getBuiltinModule('fs'); const { lstat } = fs;
    fs.lstat = (path, ...rest) => path.includes('/disk/') && isAway || lstat(path, ...rest);`;
    const env = {
      NODE_OPTIONS: running(`let isAway = false; process.once('SIGUSR2', () => (isAway = true)); ${hang}`),
    };
    const path = `${directory}/disk/token`;
    const away = credential(directory, {
      name: 'away',
      endpoint: `${ENDPOINT}2`,
      sinks: [{ file: { path, format: 'token' } }],
    });
    const config = { credentials: [credential(directory), away] };
    const sidecar = await (await startSidecar(t, { workspace, directory, config, env })).ready();
    sidecar.kill('SIGUSR2');
    await eventually('it is not ready', async () => !(await sidecar.isReady()));
    const { status, body } = await sidecar.get('/readyz?verbose');
    assert.equal(status, 503);
    assert.match(body, new RegExp(`^\\[-\\]away file:${path} failed: file:${path} does not answer$`, 'm'));
    assert.match(body, /^\[\+\]backstage file:.+ ok/m);
    const metrics = await sidecar.metrics();
    const valid = ['away', 'backstage'].map((name) => metrics.get('valid', { credential: name }));
    assert.deepEqual(valid, [0, 1]);
  },
);

test(
  'a configuration that is refused, and has a file on a disk that hangs, holds no more threads each time that it is tried again',
  { timeout: 90_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const calls = join(directory, 'calls');
    const hang = ['stat', 'lstat', 'open', 'mkdir'].map(
      (name) => `const ${name} = fs.${name}; fs.${name} = (path, ...rest) => path.startsWith('${directory}/disk')
        ? fs.appendFileSync('${calls}', '${name} ') : ${name}(path, ...rest);`,
    );
    const env = { NODE_OPTIONS: running(`const fs = process.getBuiltinModule('fs'); ${hang.join(' ')}`) };
    const sidecar = await (await startSidecar(t, { workspace, directory, env })).ready();
    const tried = join(directory, 'tried');
    const obstacle = join(directory, 'obstacle');
    await writeFile(obstacle, '');
    const sinks = ['disk', 'tried', 'obstacle'].map((name) => ({
      file: { path: `${directory}/${name}/token`, format: 'token' },
    }));
    await writeFile(
      sidecar.configFile,
      configText(directory, undefined, { credentials: [credential(directory, { sinks })] }),
    );
    await sidecar.logged('configuration not reloaded; the previous one stays active');
    const before = await readFile(calls, 'utf8');
    await rm(tried, { recursive: true });
    await eventually('it is tried again', () => existsSync(tried));
    assert.equal(await readFile(calls, 'utf8'), before);
    await rm(obstacle);
    await sidecar.logged('configuration reloaded');
  },
);

describe('a write on a disk that hangs, and holds a thread', { timeout: 120_000 }, () => {
  /** `call` is what hangs, and `meanwhile` what the process does then. */
  async function setUp(t: TestContext, { call = 'rename', meanwhile = '' } = {}) {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const hang = `const fs = process.getBuiltinModule('fs'); const { ${call} } = fs;
      fs.${call} = (...args) => {
        if (!args.at(-2).includes('/disk/')) return ${call}(...args);
        fs.writeFileSync('${directory}/hangs', '');
        fs.open('${pipe}', args.at(-1));
        ${meanwhile}
      };`;
    const sinks = [{ file: { path: `${directory}/disk/token`, format: 'token' } }];
    const config = { credentials: [credential(directory, { sinks })] };
    return { workspace, directory, config, env: { NODE_OPTIONS: running(hang) } };
  }

  async function startHanging(t: TestContext): Promise<Sidecar> {
    const setup = await setUp(t);
    const sidecar = await startSidecar(t, setup);
    await eventually('the write hangs', () => existsSync(join(setup.directory, 'hangs')));
    return sidecar;
  }

  test('keeps no run from its end, with 0, at SIGTERM', async (t) => {
    const sidecar = await startHanging(t);
    const { code } = await sidecar.stop();
    assert.equal(code, 0, sidecar.stderr);
    assert.equal(sidecar.stderr, '');
  });

  test('keeps no second signal from ending it at once', async (t) => {
    const sidecar = await startHanging(t);
    sidecar.kill('SIGTERM');
    const { code } = await sidecar.stop('SIGINT');
    assert.ok(code === 130 || code === 143, `${code}: whichever the system gives it last`);
  });

  test('keeps no command of the CLI running after a second signal', async (t) => {
    const [workspace, directory, cli] = [await workspaceFor(t), await temporaryDirectory(t), await hangingCli(t)];
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const code = `process.getBuiltinModule('fs').open('${pipe}', () => {});
      process.once('SIGTERM', () => process.kill(process.pid, 'SIGINT'));`;
    const env = { NODE_OPTIONS: running(code) };
    const sidecar = await startSidecar(t, { workspace, directory, cli: cli.path, env });
    const pids = await cli.pids();
    assert.equal((await sidecar.stop()).code, 130);
    await allGone(pids);
  });

  test('keeps no run from its end, with 69, where its port is taken', async (t) => {
    const other = createServer().listen(0, '127.0.0.1');
    t.after(() => other.close());
    await once(other, 'listening');
    const flags = ['--http-port', `${(other.address() as AddressInfo).port}`];
    const setup = await setUp(t);
    // It listens without waiting for the first write, which is to hang already.
    const late = `const { Server } = process.getBuiltinModule('net'); const { listen } = Server.prototype;
      const hangs = (then) => process.getBuiltinModule('fs').existsSync('${setup.directory}/hangs') ? then() : setTimeout(hangs, 20, then);
      Server.prototype.listen = function (...args) { hangs(() => listen.apply(this, args)); return this; };`;
    const env = { NODE_OPTIONS: `${setup.env.NODE_OPTIONS} ${running(late)}` };
    const { code, stderr } = await runCommand(t, 'run', { ...setup, env, flags });
    assert.equal(code, 69, stderr);
    assert.match(stderr, /cannot listen on 127\.0\.0\.1/);
  });

  test('keeps no check from its end, with 143, at SIGTERM', async (t) => {
    const setup = await setUp(t, { call: 'unlink', meanwhile: "process.kill(process.pid, 'SIGTERM');" });
    await mkdir(join(setup.directory, 'disk'));
    const { code, stderr } = await runCommand(t, 'check', setup);
    assert.equal(code, 143, stderr);
  });

  test('is told by check, which ends with 69', async (t) => {
    const setup = await setUp(t, { call: 'unlink' });
    await mkdir(join(setup.directory, 'disk'));
    const { code, stdout } = await runCommand(t, 'check', setup);
    assert.equal(code, 69);
    assert.match(
      stdout,
      /✗ fail backstage file:.+\/disk\/token: file:.+ does not answer\n +→ find out why its volume hangs/,
    );
  });

  test('keeps once from no more than what it is for: it ends with 69 when its time is over', async (t) => {
    const { code, stderr } = await runCommand(t, 'once', { ...(await setUp(t)), flags: ['--timeout', '2s'] });
    assert.equal(code, 69, stderr);
    assert.match(stderr, /file:.+\/disk\/token does not answer|\/disk\/token does not exist/);
  });
});
