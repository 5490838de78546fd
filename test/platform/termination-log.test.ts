import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { clearTerminationLog, writeTerminationLog } from '../../src/platform/termination-log.ts';

function pathIn(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'termination-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'termination-log');
}

test('the last problem replaces the one before, on one line', (t) => {
  const path = pathIn(t);
  writeFileSync(path, 'a much longer problem that was there before');
  writeTerminationLog('configuration\n  credentials: is missing', path);
  assert.equal(readFileSync(path, 'utf8'), 'configuration credentials: is missing\n');
});

test('what is over is not told of any more', (t) => {
  const path = pathIn(t);
  writeFileSync(path, 'a problem');
  clearTerminationLog(path);
  assert.equal(readFileSync(path, 'utf8'), '');
  rmSync(path);
  clearTerminationLog(path);
  assert.equal(existsSync(path), false);
});

test('no termination log is made where there is none', (t) => {
  const path = pathIn(t);
  writeTerminationLog('nobody reads this', path);
  assert.equal(existsSync(path), false);
});

test('no more is written than the kubelet shows', (t) => {
  const path = pathIn(t);
  writeFileSync(path, '');
  writeTerminationLog('ü'.repeat(10_000), path);
  assert.equal(readFileSync(path).length, 4_096);
});
