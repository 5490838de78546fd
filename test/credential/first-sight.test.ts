import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asFound } from '../../src/credential/recovered.ts';
import { FirstSight } from '../../src/credential/first-sight.ts';
import { ageMs } from '../../src/credential/schedule.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, MINUTE_MS } from '../support/fakes.ts';

for (const [when, isTimeKnown] of [
  ['before a mint has told the time', false],
  ['once a mint has told the time', true],
] as const) {
  test(`what seems to be from the future grows older from the first look on, ${when}`, async () => {
    const clock = new FakeClock();
    const minted = isTimeKnown ? credentialAt(clock, 'ours') : undefined;
    const sight = new FirstSight(clock, () => minted);
    const found = asFound(credentialAt(clock, 'theirs', { skewMs: 20 * MINUTE_MS }));
    assert.equal(ageMs(sight.localise(found), clock), 0);
    for (const minutes of [1, 2, 3]) {
      await clock.advance(MINUTE_MS);
      assert.equal(ageMs(sight.localise(found), clock), minutes * MINUTE_MS);
    }
  });
}
