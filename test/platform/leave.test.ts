import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/cleanup.ts';

const LEAVE = join(import.meta.dirname, '../../src/platform/leave.ts');

/** A process that opens this file, and ends with 7. @returns its exit code and whether it became another program */
function end(path: string): readonly [number | null, string] {
  const script = `
    import { open, writeSync } from 'node:fs';
    import { leave, threadsAreIdle } from ${JSON.stringify(LEAVE)};
    const { execve } = process;
    process.execve = (...args) => {
      writeSync(1, 'another program');
      execve(...args);
    };
    open(${JSON.stringify(path)}, () => {});
    await threadsAreIdle();
    leave(7);`;
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return [status, stdout];
}

test('what a thread is busy with for a moment is waited for', () => {
  assert.deepEqual(end(process.execPath), [7, '']);
});

test('for what hangs another program ends, with the same code', async (t) => {
  const pipe = join(await temporaryDirectory(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  assert.deepEqual(end(pipe), [7, 'another program']);
});
