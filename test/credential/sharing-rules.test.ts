import assert from 'node:assert/strict';
import test from 'node:test';
import { expiresLater } from '../../src/credential/schedule.ts';
import { isBetter, mayStay } from '../../src/credential/sharing.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MINUTE_MS } from '../support/fakes.ts';

const REFRESH = { at: 0.667, jitter: 0.1, floorMs: 10_000 };

test('what expires later by the service is better, and so is anything valid when nothing valid is held', () => {
  const clock = new FakeClock();
  const [older, newer] = [credentialAt(clock, 'a'), credentialAt(clock, 'b', { lifetimeMs: HOUR_MS + 1 })];
  const dead = credentialAt(clock, 'c', { lifetimeMs: 0 });
  const slow = credentialAt(clock, 'd', { skewMs: -MINUTE_MS });
  assert.ok(expiresLater(newer, older) && !expiresLater(older, newer) && !expiresLater(older, older));
  assert.ok(expiresLater(older, slow), 'by the service, whatever the local clocks say');
  for (const [title, found, present, expected] of [
    ['later', newer, older, true],
    ['sooner', older, newer, false],
    ['the same', older, older, false],
    ['nothing held', older, undefined, true],
    ['a dead one held', older, dead, true],
    ['a dead one of somebody else held', { ...newer, subject: 'somebody' }, { ...dead, subject: 'me' }, true],
    ['a dead one found', dead, undefined, false],
    ['for somebody else', { ...newer, subject: 'somebody' }, { ...older, subject: 'me' }, false],
    ['for nobody knows whom', newer, { ...older, subject: 'me' }, true],
    [
      'issued in the future',
      { ...newer, local: { issuedAt: clock.now() + MINUTE_MS, expiresAt: clock.now() + HOUR_MS } },
      older,
      false,
    ],
  ] as const) {
    assert.equal(isBetter(found, present, clock), expected, title);
  }
});

test('what another writer has put there may stay if it lives longer, or if it is new and not overdue', async () => {
  const clock = new FakeClock();
  const other = credentialAt(clock, 'other');
  await clock.advance(1_000);
  const ours = credentialAt(clock, 'ours');
  const situation = (heldBefore?: string) => ({ heldBefore, refresh: REFRESH, isTimeKnown: true });
  const stays = (heldBefore?: string) => mayStay(other, ours, situation(heldBefore), clock);
  assert.ok(mayStay(ours, other, situation(ours.fingerprint), clock), 'it lives longer');
  assert.ok(mayStay(other, { ...other, fingerprint: 'x' }, situation(other.fingerprint), clock));
  assert.ok(stays(), 'it came after our look');
  const [mine, somebodys] = [
    { ...ours, subject: 'me' },
    { ...other, subject: 'somebody' },
  ];
  assert.ok(!mayStay(somebodys, mine, situation(), clock), 'it is for somebody else');
  assert.ok(!stays(other.fingerprint), 'it is what our mint was to replace');
  await clock.advance(0.667 * HOUR_MS - 1_000 - 1);
  assert.ok(stays());
  await clock.advance(1);
  assert.ok(!stays(), 'nobody has refreshed it in time');
  await clock.advance(HOUR_MS);
  assert.ok(!stays(), 'it is dead');
  clock.setWallClock(-1.5 * HOUR_MS);
  assert.ok(!stays(), 'it is dead, whatever this clock is set to');
});

test('what seems to be issued in the future may stay only as long as nobody knows whose clock is off', () => {
  const clock = new FakeClock();
  const ours = credentialAt(clock, 'ours');
  const later = { issuedAt: clock.now() + MINUTE_MS, expiresAt: clock.now() + HOUR_MS + MINUTE_MS };
  const theirs = { ...credentialAt(clock, 'theirs'), local: later, service: later };
  for (const isTimeKnown of [false, true]) {
    const situation = { heldBefore: undefined, refresh: REFRESH, isTimeKnown };
    assert.equal(mayStay(theirs, ours, situation, clock), !isTimeKnown);
    assert.equal(mayStay(ours, theirs, situation, clock), true, 'what expires sooner, but is new, in any case');
    const equal = { ...theirs, service: ours.service };
    assert.ok(mayStay(equal, ours, situation, clock), 'nothing is gained by replacing it');
  }
});
