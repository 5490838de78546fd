import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { MINT_REMEDIES } from '../../src/credential/failures.ts';
import type { CredentialStatus } from '../../src/credential/status.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import {
  CANARY,
  credentialWith,
  frozenClock,
  holding,
  lacking,
  MINUTE_MS,
  NOW,
  statusWith,
} from '../support/statuses.ts';

const PGPASS = 'file:/run/lakebase/pgpass';
const SECRET = 'secret:backstage/lakebase';
const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

function tracked(): Metrics {
  const metrics = createMetrics(frozenClock);
  metrics.track(new Map([['backstage', [PGPASS, SECRET]]]));
  return metrics;
}

/** Samples of ours as `name{labels}` → value, without the prefix. */
async function samplesOf(
  metrics: Metrics,
  statuses: readonly CredentialStatus[] = [],
  format: 'text' | 'openmetrics' = 'text',
) {
  const { body } = await metrics.render(format, statuses);
  const lines = body.split('\n').filter((line) => line.startsWith('lakebase_credential_'));
  const entries = lines.map(
    (line) => line.replace('lakebase_credential_', '').split(/ (?=[^ ]+$)/) as [string, string],
  );
  assert.equal(new Set(entries.map(([series]) => series)).size, entries.length, 'no series twice');
  return new Map(entries.map(([series, value]) => [series, Number(value)]));
}

const names = (samples: ReadonlyMap<string, number>): Set<string> =>
  new Set([...samples.keys()].map((series) => series.replace(/\{.*/, '')));

describe('before anything is known', () => {
  test('counters and valid are 0 for every label value', async () => {
    const samples = await samplesOf(tracked());
    assert.ok([...samples.values()].every((value) => value === 0));
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
    const samples = await samplesOf(tracked(), [statusWith({ current: younger, sinks, consecutiveFailures: 2 })]);
    const labels = '{credential="backstage"}';
    const values = {
      valid: 1,
      expiry_timestamp_seconds: NOW / 1_000 + 600 + 2,
      issued_timestamp_seconds: NOW / 1_000 - 3_000 + 2,
      replace_by_timestamp_seconds: (NOW - 3_000_000 + 2_000 + 0.667 * 3_600_000) / 1_000,
      age_seconds: 3_000,
      consecutive_failures: 2,
      last_attempt_timestamp_seconds: NOW / 1_000 - 1_200,
      last_success_timestamp_seconds: NOW / 1_000 - 1_200,
      next_refresh_timestamp_seconds: NOW / 1_000 + 1_080,
    };
    for (const [name, value] of Object.entries(values)) assert.equal(samples.get(`${name}${labels}`), value, name);
    const ofSink = (sink: string): string => `{credential="backstage",sink="${sink}"}`;
    assert.equal(samples.get(`sink_expiry_timestamp_seconds${ofSink(PGPASS)}`), NOW / 1_000 + 3_002);
    assert.equal(samples.get(`sink_expiry_timestamp_seconds${ofSink(SECRET)}`), NOW / 1_000 + 602);
    assert.equal(samples.get(`sink_last_write_timestamp_seconds${ofSink(PGPASS)}`), NOW / 1_000 - 60);
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
    const metrics = tracked();
    metrics.configReloaded(true);
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

describe('the two formats', () => {
  async function filled(): Promise<Metrics> {
    const metrics = tracked();
    metrics.configReloaded(true);
    metrics.setBuildInfo({ version: '1.0.0', cliVersion: '1.13.0', nodeVersion: '26.10.0' });
    metrics.minted('backstage', credentialWith(), 1_000);
    return await Promise.resolve(metrics);
  }

  test('tell the same, in any order and at the same time', async () => {
    const metrics = await filled();
    const statuses = [statusWith()];
    const formats = ['text', 'openmetrics', 'text', 'openmetrics', 'openmetrics', 'text'] as const;
    const answers = await Promise.all(formats.map(async (format) => await samplesOf(metrics, statuses, format)));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    metrics.mintStarted('backstage');
    for (const format of formats) {
      const samples = await samplesOf(metrics, statuses, format);
      assert.equal(samples.get('refreshes_total{credential="backstage"}'), 1);
    }
  });

  test('name counters as each of them wants it', async () => {
    const metrics = await filled();
    const { body: open } = await metrics.render('openmetrics', []);
    const { body: text } = await metrics.render('text', []);
    assert.match(open, /^# TYPE lakebase_credential_refreshes counter$/m);
    assert.match(open, /^process_cpu_seconds_total [\d.e-]+$/m);
    assert.match(text, /^# TYPE lakebase_credential_refreshes_total counter$/m);
    assert.match(text, /^# TYPE process_cpu_seconds_total counter$/m);
  });

  test('OpenMetrics ends with its mark, has each family once and no empty line', async () => {
    const { body } = await (await filled()).render('openmetrics', [statusWith()]);
    assert.ok(body.endsWith('\n# EOF\n'));
    assert.doesNotMatch(body, /\n\n/);
    const families = [...body.matchAll(/^# TYPE (\S+) /gm)].map(([, family]) => family);
    assert.equal(new Set(families).size, families.length);
    for (const line of body.split('\n').slice(0, -2)) {
      assert.match(line, /^(# (HELP|TYPE) [a-z0-9_]+ .+|[a-z0-9_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? \S+)$/);
    }
  });

  test('have the metrics of the process and no token', async () => {
    const { body } = await (await filled()).render('text', [statusWith()]);
    assert.match(body, /^process_resident_memory_bytes \d/m);
    assert.match(body, /^nodejs_eventloop_lag_seconds /m);
    assert.doesNotMatch(body, /nodejs_eventloop_lag_(?!seconds)/); // they would wake it up all the time
    assert.doesNotMatch(body, new RegExp(CANARY));
  });

  test('pass promtool', { skip: hasPromtool ? false : 'promtool is not on the PATH' }, async () => {
    const { body } = await (await filled()).render('text', [statusWith()]);
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
    const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line !== '');
    // Node's own metrics have names that it does not like.
    assert.deepEqual(
      complaints.filter((line) => !line.startsWith('nodejs_')),
      [],
    );
  });
});
