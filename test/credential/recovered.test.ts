import assert from 'node:assert/strict';
import test from 'node:test';
import type { Credential } from '../../src/credential/ports.ts';
import { chooseRecovered, localise, presentSkewMs } from '../../src/credential/recovered.ts';
import { remainingMs } from '../../src/credential/schedule.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, credentialWithLeft, HOUR_MS, MINUTE_MS } from '../support/fakes.ts';

const clock = new FakeClock();
const withLeft = (leftMs: number, lifetimeMs?: number): Credential => credentialWithLeft(clock, leftMs, lifetimeMs);

test('of what earlier processes left, the latest-expiring that is still valid is adopted', () => {
  const [short, long, dead] = [withLeft(10 * MINUTE_MS), withLeft(40 * MINUTE_MS, HOUR_MS), withLeft(-1, HOUR_MS)];
  assert.equal(chooseRecovered([], clock), undefined);
  assert.equal(chooseRecovered([dead, withLeft(0, HOUR_MS)], clock), undefined);
  for (const found of [[short, long, dead], [dead, long, short], [long]] satisfies Credential[][]) {
    assert.equal(chooseRecovered(found, clock)?.fingerprint, long.fingerprint);
  }
});

test('the latest-expiring is so by the service, though this clock was set back before it was minted', () => {
  const before = withLeft(30 * MINUTE_MS, HOUR_MS);
  const setBackMs = 40 * MINUTE_MS;
  const after = withLeft(50 * MINUTE_MS, HOUR_MS);
  const { issuedAt, expiresAt } = after.local;
  const seen = { ...after, local: { issuedAt: issuedAt - setBackMs, expiresAt: expiresAt - setBackMs } };
  assert.ok(seen.local.expiresAt < before.local.expiresAt);
  assert.equal(chooseRecovered([before, seen], clock)?.fingerprint, after.fingerprint);
});

test('a credential issued in the future is not adopted, but for what two readings of a clock may differ', () => {
  const issued = (inMs: number): Credential => {
    const { local, ...rest } = withLeft(HOUR_MS);
    return { ...rest, local: { issuedAt: local.issuedAt + inMs, expiresAt: local.expiresAt + inMs } };
  };
  assert.notEqual(chooseRecovered([issued(5_000)], clock), undefined);
  assert.equal(chooseRecovered([issued(5_001)], clock), undefined);
  assert.equal(chooseRecovered([issued(HOUR_MS)], clock), undefined);
});

test('the monotonic part of an adopted credential counts from the adoption, unless it is known', () => {
  const { monotonicAt, ...found } = withLeft(HOUR_MS);
  assert.equal(localise(found, 0, clock).monotonicAt, clock.monotonic());
  assert.equal(localise({ ...found, monotonicAt: monotonicAt - 1 }, 0, clock).monotonicAt, monotonicAt - 1);
});

test('a monotonic reading makes a credential older than the wall clock says, never younger', () => {
  const found = withLeft(40 * MINUTE_MS);
  for (const [byMs, leftMs] of [
    [-10 * MINUTE_MS, 30 * MINUTE_MS],
    [10 * MINUTE_MS, 40 * MINUTE_MS],
    [-2 * HOUR_MS, -80 * MINUTE_MS],
  ] as const) {
    const credential = localise({ ...found, monotonicAt: found.monotonicAt + byMs }, 0, clock);
    assert.equal(remainingMs(credential, clock), leftMs);
  }
});

test('what was minted on another machine is seen by our own clock, less the difference that was last measured', () => {
  const { service, token, fingerprint } = credentialAt(clock, 'elsewhere', { lifetimeMs: HOUR_MS, skewMs: MINUTE_MS });
  const { local } = localise({ service, token, fingerprint }, MINUTE_MS, clock);
  assert.deepEqual(local, { issuedAt: clock.now(), expiresAt: clock.now() + HOUR_MS });
});

test('what was minted on this machine is dated by its own clock of then, however far that was off', () => {
  const { monotonicAt: _, ...found } = credentialAt(clock, 'before the boot', { skewMs: 10 * MINUTE_MS });
  assert.deepEqual(localise(found, 0, clock).local, found.local);
});

test('what was given less life here than the service says gets no more of it when it is adopted', () => {
  const found = credentialAt(clock, 'of a short ttl', { lifetimeMs: HOUR_MS });
  const local = { issuedAt: found.local.issuedAt, expiresAt: found.local.issuedAt + 5 * MINUTE_MS };
  assert.equal(remainingMs(localise({ ...found, local }, 0, clock), clock), 5 * MINUTE_MS);
});

test('what seems to be issued some seconds from now lives no longer for it', () => {
  const { local: _, monotonicAt: __, ...found } = credentialAt(clock, 'elsewhere', { skewMs: 4_000 });
  assert.equal(remainingMs(localise(found, 0, clock), clock), HOUR_MS);
});

test('a clock that is set back is so much further behind the service; a suspended machine is not', () => {
  for (const [setMs, skewMs] of [
    [0, MINUTE_MS],
    [-HOUR_MS, MINUTE_MS + HOUR_MS],
    [HOUR_MS, MINUTE_MS],
  ] as const) {
    const machine = new FakeClock();
    const minted = credentialAt(machine, 'minted', { skewMs: MINUTE_MS });
    machine.setWallClock(setMs);
    assert.equal(presentSkewMs(minted, machine), skewMs);
  }
});

test('no credential from elsewhere is believed to live longer than the service lets any live', () => {
  const { service, token, fingerprint, ...found } = credentialAt(clock, 'elsewhere', { lifetimeMs: 1_000 * HOUR_MS });
  for (const recorded of [{}, { local: found.local }]) {
    const { local } = localise({ service, token, fingerprint, ...recorded }, 0, clock);
    assert.equal(local.expiresAt - local.issuedAt, HOUR_MS);
  }
});
