import assert from 'node:assert/strict';
import test from 'node:test';
import { requireBetter } from '../../src/credential/acceptance.ts';
import { MintError } from '../../src/credential/errors.ts';
import type { Credential } from '../../src/credential/ports.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, credentialWithLeft, HOUR_MS, MINUTE_MS } from '../support/fakes.ts';

const clock = new FakeClock();
const withLeft = (leftMs: number, lifetimeMs?: number): Credential => credentialWithLeft(clock, leftMs, lifetimeMs);
const ALONE = { requestedMs: HOUR_MS, isShared: false };

function refusal(fresh: Credential, present: Credential | undefined, requestedMs: number): MintError | undefined {
  try {
    requireBetter(fresh, present, { requestedMs, isShared: false }, clock);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof MintError);
    assert.equal(error.failure, 'short_lived');
    return error;
  }
}

test('a token with less than half of the requested lifetime is kept only if it outlives the present one', () => {
  const half = 30 * MINUTE_MS;
  const table: [title: string, fresh: Credential, present: Credential | undefined, accepted: boolean][] = [
    ['full, none present', withLeft(HOUR_MS), undefined, true],
    ['full', withLeft(HOUR_MS), withLeft(20 * MINUTE_MS, HOUR_MS), true],
    ['exactly half, the present one outlives it', withLeft(half), withLeft(50 * MINUTE_MS, HOUR_MS), true],
    ['just less than half, outlived', withLeft(half - 1), withLeft(50 * MINUTE_MS, HOUR_MS), false],
    ['just less than half, outlives', withLeft(half - 1), withLeft(half - 2, HOUR_MS), true],
    ['just less than half, equal', withLeft(half - 1), withLeft(half - 1, HOUR_MS), false],
    ['nearly dead, none present', withLeft(1), undefined, true],
    ['nearly dead, the present one is dead', withLeft(1), withLeft(-1, HOUR_MS), true],
    ['nearly dead, present fine', withLeft(1), withLeft(2, HOUR_MS), false],
  ];
  for (const [title, fresh, present, accepted] of table) {
    assert.equal(refusal(fresh, present, HOUR_MS) === undefined, accepted, title);
  }
});

test('which of two tokens outlives the other is for the service to say: this machine knows only when it asked', () => {
  const present = withLeft(3_000, HOUR_MS);
  const fresh = withLeft(3_200);
  const seenBy = (inMs: number): Credential => ({
    ...fresh,
    service: { issuedAt: fresh.service.issuedAt, expiresAt: present.service.expiresAt + inMs },
  });
  assert.match(refusal(seenBy(-1), present, HOUR_MS)?.message ?? 'accepted', /expires before the current one/);
  assert.equal(refusal(seenBy(1), present, HOUR_MS), undefined);
});

test('the clock of this machine is named only where it may be why a token seems to live too short', () => {
  const present = withLeft(50 * MINUTE_MS, HOUR_MS);
  const silent = withLeft(MINUTE_MS);
  const { issuedAt, expiresAt } = silent.service;
  const telling = { ...silent, service: { issuedAt: issuedAt - 400, expiresAt: expiresAt - 400 } };
  assert.match(refusal(silent, present, HOUR_MS)?.remedy ?? 'accepted', /check the clock of this machine/);
  assert.match(refusal(telling, present, HOUR_MS)?.remedy ?? 'accepted', /grants a shorter lifetime than requested/);
});

test('half is half of what was asked for', () => {
  const fresh = withLeft(5 * MINUTE_MS);
  const present = withLeft(6 * MINUTE_MS, 10 * MINUTE_MS);
  assert.equal(refusal(fresh, present, 10 * MINUTE_MS), undefined);
  assert.match(
    refusal(fresh, present, 11 * MINUTE_MS)?.message ?? '',
    /lives 300 s, less than half of the 660 s requested/,
  );
});

test('a token that is already expired is refused, whatever is present, and the clock is named as the reason', () => {
  for (const present of [undefined, withLeft(-HOUR_MS, HOUR_MS), withLeft(HOUR_MS)]) {
    for (const fresh of [withLeft(0, HOUR_MS), withLeft(-5_000, HOUR_MS), withLeft(-5_000), withLeft(Number.NaN)]) {
      const error = refusal(fresh, present, HOUR_MS);
      assert.match(error?.message ?? 'accepted', /the new token expired (\d+|NaN) s ago by this machine's clock/);
      assert.match(error?.remedy ?? '', /clock/);
    }
  }
});

test('the present token, handed out once more, is not taken for a fresh one, also when it is dead', () => {
  const issued = credentialAt(clock, 'present', { lifetimeMs: HOUR_MS });
  for (const leftMs of [HOUR_MS, MINUTE_MS, -MINUTE_MS]) {
    const present = { ...issued, monotonicAt: clock.monotonic() + leftMs - HOUR_MS };
    assert.match(refusal(issued, present, HOUR_MS)?.message ?? 'accepted', /returned the current token again/);
    // An opaque token whose life the service has prolonged.
    const { issuedAt, expiresAt } = issued.service;
    const prolonged = { ...issued, service: { issuedAt, expiresAt: expiresAt + 1_000 } };
    assert.equal(refusal(prolonged, present, HOUR_MS), undefined);
  }
});

test('where writers share a sink, a token must outlive the present one, by the service, while that is valid', () => {
  const shared = { requestedMs: HOUR_MS, isShared: true };
  const short = withLeft(40 * MINUTE_MS);
  assert.throws(() => requireBetter(short, withLeft(50 * MINUTE_MS, HOUR_MS), shared, clock), {
    failure: 'short_lived',
    remedy: /the ttl/, // and not the clock, which has no part in it
  });
  assert.throws(() => requireBetter(short, short, shared, clock), { failure: 'short_lived' });
  requireBetter(short, withLeft(39 * MINUTE_MS, HOUR_MS), shared, clock);
  const { service, ...dead } = withLeft(0, HOUR_MS);
  requireBetter(short, { ...dead, service: { ...service, expiresAt: service.expiresAt + HOUR_MS } }, shared, clock);
  requireBetter(short, undefined, shared, clock);
});

test('a valid credential is never replaced by a token of another identity, an expired one is', () => {
  const mine = { ...withLeft(20 * MINUTE_MS, HOUR_MS), subject: 'me' };
  const other = { ...withLeft(HOUR_MS), subject: 'somebody else' };
  assert.throws(() => requireBetter(other, mine, ALONE, clock), { failure: 'bad_response' });
  const short = { ...withLeft(1_000), subject: 'somebody else' };
  assert.throws(
    () => requireBetter(short, mine, ALONE, clock),
    { failure: 'bad_response' },
    'also where it lives briefly',
  );
  requireBetter(other, { ...withLeft(0, HOUR_MS), subject: 'me' }, ALONE, clock);
  requireBetter({ ...other, subject: 'me' }, mine, ALONE, clock);
});

test('tokens that do not say who they are for are taken on trust', () => {
  const named = { ...withLeft(HOUR_MS), fingerprint: 'named', subject: 'me' };
  requireBetter(withLeft(HOUR_MS), named, ALONE, clock);
  requireBetter(named, withLeft(HOUR_MS), ALONE, clock);
});
