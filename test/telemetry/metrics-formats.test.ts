import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import type { Metrics } from '../../src/telemetry/metrics.ts';
import { missing } from '../support/monitoring.ts';
import { CANARY, credentialWith, statusWith } from '../support/statuses.ts';
import { samplesOf, tracked } from './samples.ts';

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

  test('pass promtool', { skip: missing.promtool }, async () => {
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
