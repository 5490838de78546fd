import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIFETIME_MS, SECRET_PLACE } from '../chaos/layout.ts';
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
