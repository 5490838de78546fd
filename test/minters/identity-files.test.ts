import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { readOidcToken, readSecret, requireProfiles } from '../../src/minters/identity-files.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

test('a client secret is what its file holds, without the white space around it', async (t) => {
  const file = join(await temporaryDirectory(t), 'secret');
  for (const text of ['dose0123', 'dose0123\n', ' dose0123\r\n\n']) {
    await writeFile(file, text);
    assert.equal(readSecret(file).reveal(), 'dose0123');
  }
});

test('a file that holds no client secret is a failure of authentication, which says what to do about it', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'secret');
  for (const [text, message, remedy] of [
    ['', /secret is empty$/, /^put the OAuth secret/],
    [' \n', /secret is empty$/, /^put the OAuth secret/],
    ['one\rtwo', /secret has more than one line of text$/, /^put only the OAuth secret/],
    ['"dose0123"\n', /secret has quotes around the secret$/, /^put only the OAuth secret .* without quotes$/],
  ] as const) {
    await writeFile(file, text);
    assert.throws(() => readSecret(file), { failure: 'auth', message, remedy });
  }
  const remedy = /^set DATABRICKS_CLIENT_SECRET_FILE to the path of a file that the user the sidecar runs as can read$/;
  const away = join(directory, 'away');
  assert.throws(() => readSecret(away), { failure: 'auth', message: /away cannot be read \(ENOENT\)$/, remedy });
  assert.throws(() => readSecret(directory), { failure: 'auth', message: /cannot be read \(EISDIR\)$/, remedy });
});

test('an OIDC token is known as a secret, as others would repeat it: without the white space around it', async (t) => {
  const file = join(await temporaryDirectory(t), 'token');
  await writeFile(file, 'header.claims.signature\n');
  assert.deepEqual(
    readOidcToken(file).map((secret) => secret.reveal()),
    ['header.claims.signature'],
  );
});

test('of an OIDC token file that is empty or cannot be read the CLI itself says what is wrong', async (t) => {
  const directory = await temporaryDirectory(t);
  const [empty, folder] = [join(directory, 'empty'), join(directory, 'folder')];
  await writeFile(empty, '\n');
  await mkdir(folder);
  for (const file of [empty, folder, join(directory, 'away')]) assert.deepEqual(readOidcToken(file), []);
});

test('a pipe in the place of the OIDC token file is refused, and not left to the CLI, which would wait for it', async (t) => {
  const pipe = join(await temporaryDirectory(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  assert.throws(() => readOidcToken(pipe), { failure: 'auth', message: `${pipe} is a pipe or a device, not a file` });
});

test('a file of gigabytes in the place of a secret or a token is refused before it fills the memory', async (t) => {
  const file = join(await temporaryDirectory(t), 'large');
  await writeFile(file, '');
  await truncate(file, 3 * 1024 ** 3); // it has holes only, and takes no room
  for (const read of [readSecret, readOidcToken]) {
    assert.throws(() => read(file), { failure: 'auth', message: `${file} is larger than any token or secret` });
  }
});

test('no file is left open, whatever is in its place', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'secret');
  await writeFile(file, 'dose0123');
  const openFiles = (): number => readdirSync('/dev/fd').length;
  const before = openFiles();
  for (let count = 0; count < 20; count += 1) {
    readSecret(file);
    assert.throws(() => readSecret(directory));
    assert.throws(() => readSecret('/dev/null'));
  }
  assert.ok(openFiles() < before + 10, `${openFiles()} instead of ${before}`);
});

test('a file of profiles that is missing is told as such: the CLI says only that it finds no identity', async (t) => {
  const directory = await temporaryDirectory(t);
  const [file, away] = [join(directory, 'databrickscfg'), join(directory, 'away')];
  await writeFile(file, '');
  requireProfiles(file);
  requireProfiles(join(file, 'below')); // of what it cannot open, the CLI says so
  const message = `the file of the profile, ${away}, does not exist`;
  assert.throws(() => requireProfiles(away), { failure: 'auth', message, remedy: /^set DATABRICKS_CONFIG_FILE to/ });
});
