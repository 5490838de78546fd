import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { chmod, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { readConfigFile } from '../../src/config/file.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configFile, problems } from './loading.ts';
import { shellWord } from '../../src/sinks/render.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { NOT_LINUX } from '../support/linux.ts';

const ALIAS_BOMB = `
a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
f: [*e, *e, *e, *e, *e, *e, *e, *e, *e]
`;

const CASES: readonly { readonly title: string; readonly content: string | Uint8Array; readonly expected: RegExp }[] = [
  { title: 'an empty file', content: '', expected: /is empty$/ },
  { title: 'a file of comments', content: '# nothing\n', expected: /is empty$/ },
  { title: 'an empty document', content: '---\n', expected: /is empty$/ },
  { title: 'a list', content: '- canary', expected: /must be a mapping with the key credentials$/ },
  { title: 'a text', content: 'canary', expected: /must be a mapping with the key credentials$/ },
  { title: 'several documents', content: 'a: 1\n---\nb: 2\n', expected: /must contain exactly one YAML document$/ },
  {
    title: 'broken YAML',
    content: 'log:\n  level: "canary\n',
    expected: /invalid YAML at line 3, column 1 \(deficient indentation\)$/,
  },
  { title: 'text that needs quotes', content: 'log: canary: x', expected: /invalid YAML at line 1, column \d+ / },
  { title: 'a tab for indentation', content: 'log:\n\tlevel: canary\n', expected: /invalid YAML at line 2, column 1 / },
  {
    title: 'a key that stands twice',
    content: 'log: {}\nlog: {canary: 1}\n',
    expected: /invalid YAML at line 2, column 1 \(duplicated mapping key\)$/,
  },
  {
    title: 'a template that was not filled in',
    content: 'log: {}\ncredentials:\n  - name: {{ .Values.canary }}\n',
    expected: /invalid YAML: a mapping or a list stands where a key should, as in {{ … }}$/,
  },
  {
    title: 'an unknown tag',
    content: 'log: !canary x\n',
    expected: /invalid YAML at line 1, column 6 \(unknown scalar tag\)$/,
  },
  {
    title: 'a tag of an unknown family',
    content: 'log: !canary!x y\n',
    expected: /invalid YAML at line 1, column \d+ \(undeclared tag handle\)$/,
  },
  {
    title: 'a tag that cannot be one',
    content: 'log: !<canary^> y\n',
    expected: /invalid YAML at line 1, column \d+ \(tag name cannot contain such characters\)$/,
  },
  {
    title: 'an alias without an anchor',
    content: 'log: *canary\n',
    expected: /invalid YAML at line 1, column 7 \(unidentified alias\)$/,
  },
  {
    title: 'an alias inside of what it stands for',
    content: 'log: &canary {a: *canary}\n',
    expected: /expand too far$/,
  },
  {
    title: 'a text to merge',
    content: 'log:\n  <<: canary\n',
    expected: /invalid YAML at line 2, column 3 \(cannot merge mappings; [a-z ]+\)$/,
  },
  {
    title: 'merging that multiplies',
    content: `a: &a {${Array.from({ length: 99 }, (_, i) => `k${i}: 1`).join(', ')}}\nb: [${'{<<: [*a, *a]}, '.repeat(99)}]\n`,
    expected: /invalid YAML at line 2, column \d+ \(merge keys exceeded /,
  },
  { title: 'aliases that multiply', content: ALIAS_BOMB, expected: /aliases that expand too far$/ },
  { title: 'bytes that are no text', content: Uint8Array.of(0x61, 0x3a, 0x20, 0xff), expected: /is not UTF-8 text$/ },
  { title: 'a huge file', content: `#${'x'.repeat(1024 * 1024)}`, expected: /is larger than 1048576 bytes$/ },
];

for (const { title, content, expected } of CASES) {
  test(`${title} is refused with the reason and without what stands there`, async (t) => {
    const path = await configFile(t, content);
    assert.throws(
      () => readConfigFile(path),
      (error) => {
        assert.ok(error instanceof Error);
        assert.ok(error.message.startsWith(`${path}: `));
        assert.match(error.message, expected);
        assert.doesNotMatch(inspect(error, { depth: 9 }), /canary/);
        return true;
      },
    );
  });
}

test('a file of the largest size is read', async (t) => {
  const path = await configFile(t, `a: 1 #${'x'.repeat(1024 * 1024 - 6)}`);
  assert.deepEqual(readConfigFile(path), { a: 1 });
});

test('what the shell gives this process to read is read, as of `<(…)` or `--config /dev/stdin`', () => {
  const module = JSON.stringify(import.meta.resolve('../../src/config/file.ts'));
  const script = `import(${module}).then(({ readConfigFile }) => console.log(JSON.stringify(readConfigFile(process.argv[1]))))`;
  for (const path of ['/dev/stdin', '/dev/fd/0', ...(NOT_LINUX === false ? ['/proc/self/fd/0'] : [])]) {
    const command = `(sleep 0.1; echo 'a: 1') | ${shellWord(process.execPath)} -e "$1" ${path}`;
    assert.equal(execFileSync('sh', ['-c', command, 'sh', script], { encoding: 'utf8' }), '{"a":1}\n');
  }
});

test('a byte order mark, JSON and aliases are understood', async (t) => {
  assert.deepEqual(readConfigFile(await configFile(t, '\uFEFF{"a": [1, true]}')), { a: [1, true] });
  assert.deepEqual(readConfigFile(await configFile(t, 'a: &x {b: 1}\nc: *x\n')), { a: { b: 1 }, c: { b: 1 } });
});

test('what several mappings share is merged into each, as kubectl and Helm read it', async (t) => {
  const content = 'a: &x {b: 1, c: {d: 2}}\ne: {<<: *x, b: 3}\nf:\n  g: 4\n  <<: [*x]\n';
  const { e, f } = readConfigFile(await configFile(t, content));
  assert.deepEqual({ e, f }, { e: { b: 3, c: { d: 2 } }, f: { g: 4, b: 1, c: { d: 2 } } });
});

test('a directory and a missing file are named, together with the problems of the environment', async (t) => {
  const directory = await temporaryDirectory(t);
  await symlink('loop', join(directory, 'loop'));
  const cases: [string, string][] = [
    [join(directory, 'loop'), 'cannot be read: too many symbolic links encountered'],
    [directory, 'is a directory, not a file'],
    [join(directory, 'none.yaml'), 'cannot be read: no such file or directory'],
    [join(directory, 'none.yaml', 'x'), 'cannot be read: no such file or directory'],
  ];
  for (const [config, message] of cases) {
    const found = await problems(loadConfig({ env: {}, flags: { config } }));
    assert.match(found[0] ?? '', /^no identity to mint with/);
    assert.equal(found.at(-1), `${config}: ${message}`);
  }
});

test('a file that may not be read is named', async (t) => {
  const path = await configFile(t, 'a: 1');
  await chmod(path, 0);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534); // root may read everything, so it is nobody for a moment
  try {
    assert.throws(() => readConfigFile(path), { message: `${path}: cannot be read: permission denied` });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test('no file is left open, whatever is in its place', async (t) => {
  const path = await configFile(t, 'a: 1');
  const openFiles = (): number => readdirSync('/dev/fd').length;
  const before = openFiles();
  for (let count = 0; count < 20; count += 1) {
    readConfigFile(path);
    assert.throws(() => readConfigFile(dirname(path)));
  }
  assert.ok(openFiles() < before + 10, `${openFiles()} instead of ${before}`);
});
