import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireLoopback } from '../../bench/loopback.ts';
import { descendantsOf } from '../support/proc.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { isRunning } from '../support/processes.ts';
import { eventually } from '../support/eventually.ts';

const root = join(import.meta.dirname, '..', '..');

function start(path: string, env: NodeJS.ProcessEnv = {}, args: readonly string[] = []) {
  const child = spawn(process.execPath, [path, ...args], { cwd: root, env: { ...process.env, ...env }, stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  return { child, output: () => output };
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(
    `${signal} in the middle of a measurement leaves no process and no folder behind`,
    { skip: NOT_LINUX },
    async (t) => {
      const { child, output } = start('test/fixtures/bench-part.ts');
      t.after(() => child.kill('SIGKILL'));
      const line = await eventually('the part measures', () => /^\{.*\}$/m.exec(output())?.[0], { onTimeout: output });
      const { pid, directory } = JSON.parse(line) as { pid: number; directory: string };
      const processes = descendantsOf(child.pid!);
      assert.ok(processes.includes(pid));
      assert.equal(processes.length, 2, 'the workspace and the other one');
      child.kill(signal);
      assert.equal((await once(child, 'exit'))[0], code, output());
      for (const pid of processes) assert.ok(!isRunning(pid), `process ${pid} is left`);
      assert.equal(existsSync(directory), false);
      assert.match(output(), /^undone$/m);
    },
  );
}

for (const [args, code, says] of [
  [['--help'], 0, /^Usage: npm run bench/],
  [['--nonsense'], 64, /^Unknown option '--nonsense'.*\n\nUsage: npm run bench/s],
  [['memory', 'speed'], 64, /^there is no part speed\n\nUsage/],
  [['start', '--repeat', '0.5'], 64, /^--repeat takes a whole number, 1 or more\n\nUsage/],
] as const) {
  test(`npm run bench -- ${args.join(' ')} says how it is used, and measures nothing`, async () => {
    const { child, output } = start('bench/main.ts', {}, args);
    assert.deepEqual(await once(child, 'close'), [code, null]);
    assert.match(output(), says);
  });
}

test('a workspace that does not listen on loopback is never measured', { skip: NOT_LINUX }, async () => {
  const env = { DATABRICKS_HOST: 'https://my-workspace.cloud.databricks.com' };
  const { child, output } = start('bench/main.ts', env);
  const [code] = await once(child, 'exit');
  assert.notEqual(code, 0);
  assert.match(
    output(),
    /DATABRICKS_HOST is https:\/\/my-workspace.cloud.databricks.com: only what listens on loopback/,
  );
});

test('elsewhere than on Linux it says that it needs that, and measures nothing', async () => {
  const NODE_OPTIONS = `--import=data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})`;
  const { child, output } = start('bench/main.ts', { NODE_OPTIONS });
  assert.deepEqual(await once(child, 'close'), [69, null]);
  assert.equal(output(), 'npm run bench needs Linux: it reads memory and CPU time from /proc\n');
});

test('loopback is told from what only looks like it', () => {
  for (const url of ['http://127.0.0.1:1', 'http://127.8.9.1', 'https://[::1]:443', 'http://localhost:1', undefined]) {
    assert.doesNotThrow(() => requireLoopback('X', url), url);
  }
  for (const url of [
    'https://my-workspace.cloud.databricks.com',
    'http://10.0.0.1',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'http://[::ffff:10.0.0.1]',
    'my-workspace.cloud.databricks.com',
  ]) {
    assert.throws(() => requireLoopback('X', url), /only what listens on loopback/, url);
  }
});
