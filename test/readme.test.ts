import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../src/config/load.ts';
import { labelOf } from '../src/credential/label.ts';

const root = join(import.meta.dirname, '..');
const documents = globSync(['*.md', '{charts,docs,manifests}/**/*.md'], { cwd: root });
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

for (const document of ['README.md', 'docs/security.md']) {
  test(`every test that ${document} names exists`, () => {
    const page = read(document);
    const ofTables = [...page.matchAll(/^\|.*\|$/gm)].map(([row]) => row.split('|').at(-2) ?? '');
    const ofLists = [...page.matchAll(/^ +- (_.*_)$/gm)].map(([, title = '']) => title);
    const titles = [...ofTables, ...ofLists]
      .flatMap((text) => text.replaceAll(/`[^`]*`/g, '').match(/_[^_]{12,}_/g) ?? [])
      .map((title) => title.slice(1, -1));
    const tests = globSync('test/**/*.test.ts', { cwd: root })
      .filter((path) => path !== 'test/readme.test.ts')
      .map(read)
      .join('\n')
      .replaceAll("\\'", "'");
    assert.ok(titles.length >= 15, `${titles.length} titles`);
    assert.deepEqual(
      titles.filter((title) => !tests.includes(title)),
      [],
    );
  });
}

/** The anchors that GitHub makes of a page's headings. */
function anchorsOf(path: string): string[] {
  const prose = read(path).replaceAll(/^```.*?^```/gms, '');
  return [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('every link within the project leads somewhere', () => {
  const links = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].map(([, target = '', anchor]) => ({
      path,
      target: target === '' ? path : join(dirname(path), target),
      anchor,
    })),
  );
  assert.ok(links.length > 50, `${links.length} links`);
  const broken = links.filter(
    ({ target, anchor }) =>
      !existsSync(join(root, target)) || (anchor !== undefined && !anchorsOf(target).includes(anchor)),
  );
  assert.deepEqual(broken, []);
});

test('every file and folder of the project that the documents name exists', () => {
  const PATH = /`((?:\.\/)?(?:src|test|bench|chaos|demo|docs|scripts|charts|manifests)\/[\w./-]+)`/g;
  const named = documents.flatMap((path) =>
    [...read(path).matchAll(PATH)].map(([, target = '']) => ({ path, target })),
  );
  assert.ok(named.length > 30, `${named.length} paths`);
  assert.deepEqual(
    named.filter(({ target }) => !existsSync(join(root, target))),
    [],
  );
});

test('every example in YAML or JSON can be read', () => {
  const examples = documents.flatMap((path) =>
    [...read(path).matchAll(/^```(?:ya?ml|json)\n(.*?)^```/gms)].map(([, text = '']) => ({ path, text })),
  );
  assert.ok(examples.length > 15, `${examples.length} examples`);
  for (const { path, text } of examples)
    for (const { errors } of parseAllDocuments(text)) assert.deepEqual(errors, [], `${path}: ${text}`);
});

test('the tree in the README names files and folders that exist', () => {
  const [, tree = ''] = /^```\n(src\/main\.ts.*?)^```/ms.exec(read('README.md')) ?? [];
  const named = tree
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [first = '', ...others] = line.split(/ {2,}/)[0]!.split(', ');
      return [first, ...others.map((name) => join(dirname(first), name))];
    });
  assert.ok(named.length > 15, `${named.length} paths`);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(root, path))),
    [],
  );
});

test('every npm script that the documents name exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = documents.flatMap((path) => [...read(path).matchAll(/npm run ([\w:]+)|npm (test|start)\b/g)]);
  assert.ok(named.length > 5);
  for (const [text, script = '', short = ''] of named) assert.ok((script || short) in scripts, text);
});

test('the variables that the README sets on one machine are a whole configuration', async () => {
  const [, section = ''] = read('README.md').split('\n## Use it on one machine\n');
  const block = /export DATABRICKS_HOST=[\s\S]*?\n\n/.exec(section)?.[0] ?? '';
  const env = Object.fromEntries(
    [...block.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name = '', value = '']) => [
      name,
      value.replace('$HOME', '/home/me'),
    ]),
  );
  const { credentials, auth } = await loadConfig({ env });
  assert.equal(auth.kind, 'oauth-m2m');
  assert.deepEqual(
    credentials.map(({ sinks }) => sinks.map(labelOf)),
    [['file:/home/me/.lakebase/pgpass']],
  );
});
