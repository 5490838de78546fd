import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaintAbout } from '../../src/minters/version.ts';

test('a CLI is old by its numbers, not by the text that they make', () => {
  const cases: readonly (readonly [version: string, hasTtl: boolean, isOld: boolean])[] = [
    ['0.297.9', false, true],
    ['0.298.0', false, false],
    ['0.1000.0', false, false],
    ['1.0.0', false, false],
    ['1.6.12', true, true],
    ['1.7.0', true, false],
    ['1.7.1', true, false],
    ['1.13.0', true, false],
    ['2.0.0', true, false],
  ];
  for (const [version, hasTtl, isOld] of cases) {
    assert.equal(complaintAbout(version, hasTtl) !== undefined, isOld, version);
  }
});
