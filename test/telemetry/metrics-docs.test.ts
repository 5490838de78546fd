import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { MINT_REMEDIES } from '../../src/credential/failures.ts';
import { createInstruments } from '../../src/telemetry/instruments.ts';

const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
const rules = /```yaml\n([^]*?)```/.exec(page)?.[1] ?? '';
const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

interface Described {
  readonly name: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  readonly help: string;
}

function described(): Described[] {
  const registry = new Registry();
  createInstruments(registry);
  return registry.getMetricsAsArray() as unknown as Described[];
}

test('docs/metrics.md has each metric once, with its type, labels and help, in the order of the code', () => {
  const rows = page
    .split('\n')
    .flatMap((line) => (line.startsWith('| `') ? [line.split('|').map((cell) => cell.trim())] : []));
  assert.deepEqual(
    rows.map(([, name, type, labels, help]) => ({ name, type, labels, help })),
    described().map(({ name, type, labelNames, help }) => ({
      name: `\`${name}\``,
      type,
      labels: labelNames.map((label) => `\`${label}\``).join(', '),
      help,
    })),
  );
});

test('docs/metrics.md lists every reason of a failure', () => {
  const listed = /`reason` is one of ([^.]+)\./.exec(page)?.[1] ?? '';
  assert.deepEqual(
    [...listed.matchAll(/`(\w+)`/g)].map(([, reason]) => reason),
    Object.keys(MINT_REMEDIES),
  );
});

test('the example alerts ask for metrics that exist', () => {
  const { groups } = parse(rules) as { groups: { rules: { alert: string; expr: string }[] }[] };
  const alerts = groups.flatMap((group) => group.rules);
  assert.equal(alerts.length, 3);
  const known = new Set(described().map(({ name }) => name));
  for (const { alert, expr } of alerts) {
    const used = expr.match(/lakebase_credential_\w+/g) ?? [];
    assert.ok(used.length > 0 && used.every((name) => known.has(name)), alert);
  }
});

test('the example alerts pass promtool', { skip: hasPromtool ? false : 'promtool is not on the PATH' }, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'alerts-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'rules.yaml');
  writeFileSync(file, rules);
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
});
