import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, realpath, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Clock } from '../../src/credential/ports.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { watchContent, type WatchOptions } from '../../src/platform/content-changes.ts';
import { FakeClock } from '../support/fake-clock.ts';

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'content-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** The look from time to time, which would find any change, comes after the end of the test. */
const withoutLooks: Clock = { ...clock, sleep: (ms, options) => clock.sleep(ms > 1_000 ? 60_000 : ms, options) };

/** Tells of changes until the test ends; `next` settles at the next one. */
function follow(
  t: TestContext,
  path: string,
  {
    dealt = Promise.resolve(),
    ...more
  }: Partial<Pick<WatchOptions, 'clock' | 'isOutdated' | 'onSame'>> & { readonly dealt?: Promise<void> } = {},
) {
  const stop = new AbortController();
  let count = 0;
  let changed = Promise.withResolvers<void>();
  const onChange = async (): Promise<void> => {
    count += 1;
    changed.resolve();
    changed = Promise.withResolvers<void>();
    await dealt;
  };
  const watching = watchContent(path, onChange, { signal: stop.signal, clock: withoutLooks, ...more });
  t.after(async () => {
    stop.abort();
    await watching;
  });
  const listeners = (): number => getEventListeners(stop.signal, 'abort').length;
  return { next: async () => await changed.promise, count: () => count, listeners };
}

/** The way the kubelet updates a ConfigMap or Secret volume: a new folder, and a link that is renamed over the old one. */
function swapVolume(directory: string, version: string, content: string): void {
  const folder = join(directory, `..${version}`);
  writeIn(folder, content);
  symlinkSync(`..${version}`, join(directory, '..data_tmp'));
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
}

function writeIn(directory: string, content: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'config.yaml'), content);
}

test('what has changed between the first reading and the watch is told at once', { timeout: 30_000 }, async (t) => {
  const path = join(directoryFor(t), 'config.yaml');
  writeFileSync(path, 'two');
  const { next, count } = follow(t, path, { isOutdated: async () => await Promise.resolve(true) });
  await next();
  writeFileSync(path, 'three');
  await next();
  assert.equal(count(), 2);
});

test('a file that is replaced or edited in place is noticed', { timeout: 30_000 }, async (t) => {
  const path = join(directoryFor(t), 'config.yaml');
  writeFileSync(path, 'one');
  const { next } = follow(t, path);
  const edited = next();
  writeFileSync(path, 'two');
  await edited;
  const replaced = next();
  writeFileSync(`${path}.new`, 'three');
  renameSync(`${path}.new`, path);
  await replaced;
});

test('the swap of the link in a ConfigMap volume is noticed at once', { timeout: 30_000 }, async (t) => {
  const directory = directoryFor(t);
  swapVolume(directory, 'first', 'one');
  symlinkSync('..data/config.yaml', join(directory, 'config.yaml'));
  const { next } = follow(t, join(directory, 'config.yaml'));
  for (const version of ['second', 'third']) {
    const swapped = next();
    swapVolume(directory, version, version);
    await swapped;
  }
});

for (const [what, change] of Object.entries({
  'is a symbolic link': (directory: string) => writeIn(directory, 'three'),
  'is removed and made again': (directory: string) => {
    rmSync(directory, { recursive: true });
    writeIn(directory, 'three');
  },
})) {
  test(`changes of a file whose directory ${what} are noticed at once`, { timeout: 30_000 }, async (t) => {
    const directory = join(directoryFor(t), 'real');
    writeIn(directory, 'one');
    symlinkSync('real', `${directory}.link`);
    const { next } = follow(t, join(what.endsWith('link') ? `${directory}.link` : directory, 'config.yaml'));
    // Only with the first one it is certain that there is a watch.
    for (const act of [() => writeIn(directory, 'two'), () => change(directory), () => writeIn(directory, 'four')]) {
      const changed = next();
      act();
      await changed;
    }
  });
}

test(
  'a file that is touched without a change, or is away for a moment, is no change',
  { timeout: 30_000 },
  async (t) => {
    const path = join(directoryFor(t), 'config.yaml');
    writeFileSync(path, 'one');
    const { next, count } = follow(t, path);
    writeFileSync(path, 'one');
    rmSync(path);
    writeFileSync(path, 'one');
    const changed = next();
    writeFileSync(path, 'two');
    await changed;
    assert.equal(count(), 1);
  },
);

test(
  'a file that stays away is a change after a few seconds, once, and so is its return as it was',
  { timeout: 30_000 },
  async (t) => {
    const path = join(directoryFor(t), 'config.yaml');
    writeFileSync(path, 'one');
    const time = new FakeClock();
    const { count } = follow(t, path, { clock: time });
    await time.advance(20_000);
    rmSync(path);
    await time.advance(4_900);
    assert.equal(count(), 0, 'it may be about to be replaced');
    await time.advance(10_300);
    assert.equal(count(), 1);
    await time.advance(60_000);
    assert.equal(count(), 1, 'it is told of again');
    writeFileSync(path, 'one');
    await time.advance(10_300);
    assert.equal(count(), 2);
    rmSync(path);
    await time.advance(4_900);
    assert.equal(count(), 2, 'it may be about to be replaced again');
  },
);

test(
  'while a file stays as it is, that is told about every ten seconds, and is no change',
  { timeout: 30_000 },
  async (t) => {
    const path = join(directoryFor(t), 'config.yaml');
    writeFileSync(path, 'one');
    const time = new FakeClock();
    let same = 0;
    const onSame = async (): Promise<void> => {
      same += 1;
      await Promise.resolve();
    };
    const { count } = follow(t, path, { clock: time, onSame });
    await time.advance(9_900);
    assert.equal(same, 0);
    await time.advance(60_000);
    assert.ok(same >= 3 && same <= 6, `${same} times`);
    assert.equal(count(), 0);
  },
);

test(
  'a file that nobody touches is looked at every five seconds, and not more often',
  { timeout: 30_000 },
  async (t) => {
    const path = join(directoryFor(t), 'config.yaml');
    writeFileSync(path, 'one');
    const time = new FakeClock();
    let looks = 0;
    const sleep: Clock['sleep'] = async (ms, options) => {
      if (ms < 1_000) looks += 1; // until the file is quiet, before each look
      await time.sleep(ms, options);
    };
    follow(t, path, { clock: { now: () => time.now(), monotonic: () => time.monotonic(), sleep } });
    await time.advance(60_000);
    assert.ok(looks >= 11 && looks < 20, `${looks} looks`);
  },
);

test('a change while the one before is dealt with is told when that is done', { timeout: 30_000 }, async (t) => {
  const path = join(directoryFor(t), 'config.yaml');
  writeFileSync(path, 'one');
  const [time, { promise: dealt, resolve }] = [new FakeClock(), Promise.withResolvers<void>()];
  const { count } = follow(t, path, { clock: time, dealt });
  for (const content of ['two', 'three']) {
    writeFileSync(path, content);
    await time.advance(10_300);
    assert.equal(count(), 1, content);
  }
  resolve();
  await time.advance(10_300);
  assert.equal(count(), 2);
});

test('a file that is not there yet is a change when it comes', { timeout: 30_000 }, async (t) => {
  const directory = join(directoryFor(t), 'made');
  const { next } = follow(t, join(directory, 'config.yaml'));
  const came = next();
  await assert.rejects(promisify(realpath)(directory), { code: 'ENOENT' }); // by now the watch has looked for it, too
  writeIn(directory, 'one');
  await came;
});

test('a file that is written in pieces is one change, when nothing more is written', { timeout: 30_000 }, async (t) => {
  const path = join(directoryFor(t), 'config.yaml');
  writeFileSync(path, 'one');
  const quiet = Promise.withResolvers<void>();
  const waits = Promise.withResolvers<void>();
  const sleep: Clock['sleep'] = async (ms, options) => {
    if (ms > 1_000) return await withoutLooks.sleep(ms, options);
    waits.resolve();
    await quiet.promise;
  };
  const { next, count } = follow(t, path, { clock: { ...clock, sleep } });
  writeFileSync(path, 't');
  await waits.promise;
  assert.equal(count(), 0);
  const changed = next();
  writeFileSync(path, 'two');
  quiet.resolve();
  await changed;
});

test('however often a file is looked at, nothing piles up', { timeout: 30_000 }, async (t) => {
  const path = join(directoryFor(t), 'config.yaml');
  writeFileSync(path, 'one');
  const time = new FakeClock();
  const { listeners } = follow(t, path, { clock: time });
  await time.advance(60_000);
  const held = (): number => listeners() + time.sleepers + readdirSync('/dev/fd').length;
  const before = held();
  await time.advance(600_000);
  assert.ok(held() < before + 50, 'the watcher itself may have begun since');
});

test('what comes through a pipe is not looked at again', { timeout: 30_000 }, async (t) => {
  const path = join(directoryFor(t), 'config.yaml');
  execFileSync('mkfifo', [path]);
  const isOutdated = async (): Promise<boolean> => await Promise.reject(new Error('it was read again'));
  await watchContent(path, async () => assert.fail('it is told of'), { signal: t.signal, clock, isOutdated });
});

/** In a process of its own, which may not take all memory of the machine. */
const PROGRAM = `
  import { execFileSync } from 'node:child_process';
  import { renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
  import { systemClock as clock } from ${JSON.stringify(source('platform/clock.ts'))};
  import { watchContent } from ${JSON.stringify(source('platform/content-changes.ts'))};
  const [path] = process.argv.slice(1);
  let changed;
  void watchContent(path, async () => changed.resolve(), { signal: new AbortController().signal, clock });
  const step = async (name, change) => {
    changed = Promise.withResolvers();
    change();
    await changed.promise;
    console.log(name);
  };
  const replaceBy = (make) => {
    make(path + '.new');
    renameSync(path + '.new', path);
  };
  await step('too large', () => truncateSync(path, 1_500_000_000));
  await step('a pipe', () => replaceBy((other) => execFileSync('mkfifo', [other])));
  await step('small', () => replaceBy((other) => writeFileSync(other, 'two')));
  await step('without an end', () => replaceBy((other) => symlinkSync('/dev/zero', other)));
  process.exit();
`;

function source(file: string): string {
  return pathToFileURL(join(import.meta.dirname, '../../src', file)).href;
}

test(
  'a file that grows beyond measure, or a pipe or a device without an end in its place, is a change and not read',
  { timeout: 60_000 },
  async (t) => {
    const path = join(directoryFor(t), 'config.yaml');
    writeFileSync(path, 'one');
    const limited = 'ulimit -d 1000000; exec "$0" --input-type=module --eval "$1" "$2"';
    const { stdout } = await promisify(execFile)('sh', ['-c', limited, process.execPath, PROGRAM, path], {
      timeout: 50_000,
    });
    assert.equal(stdout, 'too large\na pipe\nsmall\nwithout an end\n');
  },
);
