import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { MINT_REMEDIES } from '../../src/credential/failures.ts';
import { createInstruments } from '../../src/telemetry/instruments.ts';

const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');

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
