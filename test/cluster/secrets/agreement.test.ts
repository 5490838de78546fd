import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { HAS_FAKETIME } from '../../support/faketime.ts';
import { eventually } from '../../support/eventually.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { whyNotBuilt } from './api-server.ts';
import { assertFrugal } from './world.ts';
import { LIFETIME_MS, MINUTES_FAST, Writers, WRITERS } from './writers.ts';

/**
 * As by default with TEST_WHOLE_PERIODS=1 (half an hour). Else sooner, and with a spread that is to a mint about what six
 * minutes are to one in production: with 30 seconds one refresh in ten is minted twice by chance.
 */
const REFRESH =
  process.env['TEST_WHOLE_PERIODS'] === undefined ? { at: 0.3, jitter: 0.25 } : { at: 0.667, jitter: 0.1 };
const PUBLICATIONS = 7;

const skip = await whyNotBuilt();

describe('ten writers of one Secret, with tokens of five minutes', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let writers: Writers;

  before(async () => {
    writers = await Writers.start(shared, { ...REFRESH, hasWrongClock: HAS_FAKETIME });
  });

  /** What all mints together have taken so far. */
  async function spent(): Promise<{ readonly seconds: number; readonly times: number }> {
    const [seconds, times] = [
      await writers.sum('refresh_duration_seconds_sum'),
      await writers.sum('refresh_duration_seconds_count'),
    ];
    return { seconds, times };
  }

  chapter('mint about once per published token', {}, async (t) => {
    const { publications, world } = writers;
    await writers.settled();
    const [minted, published] = [world.workspace.minted.length, publications.length];
    const before = await spent();
    t.diagnostic(`the start: ${minted} mints, ${published} publications`);
    await eventually('seven more publications', () => publications.length >= published + PUBLICATIONS, {
      withinMs: (PUBLICATIONS + 1) * LIFETIME_MS,
    });
    await writers.settled();
    const mints = world.workspace.minted.length - minted;
    const count = publications.length - published;
    const patches = (await assertFrugal(world.api)).filter(({ verb }) => verb === 'patch');
    const late = patches.filter(({ responseStatus }) => responseStatus?.code === 409);
    const adoptions = await writers.sum('adoptions_total');
    t.diagnostic(
      `${mints} mints for ${count} publications; in all ${patches.length} patches, ${late.length} of them too late, and ${adoptions} adoptions`,
    );
    const after = await spent();
    const meanMs = (1_000 * (after.seconds - before.seconds)) / (after.times - before.times);
    // Whoever is due while another one mints does so, too: where the machine makes a mint take long, that is more often.
    const byChance = (count * WRITERS * meanMs) / (REFRESH.jitter * LIFETIME_MS);
    const most = count + Math.max(0.3 * count, byChance + 3 * Math.sqrt(byChance));
    t.diagnostic(`a mint took ${meanMs.toFixed()} ms: at most ${most.toFixed(1)} mints are chance`);
    assert.ok(mints <= most, `${mints} mints for ${count} publications`);
    assert.ok(adoptions >= (WRITERS - 2) * PUBLICATIONS, `${adoptions} adoptions`);
  });

  chapter('never replace a token by one that expires sooner', {}, async () => {
    const expiries = await Promise.resolve(writers.publications.map(({ expiresAt }) => expiresAt));
    assert.deepEqual(
      expiries,
      expiries.toSorted((a, b) => a - b),
    );
  });

  chapter('are not harmed by one of them whose clock is ten minutes fast', {}, async (t) => {
    if (!HAS_FAKETIME) {
      t.skip('needs libfaketime: apt-get install --yes --no-install-recommends faketime, then npm run test:cluster');
      return;
    }
    const wrong = await writers.all[0]!.metrics();
    const skew = wrong.get('clock_skew_seconds') ?? 0;
    assert.ok(Math.abs(skew + MINUTES_FAST * 60) < 10, `${skew} s`);
    // It takes part like any other: whatever was published it has adopted, or minted itself, which is a matter of chance.
    const [adopted, minted] = [wrong.sum('adoptions_total'), wrong.sum('refreshes_total')];
    t.diagnostic(`its own part: ${adopted} adoptions, ${minted} mints`);
    assert.ok(adopted + minted >= PUBLICATIONS, `${adopted} adoptions, ${minted} mints`);
    assert.ok(adopted > 0 && minted < PUBLICATIONS);
    for (const writer of writers.all) {
      assert.ok(await writer.isReady());
      assert.deepEqual(
        writer.lines.filter(({ err }) => err !== undefined),
        [],
      );
    }
    assert.equal(await writers.sum('refresh_failures_total'), 0);
  });
});
