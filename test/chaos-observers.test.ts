import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FILES, LIFETIME_MS, SECRET_PLACE } from '../chaos/layout.ts';
import { metricLies } from '../chaos/metric-lies.ts';
import type { Reading } from '../chaos/reading.ts';
import { SecretWatcher } from '../chaos/secret-watcher.ts';
import { HEALTH_MS } from '../chaos/tolerances.ts';

const START = 1_800_000_000_000;
const GOOD: Reading = { state: 'whole', token: { id: 'a', issuedAt: START, expiresAt: START + LIFETIME_MS } };

test('that health differs from a Secret which nobody has looked at since is not held against it', async () => {
  const lies: number[] = [];
  let next: Reading | undefined;
  const reader = { read: async () => await Promise.resolve(next) };
  const watcher = new SecretWatcher(reader, (what) => what.kind === 'lie' && lies.push(what.forMs));
  const says = `[+]${SECRET_PLACE} ok`;
  const judgedAt = (ms: number): number[] => {
    watcher.judge(says, START + ms);
    return lies.splice(0);
  };
  next = { state: 'missing' };
  await watcher.look(START);
  assert.deepEqual(judgedAt(100), [0]);
  // The API server does not answer, or the answer is on its way.
  assert.deepEqual(judgedAt(HEALTH_MS + 100), [0]);
  next = undefined;
  await watcher.look(START + HEALTH_MS + 200);
  assert.deepEqual(judgedAt(HEALTH_MS + 300), [0]);
  next = { state: 'missing' };
  await watcher.look(START + HEALTH_MS + 400);
  assert.deepEqual(judgedAt(HEALTH_MS + 500), [HEALTH_MS + 300], 'it is still missing');
  next = GOOD;
  await watcher.look(START + HEALTH_MS + 600);
  assert.deepEqual(judgedAt(HEALTH_MS + 700), []);
});

test('a metric may speak of a file that nobody watches, but not differ from what is in one that is watched', () => {
  const expiresAt = Math.ceil(Date.now() / 1_000) * 1_000 + LIFETIME_MS;
  const reading: Reading = { state: 'whole', token: { id: 'a', issuedAt: expiresAt - LIFETIME_MS, expiresAt } };
  const files = FILES.map(({ path }) => ({ path, reading }));
  const [fresh, old] = [expiresAt / 1_000, expiresAt / 1_000 - 15];
  /** Of the files of one credential; those of the other one are not up. */
  const liesAbout = (expiries: Readonly<Record<string, number>>, expiry: number, found = files): string[] => {
    const samples = Object.entries(expiries).map(
      ([name, at]) => `sink_expiry_timestamp_seconds{credential="reports",sink="file:/v/reports/${name}"} ${at}`,
    );
    const all = [
      'valid{credential="reports"} 1',
      `expiry_timestamp_seconds{credential="reports"} ${expiry}`,
      ...samples,
    ];
    const scrape = all.map((line) => `lakebase_credential_${line}\n`).join('');
    return metricLies(scrape, { files: found, volume: '/v' });
  };
  const both = { pgpass: fresh, 'credential.json': fresh };
  assert.deepEqual(liesAbout(both, fresh), []);
  assert.deepEqual(liesAbout({ ...both, extra: old }, old), [], 'the configuration can name one file more');
  assert.deepEqual(liesAbout({ ...both, pgpass: old }, old), [
    `/metrics of reports/pgpass: sink_expiry_timestamp_seconds is ${old} instead of ${fresh}`,
  ]);
  assert.deepEqual(liesAbout({ pgpass: fresh }, fresh), [
    `/metrics of reports/credential.json: sink_expiry_timestamp_seconds is undefined instead of ${fresh}`,
  ]);
  for (const expiry of [old, fresh + 15]) {
    assert.deepEqual(liesAbout(both, expiry), [
      `/metrics of reports: expiry_timestamp_seconds is ${expiry} instead of ${fresh}`,
    ]);
  }
  const empty = files.map((file) => ({ ...file, reading: { state: 'empty' } as const }));
  assert.deepEqual(liesAbout(both, fresh, empty), [
    '/metrics of reports: valid is 1 while reports/pgpass is empty, reports/credential.json is empty',
  ]);
});
