import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { alerts, missing, RULES_FILE } from '../support/monitoring.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { recordings, type SeenAlert } from './recording.ts';

/** Between what a real Prometheus saw and when, and the even steps of a recording. */
const TOLERANCE_S = 60;

// What the real program exported while it had a fault, recorded by scripts/record-alerts.ts in real time.

for (const { alerts: seen, interval, name, series } of recordings()) {
  const story = name.replaceAll('-', ' ');
  test(`alerts fire, and resolve, as they did in real time: ${story}`, { skip: missing.promtool }, async (t) => {
    const file = join(await temporaryDirectory(t), 'test.yaml');
    const ofRecording = { interval, input_series: series, promql_expr_test: seen.flatMap(expectations) };
    await writeFile(file, stringify({ rule_files: [RULES_FILE], evaluation_interval: interval, tests: [ofRecording] }));
    const { status, stderr, stdout } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });
}

test('there is no alert without a recording in which it fires and resolves', () => {
  const seen = recordings().flatMap((recording) => recording.alerts);
  const resolved = seen.filter(({ resolvesAt }) => resolvesAt !== undefined);
  const names = new Set(resolved.map(({ labels }) => labels['alertname']));
  for (const { alert } of alerts()) assert.ok(names.has(alert), alert);
});

/** Silent before, firing at about the same time, silent afterwards. */
function expectations({ firesAt, labels, resolvesAt }: SeenAlert): object[] {
  const firing = `ALERTS{alertname="${labels['alertname']}", alertstate="firing"}`;
  const early = firesAt - TOLERANCE_S;
  const text = Object.entries({ ...labels, alertstate: 'firing' })
    .map(([label, value]) => `${label}="${value}"`)
    .join(', ');
  return [
    { expr: `max_over_time(${firing}[${early}s])`, eval_time: `${early}s`, exp_samples: [] },
    {
      expr: `max_over_time(${firing}[${2 * TOLERANCE_S}s])`,
      eval_time: `${firesAt + TOLERANCE_S}s`,
      exp_samples: [{ labels: `{${text}}`, value: 1 }],
    },
    { expr: firing, eval_time: `${resolvesAt! + TOLERANCE_S}s`, exp_samples: [] },
  ];
}
