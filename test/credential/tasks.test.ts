import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import test from 'node:test';
import type { Cancellable } from '../../src/credential/ports.ts';
import { Slots } from '../../src/credential/slots.ts';
import { runAll, unlessAborted, within } from '../../src/credential/tasks.ts';
import { Alarm, Ticker } from '../../src/credential/ticker.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** Runs until the signal, then takes a moment to stop. */
function stoppable() {
  const seen: { reason?: unknown; hasStopped: boolean } = { hasStopped: false };
  const task = async ({ signal }: Cancellable): Promise<never> => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    signal.addEventListener('abort', resolve, { once: true });
    if (!signal.aborted) await promise;
    await new Promise((resolve) => setImmediate(resolve));
    seen.reason = signal.reason;
    seen.hasStopped = true;
    throw signal.reason;
  };
  return { seen, task };
}

test('the first task that fails ends the others, which are waited for, and its error is thrown', async () => {
  const [one, two] = [stoppable(), stoppable()];
  const error = new Error('broken');
  const failing = async () => await Promise.reject(error);
  await assert.rejects(runAll([one.task, failing, two.task], { signal: new AbortController().signal }), error);
  for (const { seen } of [one, two]) assert.deepEqual(seen, { reason: error, hasStopped: true });
});

test('the signal ends all tasks, which are waited for, and its reason is thrown', async () => {
  const [one, two] = [stoppable(), stoppable()];
  const stop = new AbortController();
  const running = runAll([one.task, two.task], stop);
  const reason = new Error('stopped');
  stop.abort(reason);
  await assert.rejects(running, reason);
  for (const { seen } of [one, two]) assert.deepEqual(seen, { reason, hasStopped: true });
});

test('a signal that has fired already is passed on to the tasks', { timeout: 10_000 }, async () => {
  const { seen, task } = stoppable();
  const reason = new Error('stopped');
  await assert.rejects(runAll([task], { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(seen.reason, reason);
});

test('tasks that end by themselves end nothing else', async () => {
  const order: string[] = [];
  const first = async () => {
    order.push('first');
  };
  const second = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    order.push('second');
  };
  await runAll([first, second], { signal: new AbortController().signal });
  assert.deepEqual(order, ['first', 'second']);
});

test('what is waited for is given up when the signal fires, or has fired', async () => {
  const never = Promise.withResolvers<string>().promise;
  const stop = new AbortController();
  const waiting = unlessAborted(never, stop);
  const reason = new Error('stopped');
  stop.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(unlessAborted(Promise.resolve('something'), stop), reason);
  assert.equal(await unlessAborted(Promise.resolve('something'), new AbortController()), 'something');
});

test(
  'what may take too long is waited for until then, or until the signal fires, and no timer is left',
  { timeout: 10_000 },
  async () => {
    const clock = new FakeClock();
    const never = Promise.withResolvers<string>().promise;
    const stop = new AbortController();
    const options = { signal: stop.signal, clock };
    assert.equal(await within(1_000, Promise.resolve('in time'), options), 'in time');
    await clock.idle();
    assert.equal(clock.sleepers, 0);
    const late = within(1_000, never, options);
    await clock.advance(1_000);
    assert.equal(await late, undefined);
    const stopped = within(1_000, never, options);
    const reason = new Error('stopped');
    stop.abort(reason);
    await assert.rejects(stopped, reason);
  },
);

test('a wait that is over leaves nothing on the signal, which lives as long as the process', async () => {
  const { signal } = new AbortController();
  const done = async () => await Promise.resolve();
  const clock = new FakeClock();
  const alarm = new Alarm(new Ticker(clock, () => {}));
  const rung = alarm.until(clock.now() + 1, { signal });
  alarm.ring();
  await rung;
  await unlessAborted(done(), { signal });
  await within(1_000, done(), { signal, clock });
  await runAll([done], { signal });
  await new Slots(1).with({ wantedAt: 0, isTroubled: false }, done, { signal });
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});
