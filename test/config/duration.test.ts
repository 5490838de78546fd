import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';

test('a duration is a whole number and one unit', () => {
  const cases: [string, number][] = [
    ['0s', 0],
    ['90s', 90_000],
    ['15m', 900_000],
    ['1h', 3_600_000],
    ['3600s', 3_600_000],
    ['9999999s', 9_999_999_000],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});

test('nothing else is a duration', () => {
  const cases = [
    '',
    '5',
    's',
    '-5m',
    '+5m',
    '1e9h',
    '0x5m',
    '5m30s',
    ' 5m',
    '5m ',
    '5 m',
    '05m',
    '1.5h',
    '5M',
    '1d',
    '100ms',
    '99999999s',
    '5m\n',
    '٥m',
  ];
  for (const text of cases) assert.equal(parseDuration(text), undefined, JSON.stringify(text));
});

test('a duration is shown in the largest unit that needs no fraction', () => {
  for (const text of ['0s', '1s', '90s', '2m', '59m', '1h', '61m', '24h']) {
    assert.equal(formatDuration(parseDuration(text) ?? Number.NaN), text);
  }
  // A token's life is measured, so that it is never exact.
  for (const [ms, text] of [
    [3_599_600, '1h'],
    [300_400, '5m'],
    [400, '0s'],
  ] as const)
    assert.equal(formatDuration(ms), text);
});
