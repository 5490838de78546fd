import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINT_REMEDIES } from '../../src/credential/failures.ts';
import type { Credential } from '../../src/credential/ports.ts';
import type { CredentialStatus } from '../../src/credential/status.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { credentialWith, frozenClock, holding, lacking, NOW, statusWith } from '../support/statuses.ts';
import { HOUR_MS, MINUTE_MS } from '../support/fakes.ts';
import { PGPASS, samplesOf, SECRET, tracked } from './samples.ts';

const names = (samples: ReadonlyMap<string, number>): Set<string> =>
  new Set([...samples.keys()].map((series) => series.replace(/\{.*/, '')));

describe('before anything is known', () => {
  test('counters and valid are 0 for every label value', async () => {
    const samples = await samplesOf(tracked());
    assert.ok([...samples.values()].every((value) => value === 0));
    const ofNobody = [...samples.keys()].filter((series) => !series.includes('credential="backstage"'));
    assert.deepEqual(ofNobody, ['clock_jumps_total']);
    for (const reason of Object.keys(MINT_REMEDIES)) {
      assert.ok(samples.has(`refresh_failures_total{credential="backstage",reason="${reason}"}`));
    }
    for (const sink of [PGPASS, SECRET]) {
      assert.ok(samples.has(`sink_repairs_total{credential="backstage",sink="${sink}"}`));
      assert.ok(samples.has(`sink_writes_total{credential="backstage",sink="${sink}",result="success"}`));
      assert.ok(samples.has(`sink_writes_total{credential="backstage",sink="${sink}",result="failure"}`));
    }
    const always = ['valid', 'refreshes_total', 'refresh_failures_total', 'adoptions_total', 'sink_writes_total'];
    const histogram = ['bucket', 'sum', 'count'].map((part) => `refresh_duration_seconds_${part}`);
    const counters = ['sink_repairs_total', 'clock_jumps_total'];
    assert.deepEqual(names(samples), new Set([...always, ...histogram, ...counters]));
  });

  test('timestamps and ages are absent', async () => {
    const status = statusWith({
      current: undefined,
      sinks: [lacking('missing', 'not there')],
      lastAttemptAt: undefined,
      lastSuccessAt: undefined,
    });
    const before = names(await samplesOf(tracked()));
    const after = names(await samplesOf(tracked(), [status]));
    assert.deepEqual(
      [...after].filter((name) => !before.has(name)),
      ['next_refresh_timestamp_seconds', 'consecutive_failures'],
    );
  });
});

describe('what statuses say', () => {
  const younger = credentialWith({ leftMs: 50 * MINUTE_MS, token: 'younger' });
  const older = credentialWith({ leftMs: 10 * MINUTE_MS, token: 'older' });

  test('is that of the earliest-expiring credential in any sink, in service time', async () => {
    const sinks = [holding(younger), holding(older, SECRET)];
    const samples = await samplesOf(tracked(), [
      statusWith({ current: younger, sinks, consecutiveFailures: 2, lastAttemptAt: NOW - 30_000 }),
    ]);
    const labels = '{credential="backstage"}';
    const values = {
      valid: 1,
      expiry_timestamp_seconds: NOW / 1_000 + 600 + 2,
      issued_timestamp_seconds: NOW / 1_000 - 3_000 + 2,
      replace_by_timestamp_seconds: (NOW - 3_000_000 + 2_000 + 0.667 * 3_600_000) / 1_000,
      age_seconds: 3_000,
      consecutive_failures: 2,
      last_attempt_timestamp_seconds: NOW / 1_000 - 30,
      last_success_timestamp_seconds: NOW / 1_000 - 1_200,
      next_refresh_timestamp_seconds: NOW / 1_000 + 1_080,
    };
    for (const [name, value] of Object.entries(values)) assert.equal(samples.get(`${name}${labels}`), value, name);
    const ofSink = (sink: string): string => `{credential="backstage",sink="${sink}"}`;
    assert.equal(samples.get(`sink_expiry_timestamp_seconds${ofSink(PGPASS)}`), NOW / 1_000 + 3_002);
    assert.equal(samples.get(`sink_expiry_timestamp_seconds${ofSink(SECRET)}`), NOW / 1_000 + 602);
    assert.equal(samples.get(`sink_last_write_timestamp_seconds${ofSink(PGPASS)}`), NOW / 1_000 - 60);
  });

  test('is no younger for a clock that was set back', async () => {
    const metrics = createMetrics({ ...frozenClock, now: () => NOW - HOUR_MS });
    const samples = await samplesOf(metrics, [statusWith({ sinks: [holding(older)] })]);
    assert.equal(samples.get('age_seconds{credential="backstage"}'), 3_000);
  });

  const invalid: [string, CredentialStatus['sinks']][] = [
    ['a sink lacks it', [holding(younger), lacking('foreign_content', 'others wrote it', SECRET)]],
    ['a sink holds one that expired', [holding(younger), holding(credentialWith({ leftMs: 0 }), SECRET)]],
  ];
  for (const [title, sinks] of invalid) {
    test(`valid is 0 while ${title}`, async () => {
      const samples = await samplesOf(tracked(), [statusWith({ current: younger, sinks })]);
      assert.equal(samples.get('valid{credential="backstage"}'), 0);
    });
  }

  test('vanishes again where it is no longer known', async () => {
    const metrics = tracked();
    const series = `sink_expiry_timestamp_seconds{credential="backstage",sink="${PGPASS}"}`;
    assert.ok((await samplesOf(metrics, [statusWith({ sinks: [holding(older)] })])).has(series));
    const samples = await samplesOf(metrics, [statusWith({ sinks: [lacking('missing', 'deleted')] })]);
    assert.ok(!samples.has(series));
    assert.ok(!samples.has('expiry_timestamp_seconds{credential="backstage"}'));
  });

  test('vanishes all at once with the credential, as if it had never been', async () => {
    const metrics = tracked();
    const sinks = [holding(younger), holding(older, SECRET)];
    const known = await samplesOf(metrics, [statusWith({ current: younger, sinks, consecutiveFailures: 2 })]);
    const unknown = await samplesOf(tracked());
    assert.ok(known.size > unknown.size + 10);
    assert.deepEqual(await samplesOf(metrics), unknown);
  });
});

describe('what happens', () => {
  test('is told apart by how long a mint took, whether it is a quick one or one that nearly takes too long', async () => {
    const metrics = tracked();
    const tookMs = [200, 400, 800, 1_500, 3_000, 7_000, 15_000, 25_000, 45_000, 90_000];
    for (const durationMs of tookMs) metrics.minted('backstage', credentialWith(), durationMs);
    const buckets = [...(await samplesOf(metrics))].filter(([name]) => name.includes('_bucket'));
    // Of mints up to its own length each bucket has one more than the one before.
    assert.deepEqual(
      buckets.map(([, count]) => count),
      tookMs.map((_, index) => index + 1),
    );
  });

  test('counts, and how long a mint took does so whether or not it succeeded', async () => {
    const metrics = tracked();
    metrics.minted('backstage', credentialWith(), 1_500);
    metrics.mintFailed('backstage', 'network', 500);
    metrics.adopted('backstage', credentialWith());
    metrics.sinkWritten('backstage', PGPASS, false);
    metrics.sinkWritten('backstage', PGPASS, true);
    metrics.sinkFailed('backstage', SECRET);
    metrics.configReloaded(true);
    const [before, after] = [await samplesOf(tracked()), await samplesOf(metrics)];
    const changed = [...after].filter(([name, value]) => value !== before.get(name) && !name.includes('_bucket'));
    assert.deepEqual(Object.fromEntries(changed), {
      'refresh_duration_seconds_sum{credential="backstage"}': 2,
      'refresh_duration_seconds_count{credential="backstage"}': 2,
      'refresh_failures_total{credential="backstage",reason="network"}': 1,
      'adoptions_total{credential="backstage"}': 1,
      [`sink_writes_total{credential="backstage",sink="${PGPASS}",result="success"}`]: 2,
      [`sink_writes_total{credential="backstage",sink="${SECRET}",result="failure"}`]: 1,
      [`sink_repairs_total{credential="backstage",sink="${PGPASS}"}`]: 1,
      clock_skew_seconds: 0.5,
      config_last_reload_successful: 1,
      config_last_reload_success_timestamp_seconds: NOW / 1_000,
    });
  });
});

describe('by how much the clocks are apart', () => {
  const skewedBy = (skewMs: number): Credential => {
    const credential = credentialWith();
    const { issuedAt, expiresAt } = credential.local;
    return { ...credential, service: { issuedAt: issuedAt + skewMs, expiresAt: expiresAt + skewMs } };
  };
  const skewAfter = async (...told: readonly ['minted' | 'adopted', number][]): Promise<number | undefined> => {
    const metrics = tracked();
    for (const [event, skewMs] of told) metrics[event]('backstage', skewedBy(skewMs), 1_000);
    return (await samplesOf(metrics)).get('clock_skew_seconds');
  };

  test('is told by a token that is adopted, until one is minted', async () => {
    assert.equal(await skewAfter(['adopted', 600_000]), 600);
    assert.equal(await skewAfter(['adopted', 600_000], ['minted', 0]), 0);
    assert.equal(await skewAfter(['minted', 0], ['adopted', 600_000]), 0, 'one that was adopted later is no news');
  });

  test('is no more than a mint proves, which may have waited for the service', async () => {
    assert.equal(await skewAfter(['minted', 999]), 0);
    assert.equal(await skewAfter(['minted', 600_000]), 599);
    assert.equal(await skewAfter(['minted', -600_000]), -600);
  });

  test('is not told by one that is adopted, where all of it may be a slow mint of which nobody knows any more', async () => {
    assert.equal(await skewAfter(['adopted', 20_000]), undefined);
    assert.equal(await skewAfter(['adopted', -20_000]), -20, 'however slow it was, it does not make a clock seem fast');
    assert.equal(await skewAfter(['adopted', 130_000]), 130, 'which the alert for what is overdue has to know');
  });

  test('is not told by one of which only this clock is known', async () => {
    assert.equal(await skewAfter(['adopted', 0]), undefined);
    assert.equal(await skewAfter(['adopted', 600_000], ['adopted', 0]), 600);
  });
});

describe('a change of the configuration', () => {
  test('keeps the counts of what stays and forgets what goes', async () => {
    const metrics = tracked();
    metrics.mintStarted('backstage');
    metrics.minted('backstage', credentialWith(), 1_000);
    metrics.sinkWritten('backstage', PGPASS, true);
    metrics.sinkWritten('backstage', SECRET, true);
    metrics.track(
      new Map([
        ['backstage', [PGPASS]],
        ['reports', [SECRET]],
      ]),
    );
    const both = await samplesOf(metrics);
    assert.equal(both.get('refreshes_total{credential="backstage"}'), 1);
    assert.equal(both.get('refresh_duration_seconds_count{credential="backstage"}'), 1);
    assert.equal(both.get(`sink_repairs_total{credential="backstage",sink="${PGPASS}"}`), 1);
    assert.ok(!both.has(`sink_repairs_total{credential="backstage",sink="${SECRET}"}`));
    assert.equal(both.get('valid{credential="reports"}'), 0);
    metrics.track(new Map([['reports', [SECRET]]]));
    assert.doesNotMatch([...(await samplesOf(metrics)).keys()].join('\n'), /credential="backstage"/);
  });

  test('is reported, with the time of the last good one', async () => {
    let now = NOW;
    const metrics = createMetrics({ ...frozenClock, now: () => now });
    metrics.configReloaded(true);
    now += MINUTE_MS;
    metrics.configReloaded(false);
    const samples = await samplesOf(metrics);
    assert.equal(samples.get('config_last_reload_successful'), 0);
    assert.equal(samples.get('config_last_reload_success_timestamp_seconds'), NOW / 1_000);
  });

  test('build information is that of the last call', async () => {
    const metrics = tracked();
    metrics.setBuildInfo({ version: '1.0.0', cliVersion: '', nodeVersion: '26.10.0' });
    metrics.setBuildInfo({ version: '1.0.0', cliVersion: '1.13.0', nodeVersion: '26.10.0' });
    const samples = [...(await samplesOf(metrics))].filter(([series]) => series.startsWith('build_info'));
    assert.deepEqual(samples, [['build_info{version="1.0.0",cli_version="1.13.0",node_version="26.10.0"}', 1]]);
  });
});
