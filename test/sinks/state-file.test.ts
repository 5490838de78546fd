import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { StateFile } from '../../src/sinks/state-file.ts';
import { credentialOf, identity, jwtWith, stateFileIn, tokenOf } from '../support/sink-credentials.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { current, old, problemOf, publishedSink } from './published.ts';

test('a later process recognises the new token and the one before it, with all their times', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = stateFileIn(directory);
  await state.record(credentialOf(1), t);
  await state.record(credentialOf(2), t);

  for (const number of [1, 2]) {
    const found = await stateFileIn(directory).match(tokenOf(number));
    assert.deepEqual({ ...found, token: found?.token.reveal() }, { ...credentialOf(number), token: tokenOf(number) });
  }
  assert.equal(await stateFileIn(directory).match(tokenOf(3)), undefined);
});

test('whom an adopted token is for is known to a later process, too, where the token says so', async (t) => {
  const directory = await temporaryDirectory(t);
  const token = jwtWith({ sub: 'me', exp: credentialOf(1).service.expiresAt / 1_000 });
  await stateFileIn(directory).record(credentialOf(1, token), t);
  assert.equal((await stateFileIn(directory).match(token))?.subject, 'me');
});

test('a reading of the monotonic clock is of no use once the machine has been started anew, or if nobody knows', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const boot of ['this one', undefined]) {
    await new StateFile({ directory, name: 'backstage', identity, boot }).record(credentialOf(1), t);
    for (const later of ['the next one', undefined]) {
      const found = await new StateFile({ directory, name: 'backstage', identity, boot: later }).match(tokenOf(1));
      assert.equal(found?.fingerprint, credentialOf(1).fingerprint);
      assert.equal('monotonicAt' in found, false);
    }
  }
});

test('the file is private, names the identity, and holds no token', async (t) => {
  const directory = await temporaryDirectory(t);
  await stateFileIn(directory).record(credentialOf(1), t);
  const path = join(directory, '.backstage.state.json');
  const { local, service, fingerprint } = credentialOf(1);
  assert.deepEqual(JSON.parse(await readFile(path, 'utf8')), {
    identity,
    tokens: [{ sha256: fingerprint, local, service, monotonic: { boot: 'this one', at: 0 } }],
  });
  assert.equal((await stat(path)).mode & 0o7777, 0o600);
});

test('what is already on record is not written again, and records at the same time are all kept', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = stateFileIn(directory);
  await Promise.all([1, 2, 3, 3].map((number) => state.record(credentialOf(number), t)));
  const { tokens } = JSON.parse(await readFile(state.path, 'utf8')) as { tokens: { sha256: string }[] };
  assert.deepEqual(
    tokens.map(({ sha256 }) => sha256),
    [3, 2, 1].map((number) => credentialOf(number).fingerprint),
  );

  const { ino } = await stat(state.path);
  await state.record(credentialOf(3), t);
  assert.equal((await stat(state.path)).ino, ino);
});

test('of a token that is recorded again the later record counts', async (t) => {
  const directory = await temporaryDirectory(t);
  const { local } = credentialOf(2);
  await stateFileIn(directory).record(credentialOf(1), t);
  await stateFileIn(directory).record({ ...credentialOf(1), local }, t);
  assert.deepEqual((await stateFileIn(directory).match(tokenOf(1)))?.local, local);
});

test('a record that somebody deletes is made again, with the tokens before', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = stateFileIn(directory);
  await state.record(credentialOf(1), t);
  await state.record(credentialOf(2), t);
  await rm(state.path);
  await state.record(credentialOf(2), t);
  assert.notEqual(await stateFileIn(directory).match(tokenOf(1)), undefined);
  assert.notEqual(await stateFileIn(directory).match(tokenOf(2)), undefined);
});

test('a token that several starts in a row did not get to replace stays on record', async (t) => {
  const directory = await temporaryDirectory(t);
  await stateFileIn(directory).record(credentialOf(1), t);
  // Each of these processes died between the record and the file.
  for (const number of [2, 3, 4]) await stateFileIn(directory).record(credentialOf(number), t);
  assert.notEqual(await stateFileIn(directory).match(tokenOf(1)), undefined);
});

test('the record does not grow for ever', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = stateFileIn(directory);
  for (let number = 0; number < 20; number += 1) await state.record(credentialOf(number), t);
  const { tokens } = JSON.parse(await readFile(state.path, 'utf8')) as { tokens: unknown[] };
  assert.equal(tokens.length, 8);
});

test('tokens of another workspace, resource or principal are not recognised, and their record is replaced', async (t) => {
  const directory = await temporaryDirectory(t);
  await stateFileIn(directory).record(credentialOf(1), t);
  for (const part of ['workspace', 'resource', 'principal']) {
    const other = new StateFile({
      directory,
      name: 'backstage',
      identity: { ...identity, [part]: 'other' },
      boot: undefined,
    });
    assert.equal(await other.match(tokenOf(1)), undefined, part);
    await other.record(credentialOf(2), t);
    assert.notEqual(await other.match(tokenOf(2)), undefined, part);
    assert.equal(await stateFileIn(directory).match(tokenOf(2)), undefined, part);
  }
});

test('a broken record is as good as none, and the next one replaces it', async (t) => {
  const directory = await temporaryDirectory(t);
  const { path } = stateFileIn(directory);
  const { local, service, fingerprint: sha256 } = credentialOf(1);
  const long = 'f'.repeat(65_100); // with another entry the record would be too long to be read again
  const broken: readonly unknown[] = [
    null,
    [],
    {},
    { identity },
    { identity, tokens: {} },
    { identity: null, tokens: [] },
    { tokens: [{ sha256, local, service }] },
    ...[
      null,
      [],
      sha256,
      { local, service },
      { sha256, local },
      { sha256, service },
      { sha256: [sha256], local, service },
      { sha256: long, local, service },
      { sha256, local: { issuedAt: `${local.issuedAt}`, expiresAt: local.expiresAt }, service },
      { sha256, local: { issuedAt: '2026-11-23', expiresAt: '2026-11-24' }, service },
      { sha256, local: { issuedAt: local.issuedAt, expiresAt: local.issuedAt }, service },
      { sha256, local: { issuedAt: local.expiresAt, expiresAt: local.issuedAt }, service },
      { sha256, local, service: { issuedAt: 0, expiresAt: 1e300 } },
      { sha256, local, service, monotonic: null },
      { sha256, local, service, monotonic: { boot: 'this one' } },
      { sha256, local, service, monotonic: { boot: long, at: 0 } },
      { sha256, local, service, monotonic: { boot: 1, at: 0 } },
      { sha256, local, service, monotonic: { boot: null, at: 0 } },
    ].map((entry) => ({ identity, tokens: [entry] })),
  ];
  const oversized = JSON.stringify({ identity, tokens: [{ sha256, local, service }], padding: 'x'.repeat(70_000) });
  const deep = `{"identity":${JSON.stringify(identity)},"tokens":[{"sha256":${'['.repeat(20_000)}${']'.repeat(20_000)}}]}`;
  const texts = ['', '{', '\0\0\0', 'null', oversized, deep, ...broken.map((value) => JSON.stringify(value))];
  for (const text of texts) {
    await writeFile(path, text);
    assert.equal(await stateFileIn(directory).match(tokenOf(1)), undefined, text.slice(0, 200));
    await stateFileIn(directory).record(credentialOf(1), t);
    assert.notEqual(await stateFileIn(directory).match(tokenOf(1)), undefined, text.slice(0, 200));
  }
});

test('what somebody adds to an entry is not written again, wherever and however deep it is', async (t) => {
  const directory = await temporaryDirectory(t);
  const { path } = stateFileIn(directory);
  const { local, service, fingerprint: sha256 } = credentialOf(1);
  const deep = `"deep":${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  const plain = JSON.stringify({ sha256, local, service, monotonic: { boot: 'b', at: 1 } });
  for (const at of ['{"sha256"', '{"issuedAt"', '{"boot"']) {
    const entry = plain.replace(at, at.replace('{', `{${deep},`));
    await writeFile(path, `{"identity":${JSON.stringify(identity)},"tokens":[${entry}]}`);
    await stateFileIn(directory).record(credentialOf(2), t);
    assert.notEqual(await stateFileIn(directory).match(tokenOf(1)), undefined);
    assert.doesNotMatch(await readFile(path, 'utf8'), /deep/);
  }
});

test('what no service gives as a token is not recognised, whatever the record says', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const forged of ['two\nlines', 'a blank', 'nul\0', '\u202eturned']) {
    await stateFileIn(directory).record(credentialOf(1, forged), t);
    assert.equal(await stateFileIn(directory).match(forged), undefined, JSON.stringify(forged));
  }
});

test('whoever writes the record cannot make a token live longer than the service has signed', async (t) => {
  const state = stateFileIn(await temporaryDirectory(t));
  const forged = jwtWith({ exp: credentialOf(1).service.expiresAt / 1_000 - 1 });
  await state.record(credentialOf(1, forged), t);
  assert.equal(await state.match(forged), undefined);
});

test('a symbolic link in its place is neither read nor written through', async (t) => {
  const directory = await temporaryDirectory(t);
  const elsewhere = join(await temporaryDirectory(t), 'elsewhere');
  await stateFileIn(directory).record(credentialOf(1), t);
  const { path } = stateFileIn(directory);
  const text = await readFile(path, 'utf8');
  await writeFile(elsewhere, text);
  await rm(path);
  await symlink(elsewhere, path);

  assert.equal(await stateFileIn(directory).match(tokenOf(1)), undefined);
  await stateFileIn(directory).record(credentialOf(2), t);
  assert.equal(await readFile(elsewhere, 'utf8'), text);
});

test('a record that cannot be written is an error that names it, and does not stop the next one', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = stateFileIn(directory);
  await mkdir(state.path);
  const records = await Promise.allSettled([1, 2].map((number) => state.record(credentialOf(number), t)));
  for (const { status, reason } of records as PromiseRejectedResult[]) {
    assert.equal(status, 'rejected');
    assert.ok(reason instanceof SinkError);
    assert.equal(reason.failure, 'refused');
    assert.match(reason.message, /^cannot write .+\/\.backstage\.state\.json: .* \(EISDIR\)$/);
  }
  await rm(state.path, { recursive: true });
  await state.record(credentialOf(3), t);
  assert.deepEqual(await readdir(directory), ['.backstage.state.json']);
});

for (const [what, damage] of Object.entries({
  'somebody has deleted': async (path: string) => await rm(path),
  'is torn': async (path: string) => await writeFile(path, (await readFile(path, 'utf8')).slice(0, -9)),
  'knows older tokens only': async (path: string, t: TestContext) => {
    await rm(path);
    await stateFileIn(dirname(path)).record(old, t);
  },
})) {
  test(`a record that ${what} is written again with the file that it is about, which holds its token meanwhile`, async (t) => {
    const { path, sink } = await publishedSink(t);
    const state = stateFileIn(dirname(path));
    await damage(state.path, t);
    assert.deepEqual(await sink.inspect([current], { signal: t.signal }), { state: 'marred', credential: current });
    await sink.write(current, { signal: t.signal });
    assert.deepEqual(await sink.inspect([current], { signal: t.signal }), { state: 'holds', credential: current });
    for (const { token } of [old, current]) assert.notEqual(await state.match(token.reveal()), undefined);
  });
}

test('a directory in the place of the record is refused at the start, and named when it is put there later', async (t) => {
  const { path, sink } = await publishedSink(t);
  const record = stateFileIn(dirname(path)).path;
  await rm(record);
  await mkdir(record);
  const refused = {
    failure: 'refused',
    message: new RegExp(`^${record} is a directory`),
    remedy: /^remove the directory/,
  };
  await assert.rejects(sink.prepare({ signal: t.signal }), refused);
  await assert.rejects(sink.examine({ signal: t.signal }), refused);
  assert.equal(await problemOf(sink, t), undefined, 'readers have their token');
  await assert.rejects(sink.write(old, { signal: t.signal }), {
    failure: 'refused',
    message: new RegExp(`^cannot write ${record}: .* \\(EISDIR\\)$`),
    remedy: /^remove the directory/,
  });
});
