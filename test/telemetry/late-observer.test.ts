import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import type { Observer } from '../../src/credential/ports.ts';
import { LateObserver } from '../../src/telemetry/late-observer.ts';

test('every event is passed on as it is, also what happened before anybody listened, and in its order', async () => {
  const late = new LateObserver();
  const names = Object.keys(late.observer) as (keyof Observer)[];
  const told: unknown[][] = [];
  const listener = Object.fromEntries(
    names.map((name) => [name, (...args: unknown[]) => told.push([name, ...args])]),
  ) as unknown as Observer;
  const tellAll = (round: string): unknown[][] =>
    names.map((name) => {
      (late.observer[name] as (...args: unknown[]) => void)(round, { of: name }, 3, 4);
      return [name, round, { of: name }, 3, 4];
    });
  const before = tellAll('before');
  assert.deepEqual(told, []);
  late.pointTo(listener);
  const after = tellAll('after');
  await setImmediate();
  assert.deepEqual(told, [...before, ...after]);
});

test('the first event is waited for, until the end at the latest', { timeout: 10_000 }, async () => {
  const [stop, quiet, busy] = [new AbortController(), new LateObserver(), new LateObserver()];
  const told: string[] = [];
  const stopped = assert.rejects(quiet.firstEvent(stop), { message: 'stopped' });
  const begun = busy.firstEvent(stop).then(() => told.push('waited'));
  await setImmediate();
  told.push('happens');
  busy.observer.clockJumped(0);
  await begun;
  assert.deepEqual(told, ['happens', 'waited']);
  stop.abort(new Error('stopped'));
  await stopped;
});
