import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { lastWords } from '../../src/cli.ts';
import { DEFAULT_TIMEOUT } from '../../src/commands/once.ts';
import { VARIABLES } from '../../src/config/environment.ts';
import { LOG_LEVELS } from '../../src/config/options.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { ENDPOINT, sidecarSetup } from '../support/sidecar-setup.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { NODE, runCommand, SOURCE, spawnRun, type Outcome } from '../support/sidecar.ts';

const root = join(import.meta.dirname, '../..');
const options = { timeout: 30_000 };

async function endOf(child: ChildProcess) {
  const [[code], stderr] = await Promise.all([once(child, 'close'), text(child.stderr!)]);
  return { code: code as number | null, stderr };
}

function refused({ code, stderr }: Outcome, expected: number, ...words: readonly string[]): void {
  assert.equal(code, expected, stderr);
  for (const word of words) assert.ok(stderr.includes(word), `no "${word}" in: ${stderr}`);
  assert.match(stderr, /^lakebase-credential-sidecar: (?:[a-z"/-]|LAKEBASE_|DATABRICKS_)/);
  assert.doesNotMatch(stderr, /^\s+at /m, 'a stack trace');
  assert.doesNotMatch(stderr, /bug/);
}

function lastWordsOf(error: unknown): { readonly code: number; readonly said: string } {
  let said = '';
  const stderr = { write: (words: string) => (said += words) } as unknown as NodeJS.WriteStream;
  const code = lastWords(error, { stderr });
  return { code, said };
}

test('the last words of a bug that quotes a token, as errors of V8 do, are without it', () => {
  let bug: unknown;
  try {
    assert.ok('token' in ('eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOjF9.canary' as unknown as object));
  } catch (error) {
    bug = error;
  }
  const { code, said } = lastWordsOf(bug);
  assert.equal(code, 1);
  assert.match(said, /^lakebase-credential-sidecar: bug: TypeError: .*'token' in \[redacted\]\n/);
  assert.doesNotMatch(said, /canary/);
});

test('where files run out, whatever is opened then, the last words say which limit to raise, and it is no bug', () => {
  const message = 'EMFILE: too many open files, open "/app/parts/once.js"';
  for (const [code, limit] of [
    ['EMFILE', 'raise the limit on the open files of the sidecar (ulimit -n)'],
    ['ENFILE', 'find out what has so many files open on this machine, or raise its limit (fs.file-max)'],
  ] as const) {
    assert.deepEqual(lastWordsOf(Object.assign(new Error(message), { code })), {
      code: 69,
      said: `lakebase-credential-sidecar: ${message}\n  → ${limit}\n`,
    });
  }
  assert.equal(lastWordsOf(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })).code, 1);
});

test('schema prints the JSON Schema that the documentation shows, and nothing else', options, async (t) => {
  const { code, stdout, stderr } = await runCommand(t, 'schema', { config: null });
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.deepEqual(
    JSON.parse(stdout),
    JSON.parse(await readFile(join(root, 'docs/configuration.schema.json'), 'utf8')),
  );
});

test('help names every command, option and exit code', options, async (t) => {
  const { code, stdout, stderr } = await runCommand(t, 'help', { config: null });
  assert.equal(code, 0);
  assert.equal(stderr, '');
  const flags = VARIABLES.flatMap(({ flag }) => (flag === undefined ? [] : [`--${flag}`]));
  const codes = ['0', '1', '64', '69', '73', '78'];
  for (const word of ['run', 'once', 'check', 'schema', 'version', 'help', ...flags, '--timeout', ...codes]) {
    assert.match(stdout, new RegExp(`(^|\\s)${word}\\s`));
  }
  const levels = LOG_LEVELS.join(', ').replace(/, (?=\w+$)/, ' or ');
  assert.ok(stdout.includes(levels), levels);
  assert.match(stdout, new RegExp(`--timeout DURATION .*; default ${DEFAULT_TIMEOUT}\n`));
  const viaOption = await runCommand(t, '--help', { config: null });
  assert.deepEqual([viaOption.code, viaOption.stdout], [0, stdout]);
});

testWithEachCli('version needs no configuration and names three programs', async (t, cli) => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const PATH = `${join(cli.path, '..')}:${process.env['PATH']}`;
  const { code, stdout, stderr } = await runCommand(t, 'version', { config: null, env: { PATH } });
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.match(
    stdout,
    new RegExp(`^lakebase-credential-sidecar ${version}\nnode 26\\.\\d+\\.\\d+\ndatabricks \\d+\\.\\d+\\.\\d+\n$`),
  );
});

test('version says so where there is no CLI', options, async (t) => {
  const { code, stdout } = await runCommand(t, 'version', { config: null, env: { PATH: '/nonexistent' } });
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^databricks the CLI "databricks" does not exist, or is not a program that this machine can run$/m,
  );
  const viaOption = await runCommand(t, '--version', { config: null, env: { PATH: '/nonexistent' } });
  assert.deepEqual([viaOption.code, viaOption.stdout], [0, stdout]);
});

for (const command of ['check', 'help', 'schema', 'version']) {
  test(
    `${command} says that what it prints cannot be written, and ends with 69`,
    { ...options, skip: NOT_LINUX },
    async (t) => {
      const { env } = await sidecarSetup(t, { config: null });
      const full = await open('/dev/full', 'w');
      t.after(async () => await full.close());
      const { code, stderr } = await endOf(spawn(NODE, [SOURCE, command], { env, stdio: ['ignore', full.fd, 'pipe'] }));
      const words = 'cannot write to standard output: ENOSPC: no space left on device, write';
      assert.equal(stderr, `lakebase-credential-sidecar: ${words}\n`);
      assert.equal(code, 69);
    },
  );

  test(`${command} does not mind a reader that has seen enough`, options, async (t) => {
    const { env } = await sidecarSetup(t, { config: null });
    const child = spawn(NODE, [SOURCE, command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    assert.deepEqual(await endOf(child), { code: command === 'check' ? 69 : 0, stderr: '' });
  });
}

for (const { command, flags, words } of [
  { command: 'mint', flags: [], words: ['unknown command "mint": use one of run, once, check'] },
  { command: 'run', flags: ['now'], words: ['unexpected argument "now" after run'] },
  { command: 'run', flags: ['--nonsense'], words: ["'--nonsense'", 'see lakebase-credential-sidecar help'] },
  { command: 'run', flags: ['--timeout', '5s'], words: ['--timeout works only with the command once'] },
  { command: 'run', flags: ['--http-port'], words: ['--http-port'] },
  { command: 'run', flags: ['--config', '--log-level=info'], words: ["use '--config=-XYZ'; see lakebase"] },
  { command: 'run', flags: ['--log-level='], words: ['--log-level is empty: give it a value, or leave it out'] },
  {
    command: 'once',
    flags: ['--timeout', 'soon'],
    words: ['--timeout "soon" is not a duration such as 90s, 15m or 1h'],
  },
  { command: 'once', flags: ['--timeout', '0s'], words: ['--timeout "0s" leaves no time to mint'] },
  {
    command: 'once',
    flags: ['--timeout', 'soon', '--config', '/nowhere'],
    words: ['--timeout "soon" is not a duration'],
  },
]) {
  test(`${command} ${flags.join(' ')} is wrong usage: 64`, options, async (t) => {
    const workspace = await workspaceFor(t);
    refused(await runCommand(t, command, { workspace, flags }), 64, ...words);
    assert.equal(workspace.requests.length, 0);
  });
}

for (const command of ['run', 'once']) {
  test(
    `${command} lists every problem of a bad configuration and ends with 78 before it asks anybody`,
    options,
    async (t) => {
      const workspace = await workspaceFor(t);
      const config = { credentials: [{ name: 'A B', ttl: '2h', sinks: [] }], refresh: { att: 1 }, unknown: true };
      const outcome = await runCommand(t, command, { workspace, config });
      refused(
        outcome,
        78,
        'credentials[0].name: ',
        'credentials[0].endpoint: ',
        'credentials[0].ttl: ',
        'credentials[0].sinks: ',
      );
      refused(outcome, 78, 'refresh.att: ', 'unknown: ');
      assert.equal(workspace.requests.length, 0);
    },
  );

  test(`${command} tells a configuration that cannot be read from one that is no YAML: 78`, options, async (t) => {
    const workspace = await workspaceFor(t);
    const run = async (...flags: string[]) => await runCommand(t, command, { workspace, config: null, flags });
    const directory = await temporaryDirectory(t);
    refused(await run('--config', directory), 78, `${directory}: is a directory, not a file`);
    refused(
      await run('--config', `${directory}/none.yaml`),
      78,
      `${directory}/none.yaml: cannot be read: no such file`,
    );
    await writeFile(`${directory}/bad.yaml`, 'credentials: [\n  dose0123456789abcdef: {');
    const bad = await run('--config', `${directory}/bad.yaml`);
    refused(bad, 78, `${directory}/bad.yaml: invalid YAML at line `);
    assert.doesNotMatch(bad.stderr, /dose/, 'what stands in the file is quoted');
    execFileSync('mkfifo', [`${directory}/pipe`]);
    refused(await run('--config', `${directory}/pipe`), 78, `${directory}/pipe: is a named pipe, not a file`);
    refused(await run(), 78, 'no credential is configured');
    refused(await runCommand(t, command, {}), 78, 'no identity to mint with', 'DATABRICKS_HOST: is missing');
  });

  test(
    `${command} ends with 69 where the CLI is missing, or is not executable, names it and says what to do`,
    options,
    async (t) => {
      const workspace = await workspaceFor(t);
      const directory = await temporaryDirectory(t);
      const file = join(directory, 'databricks');
      const none = { workspace, env: { PATH: directory } };
      refused(
        await runCommand(t, command, { ...none, cli: 'databricks' }),
        69,
        `the Databricks CLI "databricks" is missing: not on the PATH (${directory})\n  → install the Databricks CLI`,
      );
      refused(
        await runCommand(t, command, { ...none, cli: file }),
        69,
        `the Databricks CLI "${file}" is missing: there is no such file`,
      );
      await writeFile(file, '#!/bin/sh\n', { mode: 0o644 });
      refused(
        await runCommand(t, command, { ...none, cli: 'databricks' }),
        69,
        `the Databricks CLI ${file} is not executable by this user\n  → make it executable`,
      );
    },
  );

  test(
    `${command} lists every sink that cannot be written and what to do, ends with 73, and mints nothing`,
    options,
    async (t) => {
      const workspace = await workspaceFor(t);
      const directory = await temporaryDirectory(t);
      await writeFile(join(directory, 'file'), '');
      const file = (path: string) => ({ file: { path, format: 'token' } });
      await symlink('file', join(directory, 'link'));
      await mkdir(join(directory, 'folder'));
      const fine = { name: 'fine', endpoint: 'projects/a/branches/b/endpoints/c', sinks: [file(`${directory}/fine`)] };
      const bad = {
        ...fine,
        name: 'bad',
        sinks: ['file/below', 'link', 'folder'].map((name) => file(`${directory}/${name}`)),
      };
      const proc = { ...fine, name: 'proc', sinks: [file('/proc/nothing/token')] };
      const config = { credentials: [fine, bad, proc] };
      const outcome = await runCommand(t, command, { workspace, config });
      refused(
        outcome,
        73,
        `cannot write ${directory}/file/below: `,
        `${directory}/link is a symbolic link`,
        `${directory}/folder is a directory`,
        'cannot write /proc/nothing/token: ',
      );
      assert.equal(outcome.stderr.match(/^ {2}→ \w/gm)?.length, 4, `what to do about each: ${outcome.stderr}`);
      assert.equal(workspace.requests.length, 0);
      await assert.rejects(stat(`${directory}/fine`), { code: 'ENOENT' });
    },
  );
}

test('without a command it runs', options, async (t) => {
  const workspace = await workspaceFor(t);
  const sidecar = await spawnRun(t, { workspace }, '--log-level=debug');
  await (await sidecar.started()).ready();
  assert.equal((await sidecar.stop()).code, 0);
});

test('run ends with 69 where its port is taken, and says what to do', options, async (t) => {
  const workspace = await workspaceFor(t);
  const other = createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const outcome = await runCommand(t, 'run', {
    workspace,
    flags: ['--http-host', '127.0.0.1', '--http-port', `${port}`],
  });
  refused(
    outcome,
    69,
    `cannot listen on 127.0.0.1:${port}: another process in this pod or on this machine uses the port`,
  );
});

test(
  'an environment without a file is configuration enough, and a wrong one is reported by the names of its variables',
  options,
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const env = {
      PATH: `${join(root, 'test/support')}:${process.env['PATH']}`,
      LAKEBASE_ENDPOINT: ENDPOINT,
      LAKEBASE_CREDENTIAL_DIR: `${directory}/run`,
      LAKEBASE_CREDENTIAL_FILES: 'pgpass,token,json',
      PGHOST: 'localhost',
    };
    const { code, stderr } = await runCommand(t, 'once', { workspace, config: null, env });
    assert.equal(code, 0, stderr);
    const { token } = workspace.minted[0]!;
    assert.equal(await readFile(`${directory}/run/token`, 'utf8'), token);
    assert.equal(await readFile(`${directory}/run/pgpass`, 'utf8'), `localhost:*:*:${workspace.clientId}:${token}\n`);
    const wrong = { ...env, LAKEBASE_TTL: '2h', PGPORT: 'x', LAKEBASE_CREDENTIAL_FILES: 'pgpass,yaml' };
    refused(
      await runCommand(t, 'once', { workspace, config: null, env: wrong }),
      78,
      'LAKEBASE_TTL: ',
      'PGPORT: ',
      'LAKEBASE_CREDENTIAL_FILES',
    );
  },
);
