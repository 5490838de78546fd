import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import test from 'node:test';
import { inspect as show } from 'node:util';
import { SinkError } from '../../src/credential/errors.ts';
import { credentialOf, fileSink, siblingSinks, stateFileIn, tokenOf } from '../support/sink-credentials.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { run } from './programs.ts';
import { current, old, problemOf, publishedSink } from './published.ts';

test('a sink is named after its path', () => {
  assert.equal(fileSink('/run/lakebase/pgpass', 'pgpass').name, 'file:/run/lakebase/pgpass');
});

test('missing directories are made with mode 0750 whatever the umask, one that is found stays as it is', async (t) => {
  const found = join(await temporaryDirectory(t), 'found');
  await mkdir(found);
  await chmod(found, 0o2777);
  const plain = await temporaryDirectory(t);
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));

  const path = join(found, 'made', 'deep', 'token');
  await fileSink(path, 'token').prepare({ signal: t.signal });

  assert.equal((await stat(found)).mode & 0o7777, 0o2777);
  // The setgid bit of an fsGroup volume is handed down.
  assert.equal((await stat(dirname(path))).mode & 0o7777, 0o2750);
  assert.equal((await stat(dirname(dirname(path)))).mode & 0o7777, 0o2750);
  assert.deepEqual(await readdir(dirname(path)), []);
  await fileSink(join(plain, 'made', 'token'), 'token').prepare({ signal: t.signal });
  assert.equal((await stat(join(plain, 'made'))).mode & 0o7777, 0o750);
});

test('a target that is no regular file is refused with what to do instead, and left as it is', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'directory'));
  await writeFile(join(directory, 'file'), '');
  await symlink('file', join(directory, 'link'));
  await symlink('nowhere', join(directory, 'dangling'));
  await run('mkfifo', [join(directory, 'pipe')]);
  const server = createServer().listen(join(directory, 'socket'));
  await once(server, 'listening');
  t.after(() => server.close());
  const expected = {
    directory: [
      /is a directory$/,
      /^remove the directory if the file belongs in its place, or configure the path of a file in it$/,
    ],
    link: [/is a symbolic link, which/, /^configure the path that the link points to, or remove the link$/],
    dangling: [/is a symbolic link, which/, /^configure the path that the link points to, or remove the link$/],
    pipe: [/is a pipe$/, /^configure the path of a regular file, or remove what is there$/],
    socket: [/is a socket$/, /^configure the path of a regular file, or remove what is there$/],
    '/dev/null': [/is a device$/, /^configure the path of a regular file, or remove what is there$/],
  } as const;
  const before = (await readdir(directory)).toSorted();
  for (const [name, [message, remedy]] of Object.entries(expected)) {
    const sink = fileSink(resolve(directory, name), 'token');
    const error: unknown = await sink.prepare({ signal: t.signal }).catch((reason: unknown) => reason);
    assert.ok(error instanceof SinkError);
    assert.equal(error.failure, 'refused');
    assert.match(error.message, message);
    assert.match(error.remedy, remedy);
    assert.ok(error.message.startsWith(resolve(directory, name)));
    // Nor is it read as if it were a file; a pipe would keep the reader waiting.
    assert.equal(await sink.recover({ signal: t.signal }), undefined);
    const held = await sink.inspect([current], { signal: t.signal });
    assert.ok(held.state === 'lacks' && held.problem.failure === 'not_a_file');
    const [what = 'is something'] = /is a [a-z ]+/.exec(error.message) ?? [];
    assert.ok(held.problem.message.endsWith(` ${what}, not a regular file`), held.problem.message);
  }
  assert.deepEqual((await readdir(directory)).toSorted(), before);
});

test('an examination says what it found and changes nothing', async (t) => {
  const { sink, path } = await publishedSink(t);
  const leftOver = `.token.0123456789abcdef.tmp`;
  await writeFile(join(dirname(path), leftOver), '');
  const before = await readdir(dirname(path));
  assert.equal(
    await sink.examine({ signal: t.signal }),
    `can be written with mode 0600; directory ${dirname(path)} belongs to uid ${process.getuid?.()}, ` +
      `gid ${process.getgid?.()} with mode 0750, this process runs as uid ${process.getuid?.()}, gid ${process.getgid?.()}`,
  );
  // Not even what looks like a left-over, since a running process may be writing it.
  assert.deepEqual(await readdir(dirname(path)), before);

  const missing = join(dirname(path), 'not', 'yet', 'token');
  assert.equal(
    await fileSink(missing, 'token').examine({ signal: t.signal }),
    `${dirname(missing)} does not exist yet and can be created in ${dirname(path)}`,
  );
  assert.deepEqual(await readdir(dirname(path)), before);

  await rm(path);
  await symlink('elsewhere', path);
  await assert.rejects(sink.examine({ signal: t.signal }), { failure: 'refused' });
});

test('left-overs of the file and of its state are swept, the file itself stays', async (t) => {
  const directory = await temporaryDirectory(t);
  const leftOvers = ['.token.0123456789abcdef.tmp', '..backstage.state.json.0123456789abcdef.tmp'];
  await Promise.all(['token', ...leftOvers].map((name) => writeFile(join(directory, name), 'text')));
  await fileSink(join(directory, 'token'), 'token').recover({ signal: t.signal });
  assert.deepEqual(await readdir(directory), ['token']);
});

test('a credential that was written is held, also when it is not the newest', async (t) => {
  const { sink } = await publishedSink(t);
  for (const known of [[current], [current, old], [old, current]]) {
    assert.deepEqual(await sink.inspect(known, { signal: t.signal }), { state: 'holds', credential: current });
  }
  await sink.write(current, { signal: t.signal });
  assert.deepEqual(await sink.inspect([current], { signal: t.signal }), { state: 'holds', credential: current });
});

test('a removed directory is made again by the next write', async (t) => {
  const { sink, path } = await publishedSink(t);
  await rm(dirname(path), { recursive: true });
  assert.equal(await problemOf(sink, t), 'missing');
  await sink.write(current, { signal: t.signal });
  assert.equal(await problemOf(sink, t), undefined);
  assert.equal((await sink.recover({ signal: t.signal }))?.fingerprint, current.fingerprint);
});

test('the next process finds the token that each format holds, even if the connection changed', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = stateFileIn(directory);
  const otherConnection = { host: '::1', port: 6432, database: 'other', user: 'other' };
  for (const format of ['pgpass', 'token', 'json', 'env', 'uri'] as const) {
    await fileSink(join(directory, format), format, state).write(current, { signal: t.signal });
    const next = fileSink(join(directory, format), format, stateFileIn(directory), 0o600, otherConnection);
    const found = await next.recover({ signal: t.signal });
    assert.deepEqual({ ...found, token: found?.token.reveal() }, { ...current, token: tokenOf(2) });
  }
});

test('a crash between two files of a credential leaves the later token to adopt, and the earlier one known', async (t) => {
  const directory = await temporaryDirectory(t);
  const before = siblingSinks(directory);
  await before.pgpass.write(old, { signal: t.signal });
  await before.token.write(old, { signal: t.signal });
  await before.pgpass.write(current, { signal: t.signal });

  const after = siblingSinks(directory);
  const pgpass = await after.pgpass.recover({ signal: t.signal });
  const token = await after.token.recover({ signal: t.signal });
  assert.equal(pgpass?.fingerprint, current.fingerprint);
  assert.equal(token?.fingerprint, old.fingerprint);
  assert.ok(pgpass.local.expiresAt > token.local.expiresAt);
});

test('a crash between the record and the file leaves the token of the file to adopt', async (t) => {
  const { sink, path } = await publishedSink(t);
  await stateFileIn(dirname(path)).record(credentialOf(3), t);
  assert.equal((await sink.recover({ signal: t.signal }))?.fingerprint, current.fingerprint);
});

test('a token that cannot be put on record does not get into the file', async (t) => {
  const { sink, path } = await publishedSink(t);
  const record = stateFileIn(dirname(path)).path;
  await rm(record);
  await mkdir(record);
  const error: unknown = await sink.write(credentialOf(3), { signal: t.signal }).catch((reason: unknown) => reason);
  assert.ok(error instanceof SinkError);
  assert.ok(error.message.startsWith(`cannot write ${record}: `), error.message);
  assert.equal(await readFile(path, 'utf8'), tokenOf(2));
  assert.deepEqual(
    (await readdir(dirname(path))).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('a token that no record knows is not adopted', async (t) => {
  const { sink, path } = await publishedSink(t);
  await writeFile(path, tokenOf(9));
  assert.equal(await sink.recover({ signal: t.signal }), undefined);
});

test('a write that is ended by its signal rejects with the reason and changes nothing', async (t) => {
  const { sink, path } = await publishedSink(t);
  const reason = new Error('stopped');
  await assert.rejects(sink.write(old, { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const writing = sink.write(old, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(writing, reason);
  assert.equal(await readFile(path, 'utf8'), tokenOf(2));
});

test('no error of a sink carries the token', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'token'));
  const blocked = join(directory, 'file', 'token');
  await writeFile(join(directory, 'file'), '');
  for (const path of [join(directory, 'token'), blocked, join(directory, 'x'.repeat(255))]) {
    const error: unknown = await fileSink(path, 'token', stateFileIn(directory))
      .write(current, { signal: t.signal })
      .catch((reason: unknown) => reason);
    assert.ok(error instanceof SinkError);
    assert.ok(error.cause instanceof Error);
    assert.ok(!show(error, { depth: 9, showHidden: true }).includes(tokenOf(2)));
  }
});
