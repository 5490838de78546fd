import assert from 'node:assert/strict';
import test from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { Credential } from '../../src/credential/ports.ts';
import {
  type CredentialStatus,
  isValid,
  livenessChecks,
  readinessChecks,
  type SinkStatus,
  type Vitals,
  weakest,
} from '../../src/credential/status.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, HOUR_MS, MINUTE_MS } from '../support/fakes.ts';

const clock = new FakeClock();
const MISSING = new SinkError('missing', '/run/lakebase/pgpass does not exist');

function withLeft(leftMs: number, lifetimeMs = HOUR_MS): Credential {
  const { local, monotonicAt, ...rest } = credentialAt(clock, `${leftMs}`, { lifetimeMs });
  const agedMs = lifetimeMs - leftMs;
  const lifespan = { issuedAt: local.issuedAt - agedMs, expiresAt: local.expiresAt - agedMs };
  return { ...rest, local: lifespan, service: lifespan, monotonicAt: monotonicAt - agedMs };
}

/** A file for each, which holds a credential or nothing. */
function statusOf(...held: (Credential | undefined)[]): CredentialStatus {
  return {
    name: 'backstage',
    resource: 'an-instance',
    current: undefined,
    sinks: held.map((credential, index): SinkStatus => ({
      name: `file:/${index}`,
      kind: 'file',
      holding: credential === undefined ? { state: 'lacks', problem: MISSING } : { state: 'holds', credential },
      lastWriteAt: undefined,
      failure: undefined,
    })),
    refresh: { at: 0.667, jitter: 0.1, floorMs: 10_000 },
    wakeAt: clock.now(),
    isMinting: false,
    lastAttemptAt: undefined,
    lastSuccessAt: undefined,
    consecutiveFailures: 0,
    lastFailure: undefined,
  };
}

test('the process is alive while its heartbeat is younger than 30 s', () => {
  for (const [ageMs, isOk] of [
    [0, true],
    [29_900, true],
    [29_999, true],
    [30_000, false],
    [HOUR_MS, false],
  ] as const) {
    const checks = livenessChecks(clock.monotonic() - ageMs, [], clock);
    assert.deepEqual(checks, [{ name: 'scheduler', isOk, reason: `last ran ${Math.round(ageMs / 1_000)} s ago` }]);
  }
});

const VITALS: Vitals = {
  name: 'backstage',
  wakeAt: clock.now(),
  isMinting: false,
  isStopping: false,
  attemptDeadline: undefined,
};

const STATES: readonly (readonly [title: string, vitals: Partial<Vitals>, isOk: boolean])[] = [
  ['due later', { wakeAt: clock.now() + HOUR_MS }, true],
  ['due now', {}, true],
  ['overdue by 59.9 s', { wakeAt: clock.now() - 59_900 }, true],
  ['overdue by 60 s with nothing in flight', { wakeAt: clock.now() - 60_000 }, false],
  ['overdue by an hour, but waiting for a slot', { wakeAt: clock.now() - HOUR_MS, isMinting: true }, true],
  ['overdue by an hour, but stopped by a reload', { wakeAt: clock.now() - HOUR_MS, isStopping: true }, true],
  ['within its deadline', { isMinting: true, attemptDeadline: clock.monotonic() + 5_000 }, true],
  ['29.9 s past its deadline', { isMinting: true, attemptDeadline: clock.monotonic() - 29_900 }, true],
  ['30 s past its deadline', { isMinting: true, attemptDeadline: clock.monotonic() - 30_000 }, false],
];
for (const [title, vitals, isOk] of STATES) {
  test(`a keeper that is ${title} counts as ${isOk ? 'alive' : 'stuck'}`, () => {
    const [, check] = livenessChecks(clock.monotonic(), [{ ...VITALS, ...vitals }], clock);
    assert.ok(check);
    assert.equal(check.isOk, isOk, check.reason);
    assert.equal(check.name, 'backstage');
  });
}

test('a keeper that is alive says what it waits for, never for less than nothing', () => {
  for (const [vitals, reason] of [
    [{ wakeAt: clock.now() + MINUTE_MS }, 'next refresh in 60 s'],
    [{}, 'a refresh is due'],
    [{ wakeAt: clock.now() - 20_000 }, 'a refresh is due'],
    [{ wakeAt: clock.now() - 20_000, isMinting: true, attemptDeadline: clock.monotonic() + 5_000 }, 'minting'],
    [{ wakeAt: clock.now() - 20_000, isMinting: true }, 'waiting for its turn to mint'],
  ] as const) {
    const [, check] = livenessChecks(clock.monotonic(), [{ ...VITALS, ...vitals }], clock);
    assert.deepEqual(check, { name: 'backstage', isOk: true, reason });
  }
});

test('a stuck keeper is named beside the ones that are alive', () => {
  const stuck = { ...VITALS, name: 'stuck', wakeAt: clock.now() - HOUR_MS };
  const checks = livenessChecks(clock.monotonic(), [VITALS, stuck], clock);
  assert.deepEqual(
    checks.map(({ name, isOk }) => [name, isOk]),
    [
      ['scheduler', true],
      ['backstage', true],
      ['stuck', false],
    ],
  );
  assert.match(checks[2]?.reason ?? '', /3600 s overdue/);
});

test('a wall clock that is set changes nothing about the heartbeat and the deadline', () => {
  const shifted = new FakeClock();
  const beatAt = shifted.monotonic();
  shifted.setWallClock(24 * HOUR_MS);
  const vitals = { ...VITALS, isMinting: true, attemptDeadline: beatAt + 1_000 };
  assert.ok(livenessChecks(beatAt, [vitals], shifted).every(({ isOk }) => isOk));
});

for (const [title, credential, isOk, reason] of [
  ['with 30 s left', withLeft(30_000), true, 'expires in 30 s'],
  ['with 29.9 s left', withLeft(29_900), false, 'expires in 30 s'],
  ['with an hour left', withLeft(HOUR_MS), true, 'expires in 3600 s'],
  ['that has just expired', withLeft(0), false, 'expired 0 s ago'],
  ['that expired a minute ago', withLeft(-MINUTE_MS), false, 'expired 60 s ago'],
  ['of 20 s with a tenth left', withLeft(2_000, 20_000), true, 'expires in 2 s'],
  ['of 20 s with less than a tenth left', withLeft(1_999, 20_000), false, 'expires in 2 s'],
] as const) {
  test(`a sink that holds a credential ${title} is ${isOk ? 'ready' : 'not ready'}`, () => {
    assert.deepEqual(readinessChecks([statusOf(credential)], clock), [{ name: 'backstage file:/0', isOk, reason }]);
  });
}

test('readiness has one check for each sink of each credential, and says what a sink lacks', () => {
  const other = { ...statusOf(withLeft(HOUR_MS)), name: 'other' };
  const checks = readinessChecks([statusOf(withLeft(HOUR_MS), undefined), other], clock);
  assert.deepEqual(
    checks.map(({ name, isOk }) => [name, isOk]),
    [
      ['backstage file:/0', true],
      ['backstage file:/1', false],
      ['other file:/0', true],
    ],
  );
  assert.equal(checks[1]?.reason, MISSING.message);
});

test('readiness goes by what the sinks hold, not by the newest credential nor by failed refreshes', () => {
  const status = { ...statusOf(withLeft(MINUTE_MS)), current: withLeft(HOUR_MS), consecutiveFailures: 99 };
  assert.ok(readinessChecks([status], clock)[0]?.isOk);
  const empty = { ...statusOf(undefined), current: withLeft(HOUR_MS) };
  assert.equal(readinessChecks([empty], clock)[0]?.isOk, false);
});

test('readiness of one kind of sink asks about no other', () => {
  const status = statusOf(withLeft(HOUR_MS), undefined);
  const sinks = status.sinks.map((sink, index) => (index === 1 ? { ...sink, kind: 'secret' as const } : sink));
  const namesOf = (kind?: 'file' | 'secret') =>
    readinessChecks([{ ...status, sinks }], clock, kind).map(({ isOk }) => isOk);
  assert.deepEqual([namesOf(), namesOf('file'), namesOf('secret')], [[true, false], [true], [false]]);
});

test('valid means that every sink holds an unexpired credential, and there is one', () => {
  const table: [held: (Credential | undefined)[], valid: boolean][] = [
    [[withLeft(1)], true],
    [[withLeft(0)], false],
    [[withLeft(HOUR_MS), withLeft(1)], true],
    [[withLeft(HOUR_MS), withLeft(-1)], false],
    [[withLeft(HOUR_MS), undefined], false],
    [[undefined], false],
    [[], false],
  ];
  for (const [held, valid] of table) assert.equal(isValid(statusOf(...held), clock), valid);
});

test('the weakest is the earliest-expiring among the sinks that hold one', () => {
  const [short, long] = [withLeft(MINUTE_MS), withLeft(HOUR_MS)];
  assert.equal(weakest(statusOf(long, undefined, short)), short);
  assert.equal(weakest(statusOf(short, long)), short);
  assert.equal(weakest(statusOf(undefined)), undefined);
  assert.equal(weakest(statusOf()), undefined);
});

test('the weakest is so by the service, though this clock was set back before the other one was minted', () => {
  const before = withLeft(30 * MINUTE_MS);
  const setBackMs = HOUR_MS;
  const { local, ...rest } = withLeft(HOUR_MS);
  const after = { ...rest, local: { issuedAt: local.issuedAt - setBackMs, expiresAt: local.expiresAt - setBackMs } };
  assert.ok(after.local.expiresAt < before.local.expiresAt);
  assert.equal(weakest(statusOf(after, before)), before);
});
