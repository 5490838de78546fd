import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { inspect as show } from 'node:util';
import { FakeClock } from '../support/fake-clock.ts';
import { MINUTE_MS } from '../support/fakes.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import type { SinkFailure } from '../../src/credential/failures.ts';
import { FileSink } from '../../src/sinks/file.ts';
import { stateFileIn, tokenOf } from '../support/sink-credentials.ts';
import { current, listener, old, problemOf, publishedSink } from './published.ts';

const TAMPERINGS: Record<string, { tamper: (path: string) => Promise<unknown>; failure: SinkFailure }> = {
  'a change of the mode': { tamper: (path) => chmod(path, 0o644), failure: 'wrong_mode' },
  'a deletion': { tamper: (path) => rm(path, { force: true }), failure: 'missing' },
  'an edit in place': { tamper: (path) => writeFile(path, 'x', { flag: 'a' }), failure: 'foreign_content' },
  'an edit in place that keeps size and time': { tamper: editUnseen, failure: 'foreign_content' },
  'a truncation': { tamper: (path) => writeFile(path, ''), failure: 'foreign_content' },
  'a file that is too long': { tamper: (path) => writeFile(path, Buffer.alloc(1e6)), failure: 'foreign_content' },
  'another file in its place': { tamper: replaceByOther, failure: 'foreign_content' },
  'a symbolic link in its place': { tamper: replaceByLink, failure: 'not_a_file' },
  'a directory in its place': { tamper: replaceByDirectory, failure: 'not_a_file' },
  'the removal of its directory': {
    tamper: (path) => rm(dirname(path), { recursive: true, force: true }),
    failure: 'missing',
  },
  'a file in place of its directory': { tamper: replaceDirectoryByFile, failure: 'unwritable' },
};

for (const [what, { tamper, failure }] of Object.entries(TAMPERINGS)) {
  test(`an inspection notices ${what} and says so without the token`, async (t) => {
    const { sink, path } = await publishedSink(t);
    assert.equal(await problemOf(sink, t), undefined);
    await tamper(path);
    const holding = await sink.inspect([current, old], { signal: t.signal });
    assert.equal(holding.state, 'lacks');
    assert.equal(holding.problem.failure, failure);
    assert.ok(holding.problem.message.includes(path), holding.problem.message);
    assert.ok(!show(holding, { depth: 9 }).includes(tokenOf(2)));
  });
}

for (const what of ['a change of the mode', 'a deletion', 'an edit in place', 'a symbolic link in its place']) {
  test(`a watch calls back on ${what}, and ends with its signal`, async (t) => {
    const { sink, path } = await publishedSink(t);
    const watched = await startWatching(t, sink, path);
    await watched.callsBackOn(() => TAMPERINGS[what]!.tamper(path));
    await watched.end();
  });
}

test('a watch calls back on a replacement and survives that its directory is removed and made again', async (t) => {
  const { sink, path } = await publishedSink(t);
  const watched = await startWatching(t, sink, path);
  await watched.callsBackOn(() => sink.write(old, { signal: t.signal }));
  for (let round = 0; round < 2; round += 1) {
    await watched.callsBackOn(() => rm(dirname(path), { recursive: true, force: true }));
    await watched.callsBackOn(() => sink.write(current, { signal: t.signal }));
    await watched.callsBackOn(() => chmod(path, 0o644));
  }
  await watched.end();
});

test('a watch that is over before it starts ends at once', async (t) => {
  const { sink } = await publishedSink(t);
  await sink.watch(
    listener(() => assert.fail('called back')),
    { signal: AbortSignal.abort() },
  );
});

test('what was found as it should be is untouched until it changes, or its record does', async (t) => {
  const clock = new FakeClock(Date.now() + MINUTE_MS);
  const path = join(await temporaryDirectory(t), 'token');
  const state = stateFileIn(dirname(path));
  const watch = async (): Promise<void> => await Promise.resolve();
  const sink = new FileSink({ path, format: 'token', mode: 0o600, connection: {}, state, clock, watch });
  const { signal } = t;
  await sink.write(current, { signal });
  assert.equal(await sink.isUntouched({ signal }), false, 'nobody has looked');
  for (const change of [() => chmod(path, 0o640), () => rm(state.path)]) {
    assert.equal((await sink.inspect([current], { signal })).state, 'holds');
    assert.equal(await sink.isUntouched({ signal }), true);
    await change();
    await sink.inspect([current], { signal });
    assert.equal(await sink.isUntouched({ signal }), false);
    await sink.write(current, { signal });
  }
});

async function startWatching(t: TestContext, sink: FileSink, path: string) {
  const controller = new AbortController();
  t.after(() => controller.abort());
  let onChange = () => {};
  const watching = sink.watch(
    listener(() => onChange()),
    { signal: controller.signal },
  );

  const callsBackOn = async (change: () => Promise<unknown>) => {
    const called = t.mock.fn();
    onChange = called;
    const isCalled = async () =>
      await eventually('a call back', () => called.mock.callCount() > 0, { withinMs: 2_000 }).catch(() => false);
    // A busy machine may need a moment to watch a directory that was made again, and misses what happens before.
    for (let tries = 0; tries < 5; tries += 1) {
      await change();
      if (await isCalled()) return;
    }
    assert.fail('nobody called back');
  };
  const first = t.mock.fn();
  onChange = first;
  while (first.mock.callCount() === 0) await chmod(path, 0o600);

  return {
    callsBackOn,
    async end() {
      controller.abort();
      await watching;
    },
  };
}

async function editUnseen(path: string): Promise<void> {
  const { atime, mtime } = await stat(path);
  const content = await readFile(path, 'utf8');
  await writeFile(path, content.replace('.', ','), { flag: 'r+' });
  await utimes(path, atime, mtime);
}

async function replaceByOther(path: string): Promise<void> {
  const other = join(dirname(path), `other-${basename(path)}`);
  await writeFile(other, tokenOf(7), { mode: 0o600 });
  await rename(other, path);
}

async function replaceByLink(path: string): Promise<void> {
  await rename(path, `${path}.moved`);
  await symlink(`${path}.moved`, path);
}

async function replaceByDirectory(path: string): Promise<void> {
  await rm(path);
  await mkdir(path);
}

async function replaceDirectoryByFile(path: string): Promise<void> {
  await rm(dirname(path), { recursive: true, force: true });
  await writeFile(dirname(path), '');
}
