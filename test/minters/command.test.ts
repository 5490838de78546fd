import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { chmod, copyFile, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import type { Auth, SecretSource } from '../../src/credential/auth.ts';
import { MintError } from '../../src/credential/errors.ts';
import { DatabricksCli } from '../../src/minters/cli.ts';
import { CommandMinter, type MintRequest } from '../../src/minters/command.ts';
import { notStarted } from '../../src/minters/endings.ts';
import { PrivateHomes } from '../../src/minters/homes.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { scriptedCli } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { eventually } from '../support/eventually.ts';
import { join } from 'node:path';
import { Secret } from '../../src/credential/secret.ts';
import { shellWord } from '../../src/sinks/render.ts';

const REQUEST: MintRequest = {
  resource: { kind: 'endpoint', name: 'projects/p/branches/b/endpoints/e' },
  ttlMs: undefined,
};

function minterOf(t: TestContext, command: string, secret: SecretSource, request?: MintRequest): CommandMinter {
  return minterAs(t, command, { kind: 'oauth-m2m', host: 'https://h', clientId: 'c', secret }, request);
}

function minterAs(t: TestContext, command: string, auth: Auth, request: MintRequest = REQUEST): CommandMinter {
  const homes = new PrivateHomes(tmpdir());
  t.after(() => homes.remove());
  const cli = new DatabricksCli({ command, auth, childEnvironment: { PATH: process.env['PATH'] ?? '' }, homes, clock });
  return new CommandMinter(cli, request, clock);
}

test('a credential is as old as its command, by both clocks, however long that runs', async (t) => {
  const time = new FakeClock();
  const startedAt = { issuedAt: time.now(), monotonicAt: time.monotonic() };
  const run: DatabricksCli['run'] = async () => {
    await time.advance(7_000);
    const stdout = '{"token": "opaque", "expire_time": "2099-01-01T00:00:00Z"}';
    const ended = { exitCode: 0, killedBy: undefined, errno: undefined, hasTimedOut: false, isTooLong: false };
    return { stdout, stderr: '', secrets: [], ...ended };
  };
  const minter = new CommandMinter({ command: 'databricks', run }, REQUEST, time);
  const { local, monotonicAt } = await minter.mint({ signal: t.signal, slot: 0, timeoutMs: 30_000 });
  assert.deepEqual({ issuedAt: local.issuedAt, monotonicAt }, startedAt);
});

test('a credential lives no longer than was asked for, whatever the CLI says', async (t) => {
  const time = new FakeClock();
  const stdout = '{"token": "opaque", "expire_time": "2099-01-01T00:00:00Z"}';
  const ended = { exitCode: 0, killedBy: undefined, errno: undefined, hasTimedOut: false, isTooLong: false };
  const run: DatabricksCli['run'] = () => Promise.resolve({ stdout, stderr: '', secrets: [], ...ended });
  const minter = new CommandMinter({ command: 'databricks', run }, { ...REQUEST, ttlMs: 300_000 }, time);
  const { local } = await minter.mint({ signal: t.signal, slot: 0, timeoutMs: 30_000 });
  assert.equal(local.expiresAt - local.issuedAt, 300_000);
});

test('a token that was minted before is redacted from the words of a CLI that mentions it, whatever its shape', async (t) => {
  const flag = join(await temporaryDirectory(t), 'second');
  const token = 'an-opaque-token-of-no-known-shape';
  const command = await scriptedCli(
    t,
    `if [ -e '${flag}' ]; then echo "Error: ${token} is still good" >&2; exit 1; fi
     touch '${flag}'; echo '{"token": "${token}", "expire_time": "2099-01-01T00:00:00Z"}'`,
  );
  const minter = minterOf(t, command, { value: new Secret('hidden') });
  const options = { signal: t.signal, slot: 0, timeoutMs: 5_000 };
  assert.equal((await minter.mint(options)).token.reveal(), token);
  await assert.rejects(minter.mint(options), (error) => {
    assert.ok(error instanceof MintError);
    assert.equal(error.detail, 'Error: [secret] is still good');
    return true;
  });
});

test('a secret that is rotated while the CLI runs is redacted from what that run says', async (t) => {
  const directory = await temporaryDirectory(t);
  const [file, gate] = [join(directory, 'secret'), join(directory, 'gate')];
  const command = await scriptedCli(
    t,
    `while [ -e '${gate}' ]; do sleep 0.02; done; echo "Error: refused $DATABRICKS_CLIENT_SECRET" >&2; exit 1`,
  );
  const minter = minterOf(t, command, { file });
  const complaint = async (slot: number): Promise<unknown> =>
    await minter.mint({ signal: t.signal, slot, timeoutMs: 10_000 }).then(
      () => assert.fail('it minted'),
      (error: unknown) => (error as MintError).detail,
    );
  await writeFile(gate, '');
  await writeFile(file, 'the-first-value');
  const first = complaint(0);
  await writeFile(file, 'its-successor');
  const second = complaint(1);
  await rm(gate);
  assert.deepEqual(await Promise.all([first, second]), ['Error: refused [secret]', 'Error: refused [secret]']);
});

test('an endpoint is asked for with the ttl in whole seconds, an instance by a list of one', async (t) => {
  const log = join(await temporaryDirectory(t), 'arguments');
  const command = await scriptedCli(t, `printf '%s\\n' "$@" > '${log}'; exit 1`);
  const { resource } = REQUEST;
  for (const [request, expected] of [
    [REQUEST, ['postgres', 'generate-database-credential', resource.name, '-o', 'json']],
    [
      { resource, ttlMs: 900_000 },
      ['postgres', 'generate-database-credential', resource.name, '-o', 'json', '--ttl', '900s'],
    ],
    [
      { resource: { kind: 'instance', name: 'i' }, ttlMs: undefined },
      ['database', 'generate-database-credential', '--json', '{"instance_names":["i"]}', '-o', 'json'],
    ],
  ] as const) {
    const minter = minterOf(t, command, { value: new Secret('hidden') }, request);
    await assert.rejects(minter.mint({ signal: t.signal, slot: 0, timeoutMs: 5_000 }), MintError);
    assert.deepEqual((await readFile(log, 'utf8')).trim().split('\n'), expected);
  }
});

test('the CLI is told the address of a workspace and its number apart, and with a profile not how to log in', async (t) => {
  const directory = await temporaryDirectory(t);
  const [log, configFile] = [join(directory, 'environment'), join(directory, 'databrickscfg')];
  await writeFile(configFile, '');
  const command = await scriptedCli(
    t,
    `env | grep -E '_(HOST|WORKSPACE_ID|AUTH_TYPE|PROFILE)=' | sort > '${log}'; exit 1`,
  );
  const host = 'https://h';
  const numbered = { host, workspaceId: '7' };
  const profile = { kind: 'profile', configFile, profile: 'sp' } as const;
  const ofProfile = 'DATABRICKS_CONFIG_PROFILE=sp';
  for (const [auth, expected] of [
    [{ kind: 'pat', host, token: new Secret('x') }, ['DATABRICKS_AUTH_TYPE=pat', 'DATABRICKS_HOST=https://h']],
    [
      { kind: 'pat', ...numbered, token: new Secret('x') },
      ['DATABRICKS_AUTH_TYPE=pat', 'DATABRICKS_HOST=https://h', 'DATABRICKS_WORKSPACE_ID=7'],
    ],
    [{ ...profile, host: undefined }, [ofProfile]],
    [{ ...profile, host: undefined, workspaceId: '8' }, [ofProfile, 'DATABRICKS_WORKSPACE_ID=8']],
    [{ ...profile, ...numbered }, [ofProfile, 'DATABRICKS_HOST=https://h', 'DATABRICKS_WORKSPACE_ID=7']],
  ] as const) {
    const minting = minterAs(t, command, auth).mint({ signal: t.signal, slot: 0, timeoutMs: 5_000 });
    await assert.rejects(minting, MintError);
    assert.deepEqual((await readFile(log, 'utf8')).trim().split('\n'), expected);
  }
});

test('a CLI that reads its input waits for nothing, and a deadline may have fractions of a millisecond', async (t) => {
  const answer = '{"token": "opaque", "expire_time": "2099-01-01T00:00:00Z"}';
  const command = await scriptedCli(t, `cat > /dev/null; echo '${answer}'`);
  const minter = minterOf(t, command, { value: new Secret('hidden') });
  const { token } = await minter.mint({ signal: t.signal, slot: 0, timeoutMs: 10_000.5 });
  assert.equal(token.reveal(), 'opaque');
});

test('what each identity is proved with is redacted from what the CLI says, whatever its shape', async (t) => {
  const [hidden, host] = ['of no known shape', 'https://h'];
  const tokenFile = join(await temporaryDirectory(t), 'token');
  await writeFile(tokenFile, `${hidden}\n`);
  const identities: readonly Auth[] = [
    { kind: 'oauth-m2m', host, clientId: 'c', secret: { value: new Secret(hidden) } },
    { kind: 'file-oidc', host, clientId: 'c', tokenFile },
    { kind: 'pat', host, token: new Secret(hidden) },
  ];
  const command = await scriptedCli(t, `echo 'Error: refused ${hidden}' >&2; exit 1`);
  for (const auth of identities) {
    const minting = minterAs(t, command, auth).mint({ signal: t.signal, slot: 0, timeoutMs: 5_000 });
    await assert.rejects(minting, { detail: 'Error: refused [secret]' }, auth.kind);
  }
});

test('the token in use is redacted from what the CLI says, also where another process has minted it', async (t) => {
  const minter = minterOf(t, await scriptedCli(t, `echo 'Error: adopted-token stays' >&2; exit 1`), {
    value: new Secret('hidden'),
  });
  const held = new Secret('adopted-token');
  const minting = minter.mint({ signal: t.signal, slot: 0, timeoutMs: 5_000, held });
  await assert.rejects(minting, { detail: 'Error: [secret] stays' });
});

test('a CLI that is not there, one that does not end, and one that prints without end, are told apart', async (t) => {
  for (const [command, failure, message, timeoutMs] of [
    ['/nonexistent/databricks', 'spawn', /"\/nonexistent\/databricks" does not exist, or is not a program/, 30_000],
    [await scriptedCli(t, 'exec sleep 60'), 'timeout', /did not finish within 1 s/, 1_000],
    [await scriptedCli(t, 'exec yes'), 'bad_response', /printed far more than a credential/, 30_000],
  ] as const) {
    const minter = minterOf(t, command, { value: new Secret('hidden') });
    await assert.rejects(minter.mint({ signal: t.signal, slot: 0, timeoutMs }), { failure, message });
  }
});

test('a CLI that does not end may wait for the workspace, or for a processor: nobody knows, so the advice names both', async (t) => {
  const minter = minterOf(t, await scriptedCli(t, 'exec sleep 60'), { value: new Secret('hidden') });
  await assert.rejects(minter.mint({ signal: t.signal, slot: 0, timeoutMs: 200 }), {
    failure: 'timeout',
    remedy: /^check that the workspace answers .* \(429\) .*; or raise the CPU limit of the container/,
  });
});

test('a CLI that may no longer be executed, and one for another kind of machine, are told as such', async (t) => {
  const command = await scriptedCli(t, 'exit 0');
  await chmod(command, 0o644);
  const minting = minterOf(t, command, { value: new Secret('hidden') }).mint({
    signal: t.signal,
    slot: 0,
    timeoutMs: 5_000,
  });
  await assert.rejects(minting, { failure: 'spawn', message: `the CLI "${command}" is not executable` });
  assert.equal(notStarted('databricks', 'ENOEXEC').message, 'the CLI "databricks" is not a program for this machine');
});

test('where a limit of the system keeps a CLI from being started, another CLI is not asked for', async (t) => {
  const command = await scriptedCli(t, 'exit 0');
  const long = minterOf(t, command, { value: new Secret('x'.repeat(2_000_000)) });
  const options = { signal: t.signal, slot: 0, timeoutMs: 5_000 };
  await assert.rejects(long.mint(options), { failure: 'spawn', message: /\(E2BIG\)$/, remedy: /^shorten/ });
  for (const errno of ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM']) {
    const { remedy } = notStarted('databricks', errno);
    assert.match(remedy, /limit/, errno);
    assert.doesNotMatch(remedy, /install/);
  }
});

test('where a CLI is still being written, the remedy is to let that finish', { skip: NOT_LINUX }, async (t) => {
  const busy = join(await temporaryDirectory(t), 'databricks');
  await copyFile(process.execPath, busy);
  const writer = await open(busy, 'r+');
  t.after(() => writer.close());
  const minter = minterOf(t, busy, { value: new Secret('hidden') });
  const minting = minter.mint({ signal: t.signal, slot: 0, timeoutMs: 5_000 });
  await assert.rejects(minting, { failure: 'spawn', message: /\(ETXTBSY\)$/, remedy: /has finished$/ });
});

test('a CLI that the kernel has ended is said to need memory, and one that another signal has ended is not', async (t) => {
  const options = { signal: t.signal, slot: 0, timeoutMs: 5_000 };
  for (const [signal, remedy] of [
    ['KILL', /^raise the memory limit of the container/],
    ['TERM', /^find out what ends it/],
  ] as const) {
    const minter = minterOf(t, await scriptedCli(t, `kill -${signal} $$`), { value: new Secret('hidden') });
    await assert.rejects(minter.mint(options), {
      failure: 'unknown',
      message: `the CLI was ended by SIG${signal}`,
      remedy,
    });
  }
});

test('a CLI that fails without a word is told as such, and what a shell says of one that the kernel has ended as well', async (t) => {
  const options = { signal: t.signal, slot: 0, timeoutMs: 5_000 };
  for (const [exitCode, remedy, script] of [
    [3, /^check the program that minter\.cli\.command names/, `echo 'a word'`],
    [3, /^check the program that minter\.cli\.command names/, `echo ' ' >&2`],
    [137, /^raise the memory limit of the container/, `echo 'a word'`],
  ] as const) {
    const minter = minterOf(t, await scriptedCli(t, `${script}; exit ${exitCode}`), {
      value: new Secret('hidden'),
    });
    const message = `the CLI ended with ${exitCode} and without any output`;
    await assert.rejects(minter.mint(options), { failure: 'unknown', message, remedy });
  }
});

test('a script that does not find the CLI, or tells that it was killed, is not taken for a CLI that says why it fails', async (t) => {
  const options = { signal: t.signal, slot: 0, timeoutMs: 5_000 };
  const shellWithout = (exitCode: number) => ({
    failure: 'spawn',
    message: `the CLI ended with ${exitCode}, as a shell does when it cannot start a program`,
    remedy: /^check the program that minter\.cli\.command names/,
  });
  const killed = { failure: 'unknown', message: 'the CLI was ended by SIGKILL', remedy: /^raise the memory limit/ };
  for (const [script, error] of [
    ['exec /nowhere/databricks', { ...shellWithout(127), detail: /not found|no such file/i }],
    ['/tmp', { ...shellWithout(126), detail: /permission denied|is a directory/i }],
    [`sh -c 'kill -KILL $$'; code=$?; echo Killed >&2; exit $code`, { ...killed, detail: /Killed/ }],
  ] as const) {
    const minter = minterOf(t, await scriptedCli(t, script), { value: new Secret('hidden') });
    await assert.rejects(minter.mint(options), error);
  }
});

test('what is no line of text is no secret, and the file is to blame and not the CLI', async (t) => {
  const file = join(await temporaryDirectory(t), 'secret');
  const minter = minterOf(t, '/bin/false', { file });
  for (const text of ['a\0b', 'one\ntwo']) {
    await writeFile(file, text);
    await assert.rejects(minter.mint({ signal: t.signal, slot: 0, timeoutMs: 5_000 }), {
      failure: 'auth',
      message: `the client secret file ${file} has more than one line of text`,
    });
  }
});

test('a pipe or a device in the place of the client secret file is refused, and never waited for', async (t) => {
  const pipe = join(await temporaryDirectory(t), 'secret');
  execFileSync('mkfifo', [pipe]);
  for (const file of [pipe, '/dev/zero']) {
    await assert.rejects(minterOf(t, '/bin/false', { file }).mint({ signal: t.signal, slot: 0, timeoutMs: 5_000 }), {
      failure: 'auth',
      message: `${file} is a pipe or a device, not a file`,
      remedy: /to the path of a regular file/,
    });
  }
});

test('a mint that is over leaves nothing on the signal, which lives as long as the process', async (t) => {
  const minter = minterOf(t, await scriptedCli(t, 'exit 1'), { value: new Secret('hidden') });
  const { signal } = new AbortController();
  await assert.rejects(minter.mint({ signal, slot: 0, timeoutMs: 10_000 }), MintError);
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('who has left the group of the CLI, and holds its output open, holds up neither the answer nor the stop', async (t) => {
  const directory = await temporaryDirectory(t);
  const pidFile = join(directory, 'pid');
  const answer = '{"token": "opaque", "expire_time": "2099-01-01T00:00:00Z"}';
  const leaver = join(directory, 'leaver.cjs');
  const spawning = "require('node:child_process').spawn('sleep', ['60'], { detached: true, stdio: 'inherit' })";
  await writeFile(
    leaver,
    `const child = ${spawning}; require('node:fs').writeFileSync('${pidFile}', String(child.pid)); child.unref();`,
  );
  const command = await scriptedCli(
    t,
    `${shellWord(process.execPath)} '${leaver}'; echo '${answer}'; [ -e '${directory}/hang' ] && exec sleep 60; exit 0`,
  );
  const leftOver = async (): Promise<number> =>
    await eventually('it runs', async () => Number(await readFile(pidFile, 'utf8').catch(() => '')) || undefined);
  const minter = minterOf(t, command, { value: new Secret('hidden') });
  const { token } = await minter.mint({ signal: t.signal, slot: 0, timeoutMs: 30_000 });
  assert.equal(token.reveal(), 'opaque');
  process.kill(await leftOver(), 'SIGKILL');

  await rm(pidFile);
  await writeFile(join(directory, 'hang'), '');
  const stop = new AbortController();
  const minting = minter.mint({ signal: stop.signal, slot: 0, timeoutMs: 30_000 });
  const pid = await leftOver();
  stop.abort(new Error('stopped'));
  await assert.rejects(minting, { message: 'stopped' });
  process.kill(pid, 'SIGKILL');
});
