import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { sidecarSetup } from '../support/sidecar-setup.ts';
import { eventually, temporaryDirectory, undoAfter } from '../support/sidecar-wait.ts';
import { type LogLine, NODE, SOURCE } from '../support/sidecar.ts';

const LOGGER = join(import.meta.dirname, '../../src/telemetry/logger.ts');

test('a log that is on a full disk ends nothing: files are kept right all the same', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const { directory, env, flags } = await sidecarSetup(t, { workspace });
  const full = await open('/dev/full', 'w');
  const child = spawn(NODE, [SOURCE, 'run', ...flags], { env, cwd: '/', stdio: ['ignore', full.fd, 'pipe'] });
  const exited = once(child, 'close') as Promise<[code: number | null]>;
  undoAfter(t, async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await Promise.all([exited, full.close()]);
  });
  let stderr = '';
  child.stderr!.on('data', (chunk) => (stderr += String(chunk)));
  const file = join(directory, 'run', 'token');
  const isRight = async (): Promise<boolean> =>
    (await readFile(file, 'utf8').catch(() => '')) === workspace.minted.at(-1)?.token;
  const becomesRight = async (): Promise<true> =>
    await eventually('the file holds what was minted', isRight, {
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
});

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

test('a log that was on a full disk goes on where there is room, and has kept the first lines', async (t) => {
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
});
