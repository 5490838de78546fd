import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, readSync, writeSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { NOT_LINUX } from '../support/linux.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { sidecarSetup } from '../support/sidecar-setup.ts';
import { temporaryDirectory, undoAfter } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { type LogLine, NODE, runCommand, SOURCE } from '../support/sidecar.ts';

const LOGGER = join(import.meta.dirname, '../../src/telemetry/logger.ts');

interface FullPipe {
  readonly path: string;
  /** Reads what is in it. */
  readonly drain: () => string;
}

/** Whoever writes waits, if it was opened as a shell does. */
async function fullPipe(t: TestContext): Promise<FullPipe> {
  const path = join(await temporaryDirectory(t), 'pipe');
  await promisify(execFile)('mkfifo', [path]);
  const pipe = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
  undoAfter(t, () => pipe.close());
  const buffer = Buffer.alloc(1_024, 'x');
  const repeat = (work: () => number): void => assert.throws(() => void Array.from({ length: 10_000 }, work), /EAGAIN/);
  repeat(() => writeSync(pipe.fd, buffer));
  const drain = (): string => {
    let text = '';
    repeat(() => {
      const length = readSync(pipe.fd, buffer);
      text += buffer.toString('utf8', 0, length);
      return length;
    });
    return text.replace(/^x+/, '');
  };
  return { path, drain };
}

/** Starts a program of Node.js with `path` as its standard output. */
function spawnTo(path: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  return spawn('sh', ['-c', 'exec "$@" > "$0"', path, NODE, ...args], { env, cwd: '/' });
}

const LOGS: Readonly<Record<string, (t: TestContext) => Promise<string>>> = {
  'is on a full disk': async () => await Promise.resolve('/dev/full'),
  'nobody reads': async (t) => (await fullPipe(t)).path,
};

for (const [what, pathFor] of Object.entries(LOGS)) {
  test(
    `a log that ${what} ends and delays nothing: files are kept right all the same`,
    { timeout: 30_000, skip: NOT_LINUX },
    async (t) => {
      const workspace = await workspaceFor(t);
      const { directory, env, flags } = await sidecarSetup(t, { workspace });
      const child = spawnTo(await pathFor(t), [SOURCE, 'run', ...flags], env);
      const exited = once(child, 'close') as Promise<[code: number | null]>;
      undoAfter(t, async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await exited;
      });
      let stderr = '';
      child.stderr.on('data', (chunk) => (stderr += String(chunk)));
      const file = join(directory, 'run', 'token');
      const isRight = async (): Promise<boolean> =>
        (await readFile(file, 'utf8').catch(() => '')) === workspace.minted.at(-1)?.token;
      const becomesRight = async (): Promise<true> =>
        await eventually('the file holds what was minted', isRight, {
          withinMs: 20_000,
          isHopeless: () => child.exitCode !== null,
          onTimeout: () => stderr,
        });
      await becomesRight();
      // Each repair is a line in the log.
      for (let times = 0; times < 2; times++) {
        await writeFile(file, 'broken');
        await becomesRight();
      }
      child.kill('SIGTERM');
      assert.equal((await exited)[0], 0);
      assert.equal(stderr, '');
    },
  );
}

/** Takes the place of a disk, as standard output: full at first, then with room. */
const PROGRAM = `
  import { closeSync, openSync } from 'node:fs';
  import { createLogger } from ${JSON.stringify(pathToFileURL(LOGGER).href)};
  const [file] = process.argv.slice(1);
  const log = createLogger({ level: 'info', version: '1.2.3' });
  const becomes = (path) => { closeSync(1); openSync(path, 'a'); };
  becomes('/dev/full');
  for (let line = 0; line < 10_000; line++) log.info({ line }, 'minted');
  becomes(file);
  log.info('there is room');
  log.info('and still is');
`;

test(
  'a log that was on a full disk goes on where there is room, and has kept the first lines',
  { skip: NOT_LINUX },
  async (t) => {
    const file = join(await temporaryDirectory(t), 'log');
    const { stdout, stderr } = await promisify(execFile)(NODE, ['--input-type=module', '--eval', PROGRAM, file]);
    assert.equal(stdout + stderr, '');
    const lines = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LogLine);
    assert.equal(lines.at(-1)?.msg, 'and still is');
    assert.deepEqual(
      lines.slice(0, 3).map(({ line }) => line),
      [0, 1, 2],
    );
    assert.ok(lines.length > 1_000 && lines.length < 9_000, `${lines.length} lines`);
  },
);

const ONE_LINE = `
  import { createLogger } from ${JSON.stringify(pathToFileURL(LOGGER).href)};
  createLogger({ level: 'info', version: '1.2.3' }).info('one');
`;

test('a log that is appended to a file leaves what is in there as it is', async (t) => {
  const file = join(await temporaryDirectory(t), 'log');
  await writeFile(file, 'of an earlier run\n');
  const append = ['-c', 'exec "$@" >> "$0"', file, NODE, '--input-type=module', '--eval', ONE_LINE];
  await promisify(execFile)('sh', append);
  assert.match(await readFile(file, 'utf8'), /^of an earlier run\n\{.*"msg":"one"\}\n$/);
});

/** Takes the place of a reader, that leaves room only once; counts how often each line is tried otherwise. */
const SLOWLY_READ = `
  import fs from 'node:fs';
  import { createLogger } from ${JSON.stringify(pathToFileURL(LOGGER).href)};
  const { writeSync } = fs;
  const log = createLogger({ level: 'info', version: '1.2.3' });
  let [hasRoom, tries] = [false, 0];
  fs.writeSync = (...args) => {
    tries += 1;
    if (hasRoom) return writeSync(...args);
    throw Object.assign(new Error('no room'), { code: 'EAGAIN' });
  };
  for (const room of [false, false, true, false, false]) {
    [hasRoom, tries] = [room, 0];
    log.info('minted');
    if (!room) writeSync(2, tries + ' ');
  }
  hasRoom = true;
`;

test('a reader that is slow is waited for three times, and again once it has read something', async () => {
  const { stderr } = await promisify(execFile)(NODE, ['--input-type=module', '--eval', SLOWLY_READ]);
  assert.equal(stderr, '4 1 4 1 ');
});

/** Touches nothing of Node's own standard output, like the bundle: it would no longer wait then. */
const TWO_LINES = `
  import { createLogger } from ${JSON.stringify(pathToFileURL(LOGGER).href)};
  const log = createLogger({ level: 'info', version: '1.2.3' });
  log.info('one');
  process.stderr.write('went on');
  for await (const _ of process.stdin);
  log.info('two');
  process.exit();
`;

test(
  'a log that nobody reads holds nothing up, and is complete when it is read again',
  { timeout: 30_000, skip: NOT_LINUX },
  async (t) => {
    const { path, drain } = await fullPipe(t);
    const child = spawnTo(path, ['--input-type=module', '--eval', TWO_LINES], {});
    const exited = once(child, 'close');
    undoAfter(t, async () => {
      child.kill('SIGKILL');
      await exited;
    });
    const [words] = (await once(child.stderr, 'data')) as [Buffer];
    assert.equal(words.toString(), 'went on');
    assert.equal(drain(), '');
    child.stdin.end();
    assert.deepEqual(await exited, [0, null]);
    const lines = drain().trim().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as LogLine).msg),
      ['one', 'two'],
    );
  },
);

test('the log of a command begins with the level that was asked for', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const logOf = async (level: string) =>
    (await runCommand(t, 'once', { workspace, flags: ['--log-level', level] })).stdout;
  assert.match(await logOf('debug'), /"msg":"mint started"/);
  assert.equal(await logOf('error'), '');
});
