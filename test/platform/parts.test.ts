import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import EventEmitter from 'node:events';
import { readdirSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Parts } from '../../src/platform/parts.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { NOT_LINUX } from '../support/linux.ts';

const MODULE = join(import.meta.dirname, '../../src/platform/parts.ts');

function load(directory: string): unknown {
  return new Parts(directory).require('./part.js');
}

/** As the build does. */
async function writeParts(directory: string, file: string, bodies: Readonly<Record<string, string>>): Promise<void> {
  const parts = Object.entries(bodies).map(
    ([name, body]) => `"./${name}":(function(exports,require,module){${body}\n})`,
  );
  await writeFile(join(directory, file), `({${parts.join(',')}})`);
}

/** V8 knows a source by its length, so another digit shows whether the bytecode or the source was run. */
async function write(directory: string, digit: number): Promise<void> {
  await writeParts(directory, 'part.js', { 'part.js': `module.exports=${digit}` });
}

/** A part that is 1 by its bytecode and 2 by its source. */
async function partWithBytecode(t: TestContext): Promise<string> {
  const directory = await temporaryDirectory(t);
  await write(directory, 1);
  const parts = new Parts(directory);
  assert.equal(parts.require('./part.js'), 1);
  parts.writeBytecode();
  await write(directory, 2);
  return directory;
}

test('a part is run from the bytecode beside it', async (t) => {
  assert.equal(load(await partWithBytecode(t)), 1);
});

test('without bytecode, or with bytecode that is broken, the source is compiled', async (t) => {
  const directory = await partWithBytecode(t);
  const bytecode = join(directory, 'part.js.bytecode');
  for (const content of ['', 'no bytecode', Buffer.alloc(4_096)]) {
    await writeFile(bytecode, content);
    assert.equal(load(directory), 2);
  }
  await rm(bytecode);
  assert.equal(load(directory), 2);
});

test('nothing that was read stays open', { skip: NOT_LINUX }, async (t) => {
  const directory = await partWithBytecode(t);
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  for (let times = 0; times < 20; times += 1) load(directory);
  assert.ok(open() < before + 20, `${open()} files, before ${before}`);
});

test('bytecode that was made with other flags of V8 is not used', async (t) => {
  const directory = await partWithBytecode(t);
  const script = `
    import { Parts } from ${JSON.stringify(MODULE)};
    console.log(String(new Parts(${JSON.stringify(directory)}).require('./part.js')));`;
  const run = (...flags: string[]): string =>
    spawnSync(process.execPath, [...flags, '--input-type=module', '-e', script], { encoding: 'utf8' }).stdout.trim();
  assert.equal(run(), '1');
  assert.equal(run('--no-lazy'), '2');
});

test('a part may be of any length, also after a shorter one', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeParts(directory, 'short.js', { 'short.js': "module.exports=require('./long.js')" });
  await writeParts(directory, 'long.js', {
    'long.js': `module.exports=${JSON.stringify('x'.repeat(1_000_000))}.length`,
  });
  assert.equal(new Parts(directory).require('./short.js'), 1_000_000);
});

test('a part is run once, and those that need each other get what there is so far', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeParts(directory, 'a.js', { 'a.js': "exports.name='a';exports.b=require('./b.js')" });
  await writeParts(directory, 'b.js', {
    'b.js': "exports.nameOfA=require('./a.js').name;exports.os=require('node:os')",
  });
  const parts = new Parts(directory);
  const a = parts.require('./a.js') as { readonly b: { readonly nameOfA: string; readonly os: object } };
  assert.equal(a.b.nameOfA, 'a');
  assert.equal(a.b.os, os);
  assert.equal(parts.require('./b.js'), a.b);
});

test('a part that could not be loaded is loaded anew when it is needed again, with those that need it', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeParts(directory, 'a.js', { 'a.js': "exports.digit=require('./b.js')" });
  const parts = new Parts(directory);
  for (let count = 0; count < 2; count += 1) assert.throws(() => parts.require('./a.js'), { code: 'ENOENT' });
  await writeParts(directory, 'b.js', { 'b.js': 'module.exports=1' });
  assert.deepEqual(parts.require('./a.js'), { digit: 1 });
});

test('a part that has failed is run again when it is needed again, also one that shares a file with others', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeParts(directory, 'first.js', {
    'first.js': "exports.second=()=>require('./second.js')",
    'second.js': "exports.third=require('./third.js')",
  });
  const first = new Parts(directory).require('./first.js') as { second: () => unknown };
  for (let count = 0; count < 2; count += 1) assert.throws(first.second, { code: 'ENOENT', path: /third\.js$/ });
  await writeParts(directory, 'third.js', { 'third.js': 'module.exports=3' });
  assert.deepEqual(first.second(), { third: 3 });
});

test('of the parts in one file each is run when it is needed, and only then', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeParts(directory, 'first.js', {
    'first.js': "exports.second=()=>require('./second.js')",
    'second.js': 'globalThis.secondRuns=(globalThis.secondRuns??0)+1;exports.name="second"',
    'third.js': 'throw new Error("nobody needs this one")',
  });
  const parts = new Parts(directory);
  const first = parts.require('./first.js') as { second: () => { readonly name: string } };
  assert.equal(Reflect.get(globalThis, 'secondRuns'), undefined);
  assert.equal(first.second().name, 'second');
  assert.equal(first.second(), parts.require('./second.js'));
  assert.equal(Reflect.get(globalThis, 'secondRuns'), 1);
});

test('a module of Node.js can be imported by its names and as a whole', async (t) => {
  const directory = await temporaryDirectory(t);
  const body = "module.exports=[require.default('node:os'),require.default('node:events')]";
  await writeParts(directory, 'part.js', { 'part.js': body });
  const [imported, events] = load(directory) as [typeof os & { default: unknown }, { once: unknown; default: unknown }];
  assert.equal(imported.tmpdir, tmpdir);
  assert.equal(imported.default, os);
  assert.equal(events.once, EventEmitter.once);
  assert.equal(events.default, EventEmitter);
});
