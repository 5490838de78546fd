import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { watchFile } from '../../src/platform/watch-file.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { mockFs } from '../support/node-fs.ts';

/** Two files in turn, as fast as it can, because the kernel takes changes of one together. */
const WRITER = `
  const { openSync, writeSync } = require('node:fs');
  const files = ['one', 'two'].map((name) => openSync(process.argv[1] + '/' + name, 'w'));
  const end = Date.now() + 5_000;
  writeSync(1, 'writing');
  while (Date.now() < end) for (const file of files) writeSync(file, 'x');`;

test('a storm of changes beside the file holds nothing up, and the watch goes on after it', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'watched');
  let calls = 0;
  const stop = new AbortController();
  t.after(() => stop.abort());
  const watching = watchFile(path, () => (calls += 1), stop);
  await eventually('the watch is set up', () => calls > 0);

  const writer = spawn(process.execPath, ['-e', WRITER, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => writer.kill('SIGKILL'));
  const ended = once(writer, 'exit');
  await once(writer.stdout, 'data');
  for (let turn = 0; turn < 20; turn += 1) await delay(20);
  assert.equal(writer.exitCode, null, 'nothing else had a turn before the storm was over');
  await ended;

  await eventually('a change is told of', async () => {
    const before = calls;
    await writeFile(path, String(before));
    return await eventually('one call', () => calls > before, { withinMs: 100 }).catch(() => false);
  });
  stop.abort();
  await watching;
});

test('a watch that the kernel refuses, because there are too many, is no more than silence', async (t) => {
  const refused = mockFs(t, 'watch', () => {
    throw Object.assign(new Error('no more watches'), { code: 'ENOSPC' });
  });
  let calls = 0;
  const stop = new AbortController();
  const watching = watchFile(join(await temporaryDirectory(t), 'watched'), () => (calls += 1), stop);
  t.after(() => stop.abort());
  await eventually('it is told to look', () => calls > 0);
  assert.ok(refused.mock.callCount() > 0);
  stop.abort();
  await watching;
});

test('a directory with a crowd of files is looked at once a second, and not as fast as it can be read', async (t) => {
  const directory = await temporaryDirectory(t);
  for (let file = 0; file <= 1_000; file += 1) writeFileSync(join(directory, `${file}`), '');
  const looks = mockFs(t, 'opendir');
  const stop = new AbortController();
  t.after(() => stop.abort());
  const startedAt = performance.now();
  const watching = watchFile(join(directory, 'watched'), () => assert.fail('it is watched'), stop);
  await eventually('it is looked at again', () => looks.mock.callCount() > 1);
  const durationMs = performance.now() - startedAt;
  assert.ok(durationMs >= 990, `${durationMs} ms`);
  stop.abort();
  await watching;
});
