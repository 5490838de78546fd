import assert from 'node:assert/strict';
import test from 'node:test';
import { MintError } from '../../src/credential/errors.ts';
import { isUsable } from '../../src/credential/schedule.ts';
import { readinessChecks } from '../../src/credential/status.ts';
import { parseResponse } from '../../src/minters/response.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type Answer, credentialAt, HOUR_MS, MINUTE_MS } from '../support/fakes.ts';
import { startKeeper } from '../support/keeping.ts';
import { SharedPlace } from '../support/shared-sink.ts';

const LIFETIME_MS = 5 * MINUTE_MS;

/** A service whose clock is ahead of ours, as its CLI answers. */
function service(clock: FakeClock, skewMs: number, { hasIat = true } = {}): Answer {
  return async () => {
    const seconds = Math.floor((clock.now() + skewMs) / 1_000);
    const claims = { ...(hasIat ? { iat: seconds } : {}), exp: seconds + LIFETIME_MS / 1_000 };
    const token = `${encode({ alg: 'RS256' })}.${encode(claims)}.${encode(clock.monotonic())}`;
    const stdout = JSON.stringify({ token, expire_time: new Date(claims.exp * 1_000).toISOString() });
    const request = { issuedAt: clock.now(), monotonicAt: clock.monotonic(), ttlMs: LIFETIME_MS };
    return await Promise.resolve().then(() => parseResponse(stdout, request));
  };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

for (const skewMs of [10 * MINUTE_MS, -10 * MINUTE_MS]) {
  const wrong = skewMs > 0 ? 'slow' : 'fast';
  test(`a node whose clock is ten minutes ${wrong} renews tokens of five minutes in time`, async (t) => {
    const clock = new FakeClock();
    const { minter, keeper, sink, recorder } = await startKeeper(t, {
      clock,
      dice: 0.999,
      ttlMs: LIFETIME_MS,
      script: [service(clock, skewMs)],
    });
    for (let minute = 0; minute < 60; minute += 1) {
      await clock.advance(MINUTE_MS);
      const { current } = keeper;
      assert.ok(current !== undefined && isUsable(current, clock));
      assert.ok(current.service.expiresAt > clock.now() + skewMs + 30_000, 'by the clock of the service, too');
      assert.equal(sink.content, current.token.reveal());
    }
    assert.deepEqual(recorder.of('mintFailed'), []);
    assert.ok(minter.calls.length >= 24 && minter.calls.length <= 31, `${minter.calls.length} mints in an hour`);
  });
}

test('without iat a clock that is ten minutes fast is named as the likely reason, and nothing is written', async (t) => {
  const clock = new FakeClock();
  const script = [service(clock, -10 * MINUTE_MS, { hasIat: false })];
  const { recorder, sink } = await startKeeper(t, { clock, ttlMs: LIFETIME_MS, script });
  const [, error] = recorder.of('mintFailed')[0]!;
  assert.equal(error.failure, 'short_lived');
  assert.match(error.message, /the new token expired 300 s ago by this machine's clock/);
  assert.match(error.remedy, /clock of this machine/);
  assert.equal(sink.content, undefined);
});

test('without iat a clock that is ten minutes slow makes no token live longer than what was asked for', async (t) => {
  const clock = new FakeClock();
  const script = [service(clock, 10 * MINUTE_MS, { hasIat: false })];
  const { keeper, minter } = await startKeeper(t, { clock, ttlMs: LIFETIME_MS, script });
  assert.equal(keeper.current!.local.expiresAt - clock.now(), LIFETIME_MS);
  await clock.advance(HOUR_MS);
  assert.ok(minter.calls.length >= 24);
});

test('once a mint has told the time, what another writer published is no older than it is, though it seemed expired on a clock that is fast', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const minted = { lifetimeMs: LIFETIME_MS, skewMs: -10 * MINUTE_MS };
  place.put(credentialAt(clock, 'theirs', minted));
  const { keeper } = await startKeeper(t, { clock, ttlMs: LIFETIME_MS, script: [minted], sinks: [place.sink()] });
  await clock.advance(MINUTE_MS);
  assert.equal(place.content?.token.reveal(), 'theirs');
  const [ready] = readinessChecks([await keeper.status(t)], clock);
  assert.deepEqual([ready?.isOk, ready?.reason], [true, 'expires in 240 s']);
});

test('nor is it older where it seemed only to be old, and was not used', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  const minted = { lifetimeMs: LIFETIME_MS, skewMs: -2 * MINUTE_MS };
  place.put(credentialAt(clock, 'theirs', minted));
  const options = { clock, ttlMs: LIFETIME_MS, script: [minted], sinks: [place.sink()], adopts: false };
  const { keeper } = await startKeeper(t, options);
  await clock.advance(MINUTE_MS);
  assert.equal(place.content?.token.reveal(), 'theirs');
  const [ready] = readinessChecks([await keeper.status(t)], clock);
  assert.equal(ready?.reason, 'expires in 240 s');
});

test('what had expired at the first look at it comes to life by no clock that is set back, before the time is known', async (t) => {
  const clock = new FakeClock();
  const place = new SharedPlace();
  place.put(credentialAt(clock, 'theirs'));
  await clock.advance(HOUR_MS + MINUTE_MS);
  const script = [new MintError('network', 'no way out')];
  const { keeper } = await startKeeper(t, { clock, script, sinks: [place.sink()] });
  clock.setWallClock(-20 * MINUTE_MS);
  await clock.advance(MINUTE_MS);
  assert.equal(keeper.current, undefined);
});
