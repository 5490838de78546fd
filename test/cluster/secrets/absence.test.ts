import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { cleanupOfSuite } from '../../support/suite.ts';
import { eventually } from '../../support/eventually.ts';
import { whyNotBuilt } from './api-server.ts';
import { JITTER, LIFETIME_MS, Writers } from './writers.ts';

/** So that whoever mints first while the API server is away is not due again before it is back. */
const AT = 0.45;
const DUE_MS = { from: (AT - JITTER) * LIFETIME_MS, to: AT * LIFETIME_MS };

const skip = await whyNotBuilt();

describe('while the API server is away, ten writers of one Secret', { skip }, () => {
  const shared = cleanupOfSuite();
  let writers: Writers;

  before(async () => {
    writers = await Writers.start(shared, { at: AT });
  });

  test('mint at most once each and due time, keep their files fresh, and publish once when it is back', async (t) => {
    const { all, publications, world } = writers;
    // The first draw of each is anywhere: after a refresh all go by the same token.
    await writers.settled();
    const first = publications.length;
    await eventually('a refresh', () => publications.length > first, { withinMs: LIFETIME_MS });
    await delay(DUE_MS.from / 2);
    const published = publications.length;
    const { at: publishedAt, expiresAt } = publications.at(-1)!;
    assert.ok(expiresAt - publishedAt > LIFETIME_MS - 5_000, 'what was published was not new');
    const [refreshes, failures] = [await writers.each('refreshes_total'), await writers.sum('refresh_failures_total')];
    await world.api.down();
    await delay(publishedAt + DUE_MS.to + 2_000 - Date.now());
    for (const writer of all) {
      assert.ok(await writer.isReady('?sinks=file'));
      assert.equal((await writer.get('/healthz')).status, 200);
    }
    const mints = (await writers.each('refreshes_total')).map((count, index) => count - refreshes[index]!);
    const patches = async () =>
      (await world.api.audit('system:serviceaccount:')).filter(({ verb }) => verb === 'patch');
    const before = (await patches()).length;
    await world.api.up();
    writers.watch();
    await eventually('a publication', () => publications.length > published, { withinMs: 30_000 });
    await delay(15_000); // whoever is slow to notice would be seen now
    const answers = (await patches()).slice(before).map(({ responseStatus }) => responseStatus?.code);
    t.diagnostic(`answers to patches when it was back: ${answers.join(' ')}`);
    t.diagnostic(`mints of each: ${mints.join(' ')}; publications afterwards: ${publications.length - published}`);
    assert.ok(
      mints.every((count) => count <= 1),
      mints.join(),
    );
    assert.equal(publications.length - published, 1);
    for (const writer of all) assert.ok(await writer.isReady());
    assert.equal(await writers.sum('refresh_failures_total'), failures);
  });
});
