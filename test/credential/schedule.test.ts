import assert from 'node:assert/strict';
import test from 'node:test';
import {
  ageMs,
  attemptTimeoutMs,
  firstRefreshAt,
  isUsable,
  refreshAfterFailuresAt,
  refreshAt,
  remainingMs,
  retryDelayMs,
  turnWithinMs,
} from '../../src/credential/schedule.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MINUTE_MS } from '../support/fakes.ts';

const POLICY = { at: 0.667, jitter: 0.1, floorMs: 10_000 };
const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };
const clock = new FakeClock();
const NOW = clock.now();

function lasting(lifetimeMs: number) {
  return credentialAt(clock, 'token', { lifetimeMs });
}

test('a refresh is due at a fraction of the lifetime, sooner by a random part of the jitter', () => {
  const table: [lifetimeMs: number, random: number, afterMs: number][] = [
    [HOUR_MS, 0, 0.667 * HOUR_MS],
    [HOUR_MS, 0.5, 0.617 * HOUR_MS],
    [HOUR_MS, 0.999, 0.5671 * HOUR_MS],
    [5 * MINUTE_MS, 0, 0.667 * 5 * MINUTE_MS],
    [20_000, 0.5, 12_340],
  ];
  for (const [lifetimeMs, random, afterMs] of table) {
    const dueMs = refreshAt(lasting(lifetimeMs), POLICY, () => random) - NOW;
    assert.ok(Math.abs(dueMs - afterMs) < 1, `${lifetimeMs} ms, random ${random}: ${dueMs} instead of ${afterMs}`);
  }
});

test('the first refresh is uniform between the floor and the fraction of the lifetime', () => {
  const table: [lifetimeMs: number, random: number, afterMs: number][] = [
    [HOUR_MS, 0, 10_000],
    [HOUR_MS, 0.5, 10_000 + 0.5 * (0.667 * HOUR_MS - 10_000)],
    [HOUR_MS, 0.999, 10_000 + 0.999 * (0.667 * HOUR_MS - 10_000)],
    [5_000, 0, 10_000],
    [5_000, 0.999, 10_000],
  ];
  for (const [lifetimeMs, random, afterMs] of table) {
    const dueMs = firstRefreshAt(lasting(lifetimeMs), POLICY, () => random) - NOW;
    assert.ok(Math.abs(dueMs - afterMs) < 1, `${lifetimeMs} ms, random ${random}: ${dueMs} instead of ${afterMs}`);
  }
});

test('the refresh after failures is uniform in the second half of the period', () => {
  const table: [lifetimeMs: number, random: number, afterMs: number][] = [
    [HOUR_MS, 0, (0.667 * HOUR_MS) / 2],
    [HOUR_MS, 0.5, 0.75 * 0.667 * HOUR_MS],
    [HOUR_MS, 0.999, 0.9995 * 0.667 * HOUR_MS],
    [20_000, 0, 10_000], // the floor, as half of the period comes sooner
    [20_000, 0.5, 11_670],
    [5_000, 0.999, 10_000],
  ];
  for (const [lifetimeMs, random, afterMs] of table) {
    const dueMs = refreshAfterFailuresAt(lasting(lifetimeMs), POLICY, () => random) - NOW;
    assert.ok(Math.abs(dueMs - afterMs) < 1, `${lifetimeMs} ms, random ${random}: ${dueMs} instead of ${afterMs}`);
  }
});

test('no lifetime, however wrong, makes a refresh due before the floor or never', () => {
  for (const lifetimeMs of [5_000, 1, 0, -1, -HOUR_MS, -Infinity, Number.NaN]) {
    for (const dueAt of [refreshAt, firstRefreshAt, refreshAfterFailuresAt]) {
      assert.equal(dueAt(lasting(lifetimeMs), POLICY, () => 0.5) - NOW, 10_000, `${dueAt.name} for ${lifetimeMs}`);
    }
  }
});

test('a retry waits for half to all of the doubled delay, capped by the maximum and a quarter of the life left', () => {
  const table: [failures: number, leftMs: number | undefined, random: number, delayMs: number][] = [
    [1, HOUR_MS, 0, 500],
    [1, HOUR_MS, 0.999, 999.5],
    [2, HOUR_MS, 0, 1_000],
    [4, HOUR_MS, 0.5, 6_000],
    [7, HOUR_MS, 0, 30_000], // 64 s, capped at a minute
    [7, HOUR_MS, 0.5, 45_000],
    [7, 40_000, 0, 5_000], // a quarter of 40 s
    [1, 2_000, 0, 250], // a quarter of 2 s, halved
    [1, 2_000, 0.5, 375],
    [20, 100, 0.999, 250], // never less
    [1, undefined, 0, 500], // none yet
    [1, 0, 0, 500], // just expired: no term of what is left
    [1, -HOUR_MS, 0.5, 750],
    [10, undefined, 0, 7_500], // capped at 15 s
    [10, -1, 0.5, 11_250],
    [2_000, HOUR_MS, 0, 30_000], // 2 ** 1999 is infinite
    [2_000, undefined, 0, 7_500],
  ];
  for (const [failures, leftMs, random, delayMs] of table) {
    const actualMs = retryDelayMs(failures, BACKOFF, leftMs, () => random);
    assert.ok(
      Math.abs(actualMs - delayMs) < 1e-6,
      `failure ${failures}, ${leftMs} ms left, random ${random}: ${actualMs}`,
    );
  }
});

test('without a valid credential a maximum below 15 s still counts', () => {
  assert.equal(
    retryDelayMs(10, { initialMs: 1_000, maxMs: 4_000 }, undefined, () => 0),
    2_000,
  );
});

test('where nobody knows what life is left, a retry comes as without a credential, and has the whole time', () => {
  assert.equal(retryDelayMs(9, { initialMs: 1_000, maxMs: 60_000 }, Number.NaN, () => 0.999_999) > 14_999, true);
  assert.equal(attemptTimeoutMs(30_000, Number.NaN), 30_000);
});

test('the jitter of retries comes after the cap, so that those who have reached it do not retry together', () => {
  const delays = new Set([0, 0.25, 0.5, 0.75].map((random) => retryDelayMs(50, BACKOFF, HOUR_MS, () => random)));
  assert.equal(delays.size, 4);
});

test('an attempt lasts at most its timeout and a third of the life left, but at least 5 s', () => {
  const table: [leftMs: number | undefined, timeoutMs: number, expectedMs: number][] = [
    [HOUR_MS, 30_000, 30_000],
    [90_000, 30_000, 30_000],
    [60_000, 30_000, 20_000],
    [15_000, 30_000, 5_000],
    [1, 30_000, 5_000],
    [1, 2_000, 2_000], // a timeout below 5 s was asked for
    [0, 30_000, 30_000], // nothing to save any more
    [-HOUR_MS, 30_000, 30_000],
    [undefined, 30_000, 30_000],
  ];
  for (const [leftMs, timeoutMs, expectedMs] of table) {
    assert.equal(attemptTimeoutMs(timeoutMs, leftMs), expectedMs, `${leftMs} ms left`);
  }
});

test('who has the least life left is to have a slot first, and who has none before all who ask later', () => {
  const turns = [HOUR_MS, MINUTE_MS, 1_000].map((leftMs) => turnWithinMs(leftMs));
  assert.ok(turns[0]! > turns[1]! && turns[1]! > turns[2]! && turns[2]! > 0, turns.join(', '));
  for (const none of [undefined, 0, -MINUTE_MS, Number.NaN]) assert.equal(turnWithinMs(none), 0);
});

test('whoever asks for a slot waits behind those who ask later for a quarter of the life left at most', () => {
  assert.equal(turnWithinMs(HOUR_MS), 15 * MINUTE_MS);
});

test('a credential is usable while 30 s are left, or a tenth of its lifetime if that is less', () => {
  const table: [lifetimeMs: number, ageMs: number, usable: boolean][] = [
    [HOUR_MS, 0, true],
    [HOUR_MS, HOUR_MS - 30_000, true],
    [HOUR_MS, HOUR_MS - 29_900, false],
    [HOUR_MS, HOUR_MS + 1, false],
    [5 * MINUTE_MS, 5 * MINUTE_MS - 30_000, true],
    [5 * MINUTE_MS, 5 * MINUTE_MS - 29_999, false],
    [20_000, 18_000, true],
    [20_000, 18_001, false],
    [0, 0, false],
    [-1, 0, false],
  ];
  for (const [lifetimeMs, age, usable] of table) {
    const credential = lasting(lifetimeMs);
    const later = new FakeClock(NOW + age);
    assert.equal(
      isUsable({ ...credential, monotonicAt: later.monotonic() }, later),
      usable,
      `${lifetimeMs} after ${age}`,
    );
  }
});

test('the age is the greater of what the two clocks say', async () => {
  const time = new FakeClock();
  const credential = credentialAt(time, 'token');
  await time.advance(20 * MINUTE_MS);
  assert.equal(ageMs(credential, time), 20 * MINUTE_MS);
  time.setWallClock(-15 * MINUTE_MS);
  assert.equal(ageMs(credential, time), 20 * MINUTE_MS, 'a clock set back keeps nothing alive');
  time.setWallClock(60 * MINUTE_MS);
  assert.equal(ageMs(credential, time), 65 * MINUTE_MS, 'a suspended machine does not stop the service');
  assert.equal(remainingMs(credential, time), -5 * MINUTE_MS);
});
