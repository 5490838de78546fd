import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test, type TestContext } from 'node:test';
import { CliError } from '../../src/credential/errors.ts';
import { findCommand } from '../../src/platform/find-command.ts';

function folders(t: TestContext): { first: string; second: string } {
  const root = mkdtempSync(join(tmpdir(), 'find-command-'));
  t.after(() => rmSync(root, { recursive: true }));
  const [first, second] = [join(root, 'first'), join(root, 'second')];
  mkdirSync(first);
  mkdirSync(second);
  return { first, second };
}

test('the first program of that name on the PATH is found', (t) => {
  const { first, second } = folders(t);
  for (const folder of [first, second]) writeFileSync(join(folder, 'databricks'), '', { mode: 0o755 });
  assert.equal(findCommand('databricks', { PATH: `/nowhere:${first}:${second}` }), join(first, 'databricks'));
});

test('a folder and a file without permission are passed over where a program follows', (t) => {
  const { first, second } = folders(t);
  mkdirSync(join(first, 'databricks'));
  writeFileSync(join(second, 'databricks'), '', { mode: 0o755 });
  assert.equal(findCommand('databricks', { PATH: `${first}:${second}` }), join(second, 'databricks'));
});

test('an absolute path is not looked up on the PATH', (t) => {
  const { first } = folders(t);
  const path = join(first, 'cli');
  assert.throws(
    () => findCommand(path, { PATH: first }),
    new CliError(
      `the Databricks CLI "${path}" is missing: there is no such file`,
      'install the Databricks CLI and put its directory on the PATH, or set minter.cli.command to its path',
    ),
  );
  writeFileSync(path, '', { mode: 0o755 });
  assert.equal(findCommand(path, { PATH: '' }), path);
});

test('what is missing and what is not executable are told apart', (t) => {
  const { first } = folders(t);
  assert.throws(() => findCommand('databricks', { PATH: first }), /"databricks" is missing: not on the PATH/);
  writeFileSync(join(first, 'databricks'), '', { mode: 0o644 });
  assert.throws(
    () => findCommand('databricks', { PATH: first }),
    /databricks is not executable by this user\n→ make it executable/,
  );
});

test('a folder in the place of the program is named, as where an archive was unpacked into it', (t) => {
  const { first } = folders(t);
  const path = join(first, 'databricks');
  mkdirSync(path);
  for (const command of ['databricks', path])
    assert.throws(
      () => findCommand(command, { PATH: first }),
      new CliError(
        `the Databricks CLI ${path} is a directory, not a program`,
        'install the Databricks CLI and put its directory on the PATH, or set minter.cli.command to its path',
      ),
    );
});

test('a relative folder on the PATH counts from where the CLI runs, and is named where that is nowhere', (t) => {
  const { first } = folders(t);
  writeFileSync(join(first, 'databricks'), '', { mode: 0o755 });
  const here = process.cwd();
  t.after(() => process.chdir(here));
  process.chdir(dirname(first));
  assert.throws(
    () => findCommand('databricks', { PATH: 'first:/nowhere' }),
    /, where a folder must be an absolute path\n/,
  );
  assert.throws(() => findCommand('databricks', { PATH: '/nowhere' }), /on the PATH \(\/nowhere\)\n/);
  assert.equal(findCommand('databricks', { PATH: relative('/', first) }), join(first, 'databricks'));
});
