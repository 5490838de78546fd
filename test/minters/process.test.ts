import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand } from '../../src/minters/process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { assertKeepsNoProcess, isRunning } from '../support/processes.ts';
import { allGone, hangingCli } from '../support/sidecar-clis.ts';

const env = { PATH: process.env['PATH'] ?? '' };
const options = { timeout: 60_000 };

test('a command is asked to end, and not only killed, where this process stops', options, async (t) => {
  const directory = await temporaryDirectory(t);
  const [started, asked] = [join(directory, 'started'), join(directory, 'asked')];
  const script = `trap 'echo > "${asked}"; exit' TERM; echo > "${started}"; while :; do sleep 0.05; done`;
  const stop = new AbortController();
  // Its time stands still, so the half second before SIGKILL never ends.
  const limits = { signal: stop.signal, timeoutMs: 60_000, clock: new FakeClock() };
  const running = runCommand({ file: '/bin/sh', args: ['-c', script], env }, limits);
  await eventually('it runs', () => existsSync(started));
  stop.abort(new Error('stopped'));
  await assert.rejects(running, { message: 'stopped' });
  assert.ok(existsSync(asked));
});

test('where this process has stopped before, no command is started', options, async (t) => {
  const started = join(await temporaryDirectory(t), 'started');
  const limits = { signal: AbortSignal.abort(new Error('stopped')), timeoutMs: 60_000, clock: systemClock };
  const running = runCommand({ file: '/bin/sh', args: ['-c', `echo > "${started}"`], env }, limits);
  await assert.rejects(running, { message: 'stopped' });
  assert.ok(!existsSync(started));
});

test('a command runs in the root directory, wherever this process was started', options, async (t) => {
  assert.notEqual(process.cwd(), '/');
  const limits = { signal: t.signal, timeoutMs: 60_000, clock: systemClock };
  const { stdout } = await runCommand({ file: '/bin/sh', args: ['-c', 'pwd'], env }, limits);
  assert.equal(stdout.trim(), '/');
});

test('a command has no input to wait for', options, async (t) => {
  const limits = { signal: t.signal, timeoutMs: 20_000, clock: systemClock };
  const { exitCode, hasTimedOut } = await runCommand({ file: '/bin/cat', args: [], env }, limits);
  assert.deepEqual({ exitCode, hasTimedOut }, { exitCode: 0, hasTimedOut: false });
});

test('a command that ignores the stop is killed half a second later, with all that it started', options, async (t) => {
  const cli = await hangingCli(t);
  const [stop, clock] = [new AbortController(), new FakeClock()];
  const line = { file: cli.path, args: ['postgres'], env };
  const running = runCommand(line, { signal: stop.signal, timeoutMs: 120_000, clock });
  const stopped = assert.rejects(running, { message: 'stopped' });
  const pids = await cli.pids();
  const askedAt = performance.now();
  stop.abort(new Error('stopped'));
  await clock.advance(499);
  assert.ok(pids.every(isRunning));
  await clock.advance(1);
  await stopped;
  const durationMs = performance.now() - askedAt;
  assert.ok(durationMs < 4_900, `${durationMs} ms: as after a deadline`);
  await allGone(pids);
});

test(
  'who has left the group of a command, and holds its output open, holds up the stop for half a second',
  options,
  async (t) => {
    const pidFile = join(await temporaryDirectory(t), 'pid');
    const script = `
    const { pid } = require('node:child_process').spawn('sleep', ['60'], { detached: true, stdio: 'inherit' });
    require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(pid));
    setInterval(() => {}, 1_000);`;
    const [stop, clock] = [new AbortController(), new FakeClock()];
    const line = { file: process.execPath, args: ['-e', script], env };
    const running = runCommand(line, { signal: stop.signal, timeoutMs: 120_000, clock });
    const stopped = assert.rejects(running, { message: 'stopped' });
    const pid = await eventually(
      'it runs',
      () => existsSync(pidFile) && (Number(readFileSync(pidFile, 'utf8')) || undefined),
    );
    t.after(() => process.kill(pid, 'SIGKILL'));
    stop.abort(new Error('stopped'));
    await clock.advance(500);
    await stopped;
  },
);

test(
  'a command that ignores its deadline is killed five seconds later, with all that it started',
  options,
  async (t) => {
    const cli = await hangingCli(t);
    const timeoutMs = 5_000; // enough for a busy machine to start it
    const startedAt = performance.now();
    const running = runCommand(
      { file: cli.path, args: ['postgres'], env },
      { signal: t.signal, timeoutMs, clock: systemClock },
    );
    const pids = await cli.pids();
    const { hasTimedOut, killedBy } = await running;
    const graceMs = performance.now() - startedAt - timeoutMs;
    assert.deepEqual({ hasTimedOut, killedBy }, { hasTimedOut: true, killedBy: 'SIGKILL' });
    assert.ok(graceMs > 4_900 && graceMs < 30_000, `${graceMs} ms`);
    await allGone(pids);
  },
);

test('what a command has left running in its group ends with it, and holds nothing up', options, async (t) => {
  const args = ['-c', 'sleep 600 & echo $!'];
  // Its time stands still, so that nobody gives up reading the output that the one who is left holds open.
  const limits = { signal: t.signal, timeoutMs: 120_000, clock: new FakeClock() };
  const { exitCode, stdout } = await runCommand({ file: '/bin/sh', args, env }, limits);
  assert.equal(exitCode, 0);
  await allGone([Number(stdout)]);
});

test('a command that is over leaves nothing to wait for', options, async (t) => {
  const clock = new FakeClock();
  await runCommand({ file: '/bin/sh', args: ['-c', ':'], env }, { signal: t.signal, timeoutMs: 60_000, clock });
  await clock.idle();
  assert.equal(clock.sleepers, 0);
});

test('a command that is over is not kept in memory', options, async (t) => {
  const limits = { signal: t.signal, timeoutMs: 60_000, clock: systemClock };
  await assertKeepsNoProcess(async () => await runCommand({ file: '/bin/sh', args: ['-c', ':'], env }, limits));
});

test('of output that is far longer than any answer no more is kept than fits', options, async (t) => {
  const args = ['-c', 'yes | head -c 1000000'];
  const limits = { signal: t.signal, timeoutMs: 60_000, clock: systemClock };
  const { isTooLong, stdout } = await runCommand({ file: '/bin/sh', args, env }, limits);
  assert.ok(isTooLong);
  assert.ok(stdout.length <= 256 * 1024, `${stdout.length} characters`);
});
