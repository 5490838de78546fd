import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { figuresPage, quoteFigures } from '../../bench/page.ts';
import { PART_NAMES } from '../../bench/parts.ts';
import { readResults } from '../../bench/results.ts';
import { SECTIONS } from '../../bench/sections.ts';

const root = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const results = readResults();

test('the page of figures has a section for each part of the bench, and for nothing that is not measured', () => {
  const headings = [...read('docs/figures.md').matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings, [...[...results.keys()].map((name) => SECTIONS[name].title), 'When, where and with what']);
  assert.deepEqual(
    PART_NAMES.filter((name) => !results.has(name)),
    [],
    'run `npm run bench -- PART --write` for these',
  );
});

test('the README quotes what the page of figures says, figure by figure', () => {
  const rows = read('README.md')
    .split('<!-- figures')[1]!
    .split('<!-- end')[0]!
    .match(/^\|.*\|$/gm)!
    .slice(2);
  const cells = rows.map((row) => row.split(' | ').map((cell) => cell.replaceAll(/^\|?\s*|\s*\|?$/g, '')));
  const quotes = [...results.values()].flatMap((result) => result.quotes);
  assert.ok(quotes.length >= PART_NAMES.length, 'each part has something to quote');
  assert.deepEqual(
    cells.map(([what, figure]) => ({ what, figure })),
    quotes,
  );
});

test('page and README are made of the results alone, and change with them', () => {
  const [name, result] = [...results][0]!;
  const quotes = [{ what: 'something', figure: 'a|b' }];
  const changed = new Map([[name, { ...result, quotes, notes: ['A note.'], date: '2031-01-01' }]]);
  assert.match(figuresPage(changed), /A note\./);
  assert.match(figuresPage(changed), /2031-01-01/);
  const readme = quoteFigures(read('README.md'), changed);
  assert.match(readme, /\| something \| a\\\|b \| \[/);
  assert.equal(quoteFigures(readme, changed), readme, 'to write it again changes nothing');
  assert.throws(() => quoteFigures('no place', changed), /no place for the figures/);
});
