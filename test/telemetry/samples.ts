import assert from 'node:assert/strict';
import type { CredentialStatus } from '../../src/credential/status.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { frozenClock } from '../support/statuses.ts';

export const PGPASS = 'file:/run/lakebase/pgpass';
export const SECRET = 'secret:backstage/lakebase';

export function tracked(): Metrics {
  const metrics = createMetrics(frozenClock);
  metrics.track(new Map([['backstage', [PGPASS, SECRET]]]));
  return metrics;
}

/** Samples of ours as `name{labels}` → value, without the prefix. */
export async function samplesOf(
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
