import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import { chooseCli } from '../demo/choose-cli.ts';
import { drawFrame, widthOf } from '../demo/frame.ts';
import { Reader } from '../demo/reader.ts';
import { Scene } from '../demo/scene.ts';
import { judge, summarise } from '../demo/verdict.ts';
import { systemClock as clock } from '../src/platform/clock.ts';
import { standInCli } from './support/clis.ts';
import { whyNoPostgres } from './support/postgres.ts';
import { processesOf } from './support/processes.ts';
import { eventually } from './support/eventually.ts';

const ENTRY = join(import.meta.dirname, '../demo/main.ts');

interface Demo {
  readonly child: ChildProcess;
  readonly directory: string;
  readonly said: string[];
  /** Resolves with the first line that matches. */
  line(pattern: RegExp): Promise<string>;
  /** Resolves when it has ended; then nothing of it may be left, or soon if somebody did not let it wait. */
  end(options?: { isInsisted?: boolean }): Promise<{ code: number | null; output: string }>;
}

function startDemo(t: TestContext, ...args: readonly string[]): Demo {
  const directory = mkdtempSync(join(tmpdir(), 'demo-'));
  chmodSync(directory, 0o755);
  const env = { ...process.env, TMPDIR: directory };
  const child = spawn(process.execPath, [ENTRY, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  const lines = [createInterface(child.stdout), createInterface(child.stderr)];
  for (const stream of lines) stream.on('line', (line) => said.push(line));
  t.after(() => {
    child.kill('SIGTERM');
    rmSync(directory, { recursive: true, force: true });
  });
  const ended = once(child, 'close') as Promise<[number | null]>;
  return {
    child,
    directory,
    said,
    line: async (pattern) => {
      const heard = Promise.withResolvers<string>();
      for (const stream of lines) stream.on('line', (line) => pattern.test(line) && heard.resolve(line));
      void ended.then(() => heard.reject(new Error(`ended without ${String(pattern)}:\n${said.join('\n')}`)));
      return said.find((line) => pattern.test(line)) ?? (await heard.promise);
    },
    end: async ({ isInsisted = false } = {}) => {
      const [code] = await ended;
      if (isInsisted) await eventually('nothing runs', () => processesOf(directory).length === 0);
      assert.deepEqual(processesOf(directory), [], 'processes are left');
      assert.deepEqual(readdirSync(directory), [], 'temporary files are left');
      return { code, output: said.join('\n') };
    },
  };
}

describe('the demo', { skip: whyNoPostgres() }, () => {
  test('shows five rotations and an outage without a failed login, and leaves nothing behind', async (t) => {
    const { code, output } = await startDemo(t).end();
    assert.equal(code, 0, output);
    assert.match(output, /the sidecar mints with (a stand-in CLI|the Databricks CLI) /);
    for (const number of [1, 2, 3, 4, 5]) assert.match(output, new RegExp(`rotation ${number}: the pgpass reader`));
    assert.match(output, /mint failed \(bad_response\); the file stays/);
    assert.match(output, /workspace back after [\d.]+ s; file unchanged, \d+ logins/);
    assert.match(output, /^pgpass reader +\d+ logins, 0 failed logins$/m);
    assert.match(output, /^read-once reader +\d+ logins, [1-9]\d* failed logins, locked out after [\d.]+ s$/m);
    assert.doesNotMatch(output, /eyJ/, 'a token');
    assert.ok(!output.includes('\u001B'), 'control sequences without a terminal');
  });

  test('stops everything at Ctrl-C in the middle, and says so', async (t) => {
    const demo = startDemo(t);
    await demo.line(/both readers start/);
    demo.child.kill('SIGINT');
    const { code, output } = await demo.end();
    assert.equal(code, 130, output);
    assert.match(output, /stopped by SIGINT before the end; nothing is left running/);
  });

  test('stops everything that is only half started', async (t) => {
    const demo = startDemo(t);
    await demo.line(/starting PostgreSQL/);
    demo.child.kill('SIGTERM');
    const { code, output } = await demo.end();
    assert.equal(code, 143, output);
  });

  test('leaves nothing behind when somebody insists', async (t) => {
    const demo = startDemo(t);
    await demo.line(/both readers start/);
    await eventually('the CLI mints', () => processesOf(demo.directory).some((line) => line.includes(' postgres ')));
    demo.child.kill('SIGINT');
    demo.child.kill('SIGTERM');
    const { code } = await demo.end({ isInsisted: true });
    assert.ok(code === 130 || code === 143, `exit code ${code}`);
  });

  test('explains itself when it is called wrongly', async (t) => {
    const { code, output } = await startDemo(t, '--kep').end();
    assert.equal(code, 64);
    assert.match(output, /'--kep'.*\n\nUsage: npm run demo/);
  });
});

describe('the choice of the CLI', () => {
  test('falls back on the stand-in where there is no databricks on the PATH', async (t) => {
    const { isReal, title } = await chooseCli('/nonexistent', { signal: t.signal });
    assert.deepEqual([isReal, title], [false, 'a stand-in CLI (there is no databricks on the PATH)']);
  });

  test('takes the databricks of the PATH if it can mint', async (t) => {
    const cli = await standInCli(t, { version: '1.12.0' });
    const { command, isReal, title } = await chooseCli(dirname(cli), { signal: t.signal });
    assert.deepEqual([command, isReal, title], [cli, true, `the Databricks CLI 1.12.0 (${cli})`]);
  });

  test('passes over one that is too old', async (t) => {
    const cli = await standInCli(t, { version: '0.200.0' });
    const { isReal, title } = await chooseCli(dirname(cli), { signal: t.signal });
    assert.equal(isReal, false);
    assert.match(title, /^a stand-in CLI \(Databricks CLI 0\.200\.0 is too old/);
  });
});

function exampleScene() {
  const scene = new Scene(clock, 5, () => {});
  const options = { connection: {}, clock, onLogin: () => {} };
  const pgpass = new Reader({ ...options, name: 'pgpass', habit: 'h'.repeat(60) });
  const readOnce = new Reader({ ...options, name: 'read-once', habit: 'h'.repeat(60) });
  scene.readers = [pgpass, readOnce];
  return { scene, pgpass, readOnce };
}

describe('the live view', () => {
  for (const [columns, rows] of [
    [20, 5],
    [79, 23],
    [200, 60],
  ] as const) {
    test(`fits into ${columns} columns and ${rows} rows`, () => {
      const { scene } = exampleScene();
      for (let number = 0; number < 100; number += 1) scene.tell('x'.repeat(number * 3));
      const frame = drawFrame(scene, columns, rows);
      assert.ok(frame.length <= rows, `${frame.length} rows`);
      assert.ok(Math.max(...frame.map((line) => widthOf(line))) <= columns);
    });
  }
});

describe('the verdict', () => {
  test('says what did not hold', () => {
    const { scene, pgpass, readOnce } = exampleScene();
    pgpass.refusals = 1;
    pgpass.firstRefusal = { message: 'no entry', detail: undefined, afterMs: 3_000 };
    const verdict = judge(scene, pgpass, readOnce);
    assert.deepEqual(verdict.complaints, [
      'the pgpass reader was refused: no entry',
      '0 rotations instead of 5',
      'the read-once reader was never refused',
      'the pgpass file did not stay as it was during the outage',
    ]);
    assert.match(summarise(verdict).join('\n'), /It did not hold:\n {2}the pgpass reader was refused: no entry/);
  });
});
