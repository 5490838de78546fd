import assert from 'node:assert/strict';
import fs, { chmodSync, fchmodSync, fstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { temporaryDirectory, undoAfter } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { systemError } from '../support/system-error.ts';

const NOBODY = 65_534;

// Put in its place before that is loaded, which takes the functions as they are then.
let afterSync: ((file: number) => void) | undefined;
/** What is said to whoever syncs a directory. */
let directorySync: NodeJS.ErrnoException | null = null;
/** What was not yet written when the last fsync began. */
let unwritten = 0;
let writing = 0;
/** As a Windows share does it: a mode that files have, and what is said to whoever would change it. */
let share: { readonly mode: number; readonly answer: NodeJS.ErrnoException | null } | undefined;
/** Of the last temporary, as soon as it was there. */
let modeAtFirst: number | undefined;
const { fchmod, fsync, open, writeFile: write } = fs;
fs.open = ((...args: [path: string, flags: number | string, ...unknown[]]) => {
  const done = args.pop() as (error: unknown, file: number) => void;
  const opened = (error: unknown, file: number): void => {
    if (share !== undefined && args[1] === 'wx') fchmodSync(file, share.mode);
    if (args[1] === 'wx') modeAtFirst = fstatSync(file).mode & 0o7777;
    done(error, file);
  };
  (open as (...all: unknown[]) => void)(...args, opened);
}) as typeof open;
fs.fchmod = ((file, mode, done) =>
  fchmod(file, share?.mode ?? mode, (error) => done(share === undefined ? error : share.answer))) as typeof fchmod;
fs.fsync = ((file, done) => {
  unwritten = writing;
  fsync(file, (error) => {
    afterSync?.(file);
    done(fstatSync(file).isDirectory() ? directorySync : error);
  });
}) as typeof fsync;
fs.writeFile = ((file: number, content: string, done: (error: unknown) => void) => {
  writing += 1;
  write(file, content, (error) => {
    writing -= 1;
    done(error);
  });
}) as typeof write;
const { probeDirectory, probeReplacement, replaceFile, sweep } = await import('../../src/sinks/atomic-write.ts');

test('a file gets exactly its mode, whatever the umask', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  for (const mode of [0o640, 0o600, 0o444]) {
    await replaceFile(path, 'text', mode, t);
    assert.equal((await stat(path)).mode & 0o7777, mode);
  }
});

test('nobody who may not read the file can open it before it has its mode, whatever the umask', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  await replaceFile(path, 'text', 0o600, t);
  assert.equal(modeAtFirst, 0o600);
});

for (const [how, answer] of [
  ['without a word', null],
  ['and says that nobody may change it', systemError('EPERM')],
] as const) {
  test(`where a file system gives another mode ${how}, nothing is put, nor does a probe go well`, async (t) => {
    const directory = await temporaryDirectory(t);
    const path = join(directory, 'token');
    await writeFile(path, 'old');
    t.after(() => (share = undefined));
    const refused = {
      failure: 'refused',
      message: /token would have the mode 0755 instead of 0600/,
      remedy: /supports file modes/,
    };
    share = { mode: 0o755, answer };
    await assert.rejects(replaceFile(path, 'never seen', 0o600, t), refused);
    await assert.rejects(probeDirectory(path, 0o600), refused);
    await assert.rejects(probeReplacement(path, 0o600), refused);
    assert.deepEqual(await readdir(directory), ['token']);
    assert.equal(await readFile(path, 'utf8'), 'old');
    // Mounted so that all files have the mode that is wanted, it will do.
    share = { mode: 0o600, answer };
    await probeReplacement(path, 0o600);
    await replaceFile(path, 'new', 0o600, t);
    assert.equal(await readFile(path, 'utf8'), 'new');
  });
}

test('what else is wrong with a change of the mode is told as it is', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  t.after(() => (share = undefined));
  share = { mode: 0o755, answer: systemError('EIO') };
  await assert.rejects(replaceFile(path, 'text', 0o600, t), { code: 'EIO' });
});

test('a symbolic link at the target is replaced, never written through', async (t) => {
  const directory = await temporaryDirectory(t);
  const elsewhere = join(directory, 'elsewhere');
  await writeFile(elsewhere, 'precious');
  await symlink(elsewhere, join(directory, 'token'));
  await replaceFile(join(directory, 'token'), 'text', 0o600, t);
  assert.equal(await readFile(elsewhere, 'utf8'), 'precious');
  assert.equal(await readFile(join(directory, 'token'), 'utf8'), 'text');
});

test('a failed replacement rejects with what the system said and leaves no temporary', async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'token'));
  await assert.rejects(replaceFile(join(directory, 'token'), 'text', 0o600, t), { code: 'EISDIR' });
  await assert.rejects(replaceFile(join(directory, 'missing', 'token'), 'text', 0o600, t), { code: 'ENOENT' });
  assert.deepEqual(await readdir(directory), ['token']);
});

test('a temporary in a directory that was closed meanwhile goes with the next replacement', async (t) => {
  const [directory, elsewhere] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  const path = join(directory, 'token');
  await becomeNobody(t, directory, elsewhere);
  await replaceFile(path, 'old', 0o600, t);
  await failInClosedDirectory(t, path);
  assert.equal((await readdir(directory)).length, 2);

  await chmod(directory, 0o700);
  await replaceFile(join(elsewhere, 'token'), 'text', 0o600, t);
  assert.equal((await readdir(directory)).length, 2, 'a disk that hangs would hold up the others');
  await replaceFile(path, 'new', 0o600, t);
  assert.deepEqual(await readdir(directory), ['token']);
  assert.equal(await readFile(path, 'utf8'), 'new');
});

test('a temporary that its own process could not remove goes with a sweep, too', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'token');
  await becomeNobody(t, directory);
  await failInClosedDirectory(t, path);
  await chmod(directory, 0o700);
  await sweep(path);
  assert.deepEqual(await readdir(directory), []);
});

test('an abort before the rename keeps the old file and leaves no temporary', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'token');
  await replaceFile(path, 'old', 0o600, t);
  const reason = new Error('stopped');

  await assert.rejects(replaceFile(path, 'new', 0o600, { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const replacing = replaceFile(path, 'new', 0o600, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(replacing, reason);

  assert.deepEqual(await readdir(directory), ['token']);
  assert.equal(await readFile(path, 'utf8'), 'old');
});

test('what must be done first is done beside the writing, and before readers see any of it', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'token');
  await replaceFile(path, 'old', 0o600, t);
  const { promise, resolve } = Promise.withResolvers<void>();
  const replacing = replaceFile(path, 'new', 0o600, { signal: t.signal, first: () => promise });
  const written = async (): Promise<boolean> => {
    const temporary = (await readdir(directory)).find((name) => name.endsWith('.tmp'));
    return temporary !== undefined && (await readFile(join(directory, temporary), 'utf8')) === 'new';
  };
  await eventually('the new content is written', written);
  assert.equal(await readFile(path, 'utf8'), 'old');
  resolve();
  await replacing;
  assert.equal(await readFile(path, 'utf8'), 'new');
});

test('where what must be done first fails, that is the error, the old file stays, and no temporary is left', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'token');
  await replaceFile(path, 'old', 0o600, t);
  const reason = new Error('not done');
  await assert.rejects(
    replaceFile(path, 'new', 0o600, { signal: t.signal, first: () => Promise.reject(reason) }),
    reason,
  );
  assert.deepEqual(await readdir(directory), ['token']);
  assert.equal(await readFile(path, 'utf8'), 'old');
});

test('a file and its directory are on the disk, in this order, before the end is told', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  await replaceFile(path, 'old', 0o600, t);
  const synced: string[] = [];
  whenSynced(t, (file) => {
    assert.equal(unwritten, 0, 'all of it');
    synced.push(
      `${fstatSync(file).isDirectory() ? 'the directory' : 'a file'} while readers get the ${readFileSync(path, 'utf8')} one`,
    );
  });
  await replaceFile(path, 'new', 0o600, t);
  assert.deepEqual(synced, ['a file while readers get the old one', 'the directory while readers get the new one']);
});

test('a file system that knows no fsync of a directory takes a file all the same, and one that fails at it is not believed', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  t.after(() => (directorySync = null));
  for (const code of ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']) {
    directorySync = Object.assign(new Error(code), { code, errno: -1 });
    await replaceFile(path, code, 0o600, t);
    assert.equal(await readFile(path, 'utf8'), code);
  }
  directorySync = systemError('EIO');
  await assert.rejects(replaceFile(path, 'new', 0o600, t), directorySync);
});

test('no file and no directory is left open, whatever becomes of a replacement', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'token');
  await mkdir(join(directory, 'directory'));
  const openFiles = (): number => readdirSync('/dev/fd').length;
  const before = openFiles();
  for (let count = 0; count < 20; count += 1) {
    await replaceFile(path, 'text', 0o600, t);
    await assert.rejects(replaceFile(join(directory, 'directory'), 'text', 0o600, t), { code: 'EISDIR' });
    await probeReplacement(path, 0o600);
    await sweep(path);
  }
  assert.ok(openFiles() < before + 10, `${openFiles()} instead of ${before}`);
});

test('each temporary has a name that a sweep knows, whatever chance says', async (t) => {
  const directory = await temporaryDirectory(t);
  let random = 0;
  t.mock.method(Math, 'random', () => random);
  for (random of [0, 1e-9, 0.5, 1 - 2 ** -53]) {
    const names: string[] = [];
    const first = async (): Promise<void> => void names.push(...(await readdir(directory)));
    await replaceFile(join(directory, 'token'), 'text', 0o600, { signal: t.signal, first });
    assert.match(names.find((name) => name.endsWith('.tmp')) ?? '', /^\.token\.[0-9a-f]{16}\.tmp$/);
  }
});

test('what cannot be removed keeps no other left-over', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const digit of '0123') {
    const path = join(directory, `.token.${digit.repeat(16)}.tmp`);
    if (digit === '3') await writeFile(path, '');
    else await mkdir(path); // which is in nobody's power to unlink
  }
  await sweep(join(directory, 'token'));
  assert.deepEqual(
    (await readdir(directory)).toSorted(),
    ['0', '1', '2'].map((digit) => `.token.${digit.repeat(16)}.tmp`),
  );
});

test('a temporary of somebody who never ended is in nobody’s way', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  // Neither has ended while the other one begins.
  const [first, second] = [replaceFile(path, 'one', 0o600, t), replaceFile(path, 'two', 0o600, t)];
  await Promise.all([first, second]);
  assert.match(await readFile(path, 'utf8'), /^(?:one|two)$/);
});

test('a sweep removes the left-overs of exactly its target', async (t) => {
  const directory = await temporaryDirectory(t);
  const others = [
    '.token.0123456789abcdef',
    '.token.0123456789abcdef.tmp.bak',
    '.token.0123456789abcdeg.tmp',
    '.token.json.0123456789abcdef.tmp',
    '.token2.0123456789abcdef.tmp',
    '.other.0123456789abcdef.tmp',
    'token',
    'token.0123456789abcdef.tmp',
  ];
  const leftOvers = ['.token.0123456789abcdef.tmp', '.token.fedcba9876543210.tmp'];
  await Promise.all([...others, ...leftOvers].map((name) => writeFile(join(directory, name), '')));
  await sweep(join(directory, 'token'));
  assert.deepEqual((await readdir(directory)).toSorted(), others.toSorted());
});

test('left-overs without number hold up no start: a sweep tries to remove a thousand of them', async (t) => {
  const directory = await temporaryDirectory(t);
  for (let count = 0; count < 1_100; count += 1) {
    writeFileSync(join(directory, `.token.${count.toString(16).padStart(16, '0')}.tmp`), '');
  }
  await sweep(join(directory, 'token'));
  assert.equal((await readdir(directory)).length, 100);
});

test('a sweep leaves alone what this process is writing, such as the record that the files of a credential share', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  await replaceFile(path, 'whole', 0o600, { signal: t.signal, first: () => sweep(path) });
  assert.equal(await readFile(path, 'utf8'), 'whole');
});

test('a sweep leaves a probe alone, which would else fail where a reload meets a start', async (t) => {
  const path = join(await temporaryDirectory(t), 'token');
  const sweeping = async (): Promise<void> => {
    for (let count = 0; count < 50; count += 1) await sweep(path);
  };
  await Promise.all([sweeping(), ...Array.from({ length: 100 }, async () => await probeDirectory(path, 0o600))]);
});

test('a probe leaves nothing behind', async (t) => {
  const directory = await temporaryDirectory(t);
  await probeReplacement(join(directory, 'token'), 0o600);
  assert.deepEqual(await readdir(directory), []);
});

/** Root may write anywhere, so it tries as nobody. */
async function becomeNobody(t: TestContext, ...owned: readonly string[]): Promise<void> {
  if (process.geteuid!() !== 0) return;
  for (const directory of owned) await chown(directory, NOBODY, NOBODY);
  process.seteuid!(NOBODY);
  undoAfter(t, () => process.seteuid!(0));
}

/** Leaves the directory closed, with a temporary in it. */
async function failInClosedDirectory(t: TestContext, path: string): Promise<void> {
  const closing = whenSynced(t, () => chmodSync(dirname(path), 0o500));
  await assert.rejects(replaceFile(path, 'never seen', 0o600, t), { code: 'EACCES' });
  closing.restore();
}

/** Calls back after each fsync until the end of the test, of files and directories alike. */
function whenSynced(t: TestContext, onSync: (file: number) => void) {
  afterSync = onSync;
  const restore = (): void => {
    afterSync = undefined;
  };
  t.after(restore);
  return { restore };
}
