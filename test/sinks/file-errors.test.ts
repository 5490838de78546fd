import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { hasErrno, toSinkError } from '../../src/sinks/file-errors.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { systemError } from '../support/system-error.ts';

for (const [code, failure, remedy] of [
  ['ENOSPC', 'no_space', /./],
  ['EDQUOT', 'no_space', /./],
  ['EACCES', 'unwritable', /./],
  ['EPERM', 'unwritable', /./],
  ['EROFS', 'unwritable', /mount a volume .* read-only/],
  ['ENOTDIR', 'unwritable', /remove the file that is where the directory should be/],
  ['EEXIST', 'unwritable', /remove the file that is where the directory should be/],
  ['ENOENT', 'unwritable', /./],
  ['ELOOP', 'unwritable', /./],
  ['ENAMETOOLONG', 'unwritable', /./],
  ['EBUSY', 'refused', /./],
  ['EXDEV', 'refused', /./],
  ['EISDIR', 'refused', /remove the directory that is where the file should be/],
  ['ENOTCONN', 'unreachable', /recreate the pod.* the program that served it has ended/],
  ['ESTALE', 'unreachable', /recreate the pod.* its server no longer knows this directory/],
  ['ETIMEDOUT', 'unreachable', /why the server of the volume does not answer/],
  ['EIO', 'unknown', /the kernel log/],
  ['EMFILE', 'unknown', /limit on the open files of the sidecar/],
  ['ENFILE', 'unknown', /open on this machine/],
] as const) {
  test(`a write that ends with ${code} is told as ${failure}, with the path, and with the owner where that matters`, async (t) => {
    const directory = await temporaryDirectory(t);
    const cause = systemError(code);
    const error = await toSinkError(cause, 'write', join(directory, 'away', 'token'));
    assert.equal(error.failure, failure);
    assert.equal(error.cause, cause);
    assert.match(error.remedy, remedy);
    assert.ok(error.message.startsWith(`cannot write ${directory}/away/token: `), error.message);
    assert.match(error.message, new RegExp(`: [a-z /-]{9,} \\(${code}\\)(?:$|;)`));
    assert.equal(error.message.includes(`; directory ${directory} belongs to uid `), failure === 'unwritable');
  });
}

test('where a directory is missing and cannot be made, a volume is what is missing, and no directory above is to be made writable', async (t) => {
  const directory = await temporaryDirectory(t);
  const mount = /^mount a volume that the sidecar can write to/;
  for (const code of ['EACCES', 'EPERM', 'ENOENT'] as const) {
    const ofMissing = await toSinkError(systemError(code), 'write', join(directory, 'away', 'token'));
    assert.match(ofMissing.remedy, mount);
    const ofPresent = await toSinkError(systemError(code), 'write', join(directory, 'token'));
    assert.doesNotMatch(ofPresent.remedy, mount);
  }
});

test('what stands where a directory should is called a file', async () => {
  for (const code of ['EEXIST', 'ENOTDIR'] as const) {
    assert.match(
      (await toSinkError(systemError(code), 'write', '/a/b')).message,
      /: there is a file where a directory should be \(/,
    );
  }
});

test('of what cannot be read its own owner is named, of what cannot be written that of its directory', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'directory'));
  await writeFile(join(directory, 'file'), '');
  for (const what of ['directory', 'file']) {
    const path = join(directory, what);
    const { message } = await toSinkError(systemError('EACCES'), 'read', path);
    assert.ok(
      message.startsWith(`cannot read ${path}: permission denied (EACCES); ${what} ${path} belongs to`),
      message,
    );
    const written = await toSinkError(systemError('EACCES'), 'write', path);
    assert.ok(written.message.includes(`; directory ${directory} belongs to`), written.message);
  }
});

test('what has its words already keeps them, and a bug is no trouble with a file', async () => {
  const known = new SinkError('refused', 'for a reason');
  assert.equal(await toSinkError(known, 'write', '/a/b'), known);
  const bugs = [
    new TypeError('a bug'),
    Object.assign(new Error('of Node.js'), { code: 'ERR_INVALID_ARG_TYPE' }),
    Object.assign(new Error('of nobody'), { errno: 2 }),
    Object.assign(new Error('of nobody'), { errno: 'ENOENT', code: 'ENOENT' }),
  ];
  for (const bug of bugs) {
    await assert.rejects(toSinkError(bug, 'write', '/a/b'), bug);
    assert.equal(hasErrno(bug, 'ENOENT', 'ERR_INVALID_ARG_TYPE'), false);
  }
  assert.equal(hasErrno(undefined, 'ENOENT'), false);
});
