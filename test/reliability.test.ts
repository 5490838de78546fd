import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BUG_CLASSES } from './mutants/bug-classes.ts';
import { digestOf, needsPods, testFileOf } from './mutants/mutant.ts';
import { MUTANTS, readResults } from './mutants/mutants.ts';

const CALL =
  /\b(?:test|chapter|property|testWithEachCli)\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`((?:[^`\\]|\\.)*)`),([^\n]*)/g;
const read = (path: string): string => readFileSync(join(import.meta.dirname, '..', path), 'utf8');

/** By title, with `…` for what is filled in: what follows the title in the same line. */
function testsIn(file: string): Map<string, string> {
  return new Map(
    [...read(file).matchAll(CALL)].map(([, single, double, template, rest = '']) => [
      (single ?? double ?? template ?? '').replaceAll(/\$\{[^}]*\}/g, '…').replaceAll(/\\(.)/g, '$1'),
      rest,
    ]),
  );
}

function assertRuns(file: string, title: string): void {
  const rest = testsIn(file).get(title);
  assert.ok(rest !== undefined, `${file} has no test "${title}"`);
  assert.doesNotMatch(rest, /\btodo\b|skip: *(?:true|['"`])/, `${file}: "${title}" does not run`);
}

test('each of the 26 classes of bugs has tests, which exist by exactly these titles and are not left out', () => {
  assert.deepEqual(
    BUG_CLASSES.map(({ number }) => number),
    Array.from({ length: 26 }, (_, index) => index + 1),
  );
  for (const { tests } of BUG_CLASSES) {
    assert.ok(tests.length > 0);
    for (const { file, title } of tests) assertRuns(file, title);
  }
});

test('each class has a bug to put in, which one of its tests must catch', () => {
  for (const { number, tests } of BUG_CLASSES) {
    const mutants = MUTANTS.filter(({ bugClass }) => bugClass === number);
    assert.ok(mutants.length > 0, `class ${number}`);
    for (const mutant of mutants) {
      const isNamed = tests.some(({ file, title }) => file === testFileOf(mutant) && title === mutant.test[1]);
      assert.ok(isNamed, `"${mutant.bug}" is tried with a test that class ${number} does not name`);
    }
  }
});

test('each bug can be put into the source as it is now, and was caught when that was last tried', () => {
  const { fates } = readResults();
  assert.equal(new Set(MUTANTS.map(({ bug }) => bug)).size, MUTANTS.length);
  for (const mutant of MUTANTS) {
    const { bug, file, from, to } = mutant;
    assert.equal(read(file).split(from).length, 2, `${file} does not have it once: ${from}`);
    assert.notEqual(from, to);
    assertRuns(testFileOf(mutant), mutant.test[1]);
    const fate = fates[bug];
    if (fate === undefined && needsPods(mutant)) continue; // said in docs/reliability.md
    assert.equal(fate?.fate, 'caught', `"${bug}": node scripts/mutants.ts ${mutant.bugClass ?? 'beyond'}`);
    assert.equal(fate.digest, digestOf(mutant), `"${bug}" was changed since it was tried`);
  }
});
