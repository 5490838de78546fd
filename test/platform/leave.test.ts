import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/cleanup.ts';

const LEAVE = join(import.meta.dirname, '../../src/platform/leave.ts');

/** Opens a file, on one of the threads of Node.js. */
const WAYS = {
  'a callback': (path: string) => `open(${JSON.stringify(path)}, () => {});`,
  'a promise': (path: string) => `void promises.open(${JSON.stringify(path)}).then((file) => file.close());`,
};

/** A process that does this, and ends with 7. @returns its exit code and whether it became another program */
function end(act: string): readonly [number | null, string] {
  const script = `
    import { open, promises, writeSync } from 'node:fs';
    import { leave, threadsAreIdle } from ${JSON.stringify(LEAVE)};
    const { execve } = process;
    process.execve = (...args) => {
      writeSync(1, 'another program');
      execve(...args);
    };
    ${act}
    await threadsAreIdle();
    leave(7);`;
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return [status, stdout];
}

for (const [what, open] of Object.entries(WAYS)) {
  test(`what a thread is busy with for a moment, and ${what} waits for, is waited for`, () => {
    assert.deepEqual(end(open(process.execPath)), [7, '']);
  });

  test(`for what hangs, and ${what} waits for, another program ends, with the same code`, async (t) => {
    const pipe = join(await temporaryDirectory(t), 'pipe');
    execFileSync('mkfifo', [pipe]);
    assert.deepEqual(end(open(pipe)), [7, 'another program']);
  });
}
