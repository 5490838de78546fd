import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { stateFileIn } from '../support/sink-credentials.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { NOT_LINUX } from '../support/linux.ts';
import { isolated, program, run } from './programs.ts';

test('a full disk leaves the old file as it is, is no reason not to start, and heals when space is freed', async (t) => {
  const result = await isolated(t, 'full disk');
  if (result === undefined) return;
  const { examined, examinedBelow, withoutSpace, withoutInodes, ...rest } = result as Record<
    string,
    { failure: string; message: string }
  >;
  for (const problem of [examined, examinedBelow, withoutSpace, withoutInodes]) {
    assert.equal(problem?.failure, 'no_space');
    assert.match(problem.message, /^cannot write .+: no space left on device \(ENOSPC\)$/);
  }
  assert.deepEqual(rest, { prepared: 'done', kept: true, leftOvers: [], healed: 'done', replaced: true });
});

test('a target that is mounted as a single file is refused, its neighbour is not', async (t) => {
  const result = await isolated(t, 'mounted file');
  if (result === undefined) return;
  type Problem = Record<'failure' | 'message' | 'remedy', string>;
  const { prepared, written, ...rest } = result as Record<'prepared' | 'written', Problem>;
  assert.equal(prepared.failure, 'refused');
  assert.match(prepared.message, /with blank\/token is mounted as a single file \(subPath\)/);
  assert.match(prepared.remedy, /^mount the directory instead/);
  assert.equal(written.failure, 'refused');
  assert.match(written.message, /\(EBUSY\)$/);
  assert.match(written.remedy, /^mount the directory instead/);
  assert.deepEqual(rest, { kept: true, beside: 'done' });
});

test('a read-only volume is unwritable before anything is minted, and another one is asked for', async (t) => {
  const result = await isolated(t, 'read-only mount');
  if (result === undefined) return;
  const { failure, message, remedy } = result['prepared'] as Record<'failure' | 'message' | 'remedy', string>;
  assert.equal(failure, 'unwritable');
  assert.match(message, /read-only file system \(EROFS\)/);
  assert.match(remedy, /^mount a volume/);
});

test('a watch beyond the limits of the kernel stays silent until it is ended', async (t) => {
  const result = await isolated(t, 'no watches');
  if (result === undefined) return;
  assert.deepEqual(result, { watched: 'done' });
});

test("a directory of somebody else's is unwritable, and the error names both owners", async (t) => {
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o755);
  const closed = join(directory, 'closed');
  await mkdir(closed, { mode: 0o555 });
  const isRoot = process.getuid?.() === 0;
  // Root may write anywhere, so it tries as nobody.
  const user = isRoot ? { uid: 65_534, gid: 65_534 } : {};

  for (const path of [join(closed, 'token'), join(closed, 'not', 'yet', 'there', 'token')]) {
    for (const { failure, message } of await prepareElsewhere(path, user)) {
      assert.equal(failure, 'unwritable');
      assert.ok(message.startsWith(`cannot write ${path}: permission denied (EACCES)`), message);
      assert.ok(message.includes(`; directory ${closed} belongs to uid ${process.getuid?.()}, gid `), message);
      const uid = isRoot ? 65_534 : process.getuid?.();
      assert.ok(message.includes(`with mode 0555, this process runs as uid ${uid}, gid `), message);
    }
  }
});

test("a file of somebody else's in a directory with the sticky bit is unwritable, one's own is not", async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root makes files for two users: `sudo npm test`');
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o1777);
  const [theirs, own] = [join(directory, 'theirs'), join(directory, 'own')];
  for (const path of [theirs, own]) await writeFile(path, '');
  const user = { uid: 65_534, gid: 65_534 };
  await chown(own, user.uid, user.gid);
  for (const { failure, message } of await prepareElsewhere(theirs, user)) {
    assert.equal(failure, 'unwritable');
    assert.match(
      message,
      /theirs belongs to uid 0, and its directory has the sticky bit, so no other user may replace it; .* as uid 65534$/,
    );
  }
  for (const { message } of await prepareElsewhere(own, user)) assert.match(message, /^went well/);
  // Nor is anybody's where the directory is one's own, or has no such bit, or to root.
  for (const { message } of await prepareElsewhere(own)) assert.match(message, /^went well/);
  await chmod(directory, 0o777);
  for (const { message } of await prepareElsewhere(theirs, user)) assert.match(message, /^went well/);
  await chmod(directory, 0o1777);
  await chown(directory, user.uid, user.gid);
  for (const { message } of await prepareElsewhere(theirs, user)) assert.match(message, /^went well/);
  await chown(directory, 1, 1);
  for (const { message } of await prepareElsewhere(own)) assert.match(message, /^went well/);
});

test("a record of somebody else's in a directory with the sticky bit is unwritable before anything is minted", async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root makes files for two users: `sudo npm test`');
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o1777);
  const record = stateFileIn(directory).path;
  await writeFile(record, '');
  const user = { uid: 65_534, gid: 65_534 };
  for (const { failure, message } of await prepareElsewhere(join(directory, 'token'), user)) {
    assert.equal(failure, 'unwritable');
    assert.ok(message.startsWith(`${record} belongs to uid 0, and its directory has the sticky bit`), message);
  }
  await chown(record, user.uid, user.gid);
  for (const { message } of await prepareElsewhere(join(directory, 'token'), user)) assert.match(message, /^went well/);
});

test('an immutable file, or record, is unwritable before anything is minted; one that is only read-only is not', async (t) => {
  const directory = await temporaryDirectory(t);
  const token = join(directory, 'token');
  for (const path of [token, stateFileIn(directory).path]) {
    await writeFile(path, '', { mode: 0o400 });
    for (const { message } of await prepareElsewhere(token)) assert.match(message, /^went well/);
    try {
      execFileSync('chattr', ['+i', path], { stdio: 'ignore' });
    } catch {
      return t.skip('here no file can be made immutable: `sudo npm test`, with TMPDIR on a disk of Linux');
    }
    try {
      for (const { failure, message } of await prepareElsewhere(token)) {
        assert.equal(failure, 'unwritable');
        assert.equal(message, `${path} is immutable, so nobody can replace it, not even root`);
      }
    } finally {
      execFileSync('chattr', ['-i', path]);
    }
  }
});

test('a directory that can be written, but not read, is unwritable before anything is minted', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root tries as somebody else: `sudo npm test`');
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o333);
  for (const { failure, message } of await prepareElsewhere(join(directory, 'token'), { uid: 65_534, gid: 65_534 })) {
    assert.equal(failure, 'unwritable');
    assert.match(message, /permission denied \(EACCES\); directory .+ belongs to uid 0, gid 0 with mode 0333/);
  }
});

test('a link to nothing in place of a directory is unwritable, and is called that', async (t) => {
  const directory = await temporaryDirectory(t);
  await symlink('nowhere', join(directory, 'link'));
  for (const path of [join(directory, 'link', 'token'), join(directory, 'link', 'deeper', 'token')]) {
    for (const { failure, message } of await prepareElsewhere(path)) {
      assert.equal(failure, 'unwritable');
      assert.match(message, /\/link is a broken symbolic link, where a directory should be$/);
    }
  }
});

test('a file in place of a directory is unwritable', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'file'), '');
  for (const path of [join(directory, 'file', 'token'), join(directory, 'file', 'deeper', 'token')]) {
    for (const { failure, message } of await prepareElsewhere(path)) {
      assert.equal(failure, 'unwritable');
      assert.match(message, /\((?:EEXIST|ENOTDIR)\); file .+\/file belongs to/);
    }
  }
});

test('a place in which nobody can make a directory, not even root, is unwritable', async () => {
  for (const { failure, message } of await prepareElsewhere('/proc/nothing/there/token')) {
    assert.equal(failure, 'unwritable', message);
    assert.ok(message.startsWith('cannot write /proc/nothing/there/token: '), message);
    assert.ok(message.includes(`; directory ${NOT_LINUX === false ? '/proc' : '/'} belongs to uid 0`), message);
  }
});

interface Problem {
  readonly failure: string;
  readonly message: string;
}

async function prepareElsewhere(path: string, user: { uid?: number; gid?: number } = {}): Promise<Problem[]> {
  const { stdout } = await run(process.execPath, [program('prepare'), path], user);
  return Object.values(JSON.parse(stdout) as Record<string, Problem>);
}
