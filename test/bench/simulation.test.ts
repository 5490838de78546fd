import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLICIES } from '../../bench/simulation/policies.ts';
import { HOUR_MS, meanRate, MINUTE_MS, peakToMean, simulate } from '../../bench/simulation/simulate.ts';

const SECOND_MS = 1_000;
const OUTAGE_FROM_MS = 2 * HOUR_MS;
const GOALS = [1.7, 1.4];

function outage(lifetimes: number) {
  const durationMs = lifetimes * HOUR_MS;
  return { fromMs: OUTAGE_FROM_MS, durationMs, headroom: 2 };
}

for (const [title, sidecars, startsWithinMs] of [
  ['ten thousand sidecars that start within seconds, as after the reboot of every node,', 10_000, 5 * SECOND_MS],
  ['two thousand sidecars that start within ten minutes, as in a roll-out,', 2_000, 10 * MINUTE_MS],
] as const) {
  test(`${title} ask for tokens evenly from the first hour on`, async () => {
    const outcome = await simulate({ sidecars, startsWithinMs, durationMs: 2 * HOUR_MS, seed: 1 });
    assert.ok(outcome.mints.length > 2.5 * sidecars, `${outcome.mints.length} mints after the first`);
    assert.equal(outcome.expired, 0);
    for (const [hour, goal] of GOALS.entries()) {
      const ratio = peakToMean(outcome, hour);
      assert.ok(ratio >= 1 && ratio <= goal, `hour ${hour + 1}: ${ratio} times the mean`);
    }
  });
}

test('an outage of 0.15 of the lifetime costs no login while the workspace can do twice the mean rate', async () => {
  const outcome = await simulate({
    sidecars: 2_000,
    startsWithinMs: HOUR_MS,
    durationMs: OUTAGE_FROM_MS + HOUR_MS,
    seed: 1,
    outage: outage(0.15),
  });
  const spared = meanRate(outcome, OUTAGE_FROM_MS + SECOND_MS, OUTAGE_FROM_MS + 0.15 * HOUR_MS);
  assert.equal(spared, 0, 'no token is made in the outage');
  assert.equal(outcome.expired, 0);
  assert.equal(outcome.withoutMs, 0);
  // What those have left at its end who were due at its beginning.
  const leftMs = (1 - 0.667 - 0.15) * HOUR_MS;
  assert.ok(outcome.recoveryMs < leftMs, `${outcome.recoveryMs} ms until everyone had a new token`);
});

test('the simulation sees what it looks for: a herd that stays together, and logins that are lost', async () => {
  const [cron] = POLICIES;
  const herd = await simulate({ sidecars: 500, startsWithinMs: SECOND_MS, durationMs: 2 * HOUR_MS, seed: 1 }, cron);
  assert.equal(peakToMean(herd, 0), 12, 'all in one of the twelve times five minutes of an hour');
  const late = { sidecars: 200, startsWithinMs: HOUR_MS, durationMs: OUTAGE_FROM_MS + 2 * HOUR_MS, seed: 1 };
  const sidecars = await simulate({ ...late, outage: outage(0.5) });
  assert.ok(sidecars.expired > 0 && sidecars.expired < 200, `${sidecars.expired} of 200 expired`);
  const crons = await simulate({ ...late, outage: outage(0.15) }, cron);
  assert.ok(crons.withoutMs > crons.expired * 30 * MINUTE_MS, 'a cron that has missed its turn waits for the next');
});

test('the same seed tells the same story, another one another', async () => {
  const scenario = {
    sidecars: 50,
    startsWithinMs: HOUR_MS,
    durationMs: OUTAGE_FROM_MS + HOUR_MS,
    outage: outage(0.15),
  };
  const [first, again, other] = await Promise.all([1, 1, 2].map((seed) => simulate({ ...scenario, seed })));
  assert.deepEqual(first, again);
  assert.notDeepEqual(first?.requests, other?.requests);
});
