import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { standInCli } from '../support/clis.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { allGone, hangingCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { spawnRun, startSidecar } from '../support/sidecar.ts';

const options = { timeout: 30_000 };

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  testWithEachCli(`${signal} ends the sidecar with 0 within a second, and the files stay`, async (t, cli) => {
    const workspace = await workspaceFor(t);
    const sidecar = await (await startSidecar(t, { workspace, cli })).ready();
    const { code, durationMs } = await sidecar.stop(signal);
    assert.equal(code, 0);
    assert.ok(durationMs < 1_000, `${durationMs} ms`);
    assert.equal(await sidecar.read('token'), workspace.minted.at(-1)?.token);
    assert.equal(sidecar.stderr, '');
    assert.equal(sidecar.lines.at(-1)?.['reason'], `stopped by ${signal}`);
    assert.deepEqual(await readdir(join(sidecar.directory, 'tmp')), [], 'a private home is left');
  });

  test(
    `${signal} ends the sidecar with 0 within a second while a CLI hangs that ignores SIGTERM, and all that it started`,
    options,
    async (t) => {
      const workspace = await workspaceFor(t);
      const cli = await hangingCli(t);
      const sidecar = await startSidecar(t, { workspace, cli: cli.path });
      const pids = await cli.pids();
      assert.equal(pids.length, 2);
      const { code, durationMs } = await sidecar.stop(signal);
      assert.equal(code, 0);
      assert.ok(durationMs < 1_000, `${durationMs} ms`);
      await allGone(pids);
      assert.deepEqual(await readdir(join(sidecar.directory, 'tmp')), []);
    },
  );
}

test(
  'SIGTERM ends the sidecar with 0 within a second while it waits for a workspace that does not answer',
  options,
  async (t) => {
    const workspace = await workspaceFor(t);
    workspace.fail('any', 'hang');
    const asked = workspace.nextRequest();
    const sidecar = await startSidecar(t, { workspace });
    await asked;
    const { code, durationMs } = await sidecar.stop();
    assert.equal(code, 0);
    assert.ok(durationMs < 1_000, `${durationMs} ms`);
  },
);

test('a stand-in CLI that ignores SIGTERM costs half a second at the end, and not more', options, async (t) => {
  const workspace = await workspaceFor(t);
  workspace.fail('credential', 'hang');
  const asked = workspace.nextRequest('/api/');
  const stubborn = await standInCli(t, { ignoresSigterm: true });
  const sidecar = await startSidecar(t, { workspace, cli: stubborn });
  await asked;
  const { code, durationMs } = await sidecar.stop();
  assert.equal(code, 0);
  assert.ok(durationMs > 400 && durationMs < 1_000, `${durationMs} ms`);
});

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  test(`a second ${signal} ends the sidecar at once with ${code}, and all that the CLI started`, options, async (t) => {
    const workspace = await workspaceFor(t);
    const cli = await hangingCli(t);
    // From within, because a busy machine may come to it when the half second of the first one is over.
    const insist = `process.once('SIGTERM',()=>{setTimeout(()=>process.exit(1),250);process.kill(process.pid,'${signal}')})`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${insist}` };
    const sidecar = await startSidecar(t, { workspace, cli: cli.path, env });
    const pids = await cli.pids();
    assert.equal((await sidecar.stop()).code, code);
    await allGone(pids);
  });
}

test(
  'a run of the CLI changes nothing about what a signal does, such as SIGHUP, which nohup has a process ignore',
  { ...options, skip: NOT_LINUX },
  async (t) => {
    const workspace = await workspaceFor(t);
    const cli = await hangingCli(t);
    const sidecar = await startSidecar(t, { workspace, cli: cli.path });
    const pids = await cli.pids();
    const status = await readFile(`/proc/${sidecar.pid}/status`, 'utf8');
    const caught = BigInt(`0x${/^SigCgt:\s+(\w+)$/m.exec(status)![1]!}`);
    const isCaught = (name: NodeJS.Signals): boolean => ((caught >> BigInt(constants.signals[name] - 1)) & 1n) === 1n;
    assert.ok(isCaught('SIGTERM') && isCaught('SIGINT'));
    for (const name of ['SIGHUP', 'SIGQUIT', 'SIGALRM', 'SIGUSR2'] as const) assert.ok(!isCaught(name), name);
    await sidecar.stop();
    await allGone(pids);
  },
);

test('SIGUSR1 opens no debugger, which would show every secret to whoever shares the network', options, async (t) => {
  const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t) })).ready();
  sidecar.kill('SIGUSR1');
  for (let round = 0; round < 20; round += 1) assert.ok(await sidecar.isReady());
  assert.equal((await sidecar.stop()).code, 0);
  assert.equal(sidecar.stderr, '');
});

test('a stop that takes longer is waited for where no disk hangs', options, async (t) => {
  const LONG_MS = 1_500;
  const late = `const{prototype}=process.getBuiltinModule('net').Server;const{close}=prototype;
    prototype.close=function(...args){setTimeout(()=>close.apply(this,args),${LONG_MS});return(this)}`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(late)}` };
  const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t), env })).ready();
  const { code, durationMs } = await sidecar.stop();
  assert.equal(code, 0);
  assert.ok(durationMs >= LONG_MS, `${durationMs} ms`);
});

test('a signal that comes before anything is set up ends the sidecar as well', options, async (t) => {
  const workspace = await workspaceFor(t);
  const cli = await hangingCli(t);
  const sidecar = await spawnRun(t, { workspace, cli: cli.path });
  const pids = await cli.pids(); // the command runs before logging and probes are loaded
  const { code } = await sidecar.stop();
  assert.equal(code, 0);
  await allGone(pids);
});

test(
  'a bug in what nobody waits for ends the sidecar as any other does: with 1, and with its words',
  options,
  async (t) => {
    const workspace = await workspaceFor(t);
    const bug = "process.once('SIGUSR2',()=>void(Promise.reject(new(Error)('of_nobody'))))";
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${bug}` };
    const sidecar = await startSidecar(t, { workspace, env });
    const { code } = await sidecar.stop('SIGUSR2');
    assert.equal(code, 1);
    assert.match(sidecar.stderr, /^lakebase-credential-sidecar: bug: Error: of_nobody\n +at /);
  },
);
