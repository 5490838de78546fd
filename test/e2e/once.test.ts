import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyUnfinished } from '../../src/commands/once.ts';
import { SinkError } from '../../src/credential/errors.ts';
import type { CredentialStatus } from '../../src/credential/status.ts';
import { allGone, hangingCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { credential } from '../support/sidecar-setup.ts';
import { runCommand, spawnRun } from '../support/sidecar.ts';
import { credentialWith, holding, lacking, NOW, statusWith } from '../support/statuses.ts';

const SECRET = 'secret:apps/lakebase';
const SLOW = lacking('unreachable', `${SECRET} has not been checked yet`, SECRET);
const NO_SPACE = new SinkError('no_space', 'no space left');
const FAILED = { ...lacking('missing', 'there is no file'), failure: { error: NO_SPACE, at: NOW, retryAt: NOW } };

testWithEachCli('once mints, writes every file, promises no refresh, and ends with 0', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const { code, stdout, stderr, directory } = await runCommand(t, 'once', { workspace, cli });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /"msg":"minted"/);
  assert.doesNotMatch(stdout, /nextRefreshAt/, 'a refresh is promised');
  assert.equal(workspace.minted.length, 1);
  assert.deepEqual((await readdir(join(directory, 'run'))).toSorted(), ['.backstage.state.json', 'pgpass', 'token']);
  assert.deepEqual(await readdir(join(directory, 'tmp')), []);
  const again = await runCommand(t, 'once', { workspace, cli, directory });
  assert.equal(again.code, 0);
  assert.equal(workspace.minted.length, 2, 'what stands there may be nearly dead');
});

testWithEachCli('once goes on after failures until it has the credential', async (t, cli) => {
  const workspace = await workspaceFor(t);
  workspace.fail('credential', { status: 500, body: { message: 'something went wrong' } }, 1);
  const { code, stderr } = await runCommand(t, 'once', { workspace, cli });
  assert.equal(code, 0, stderr);
});

testWithEachCli('once ends with 69 after its time-out and says why, and what to do', async (t, cli) => {
  const workspace = await workspaceFor(t);
  workspace.fail('credential', { status: 403, body: { message: 'User does not have CAN_USE' } });
  const startedAt = performance.now();
  const asked = workspace.nextRequest();
  const running = runCommand(t, 'once', { workspace, cli, flags: ['--timeout', '2s'] });
  await asked;
  const askedAt = performance.now();
  const { code, stderr } = await running;
  const endedAt = performance.now();
  assert.equal(code, 69);
  assert.equal(
    stderr,
    'lakebase-credential-sidecar: not every credential was minted within 2s\n' +
      '  backstage: the service principal may not use this endpoint or instance (permission)\n' +
      '  → give the service principal CAN USE on the Lakebase project or instance\n',
  );
  assert.ok(endedAt - startedAt > 2_000, `${endedAt - startedAt} ms`);
  // Not from the start of the process, which is not what is told of here, and takes a busy machine long.
  assert.ok(endedAt - askedAt < 4_000, `${endedAt - askedAt} ms`);
});

test(
  'once ends with 69 after its time-out while the CLI hangs, says what to do, and leaves no process',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const cli = await hangingCli(t);
    const running = runCommand(t, 'once', { workspace, cli: cli.path, flags: ['--timeout', '1s'] });
    const pids = await cli.pids();
    const { code, stderr } = await running;
    assert.equal(code, 69);
    assert.match(
      stderr,
      /backstage: no answer\n {2}→ check that the workspace answers .*; or allow more time with --timeout\n/,
    );
    await allGone(pids);
  },
);

test(
  'once ends with 73 where a sink that was writable at the start cannot be written',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    workspace.latencyMs = 300;
    const asked = workspace.nextRequest();
    const running = runCommand(t, 'once', { workspace, directory, flags: ['--timeout', '3s'] });
    await asked;
    await rm(join(directory, 'run'), { recursive: true });
    await writeFile(join(directory, 'run'), 'in the way');
    const { code, stderr } = await running;
    assert.equal(code, 73, stderr);
    assert.match(stderr, /run\/pgpass/);
    assert.match(stderr, /run\/token/);
    assert.match(stderr, /there is a file where a directory should be/);
    assert.doesNotMatch(stderr, /does not exist/);
  },
);

test('once whose last file is written at its time-out has a reason to fail, or none and ends well', () => {
  assert.equal(whyUnfinished([statusWith()], '2s'), undefined);
  const unwritten = statusWith({ sinks: [holding(credentialWith({ token: 'of an earlier run' }))] });
  assert.equal(
    whyUnfinished([statusWith(), unwritten], '2s')?.message,
    'not every sink was written within 2s\nfile:/run/lakebase/pgpass still holds another token\n→ allow more time with --timeout',
  );
});

test('once that has asked nobody for a credential yet does not say that nobody has answered', async (t) => {
  const workspace = await workspaceFor(t);
  const cli = await hangingCli(t);
  const directory = await temporaryDirectory(t);
  const credentials = ['a', 'b'].map((name) => credential(join(directory, name), { name }));
  const config = { credentials, minter: { cli: { command: cli.path, concurrency: 1 } } };
  const running = runCommand(t, 'once', { workspace, directory, config, flags: ['--timeout', '1s'] });
  const pids = await cli.pids();
  const { code, stderr } = await running;
  assert.equal(code, 69);
  // Which of the two comes first depends on whose files have been looked at first.
  const [asked, waiting] = stderr.includes('  a: no answer') ? ['a', 'b'] : ['b', 'a'];
  assert.match(stderr, new RegExp(`^ {2}${asked}: no answer\n {2}→ check that the workspace answers .*$`, 'm'));
  assert.match(
    stderr,
    new RegExp(
      String.raw`^ {2}${waiting}: its turn to be minted has not come\n {2}→ allow more time with --timeout, or raise minter\.cli\.concurrency$`,
      'm',
    ),
  );
  await allGone(pids);
});

test('once whose time-out comes during a write asks for more time, and blames nobody for what the write would put right', () => {
  for (const failure of ['missing', 'foreign_content', 'wrong_mode'] as const) {
    const status = statusWith({ sinks: [lacking(failure, 'it is not as it should be')] });
    assert.equal(
      whyUnfinished([status], '2s')?.message,
      'not every sink was written within 2s\nit is not as it should be\n→ allow more time with --timeout',
    );
  }
});

test('once is not in time (69) where a sink is only slow, and cannot write (73) where one has failed, whatever else is missing', () => {
  const codeOf = (...statuses: CredentialStatus[]) => whyUnfinished(statuses, '2s')?.code;
  assert.equal(codeOf(statusWith({ sinks: [SLOW] })), 'startup');
  assert.equal(
    whyUnfinished([statusWith({ sinks: [SLOW] })], '2s')?.message,
    `not every sink was written within 2s\n${SECRET} has not been checked yet\n→ ${new SinkError('unreachable', '').remedy}`,
  );
  assert.equal(codeOf(statusWith({ current: undefined }), statusWith({ sinks: [SLOW] })), 'startup');
  assert.equal(codeOf(statusWith({ current: undefined }), statusWith({ sinks: [SLOW, FAILED] })), 'sinks');
});

test('once that cannot write tells also what was not minted, and what was only slow', () => {
  const waiting = statusWith({ name: 'b', current: undefined, lastAttemptAt: undefined });
  assert.equal(
    whyUnfinished([statusWith({ sinks: [SLOW, FAILED] }), waiting], '2s')?.message,
    [
      'no space left',
      `→ ${NO_SPACE.remedy}`,
      'b: its turn to be minted has not come',
      '→ allow more time with --timeout, or raise minter.cli.concurrency',
      `${SECRET} has not been checked yet`,
      `→ ${new SinkError('unreachable', '').remedy}`,
    ].join('\n'),
  );
});

test('a signal ends once with 128 and its number', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const cli = await hangingCli(t);
  const once = await spawnRun(t, { workspace, cli: cli.path }, 'once');
  const pids = await cli.pids();
  assert.equal((await once.stop('SIGTERM')).code, 143);
  await allGone(pids);
});
