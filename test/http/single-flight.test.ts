import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { singleFlight } from '../../src/http/single-flight.ts';

/** Work that is done when the test says so. */
function sharedWork() {
  const begun: { readonly signal: AbortSignal; readonly finish: (result: string) => void }[] = [];
  const ask = singleFlight(async ({ signal }) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    signal.throwIfAborted();
    begun.push({ signal, finish: resolve });
    return await promise;
  });
  return { begun, ask: async (signal = new AbortController().signal) => await ask({ signal }) };
}

const turn = async (): Promise<void> => await setImmediate();

describe('work that is shared', () => {
  test('is done once more for all who come while it is done, so that no answer is older than its question', async () => {
    const { ask, begun } = sharedWork();
    const first = ask();
    await turn();
    const later = [ask(), ask(), ask()];
    await turn();
    assert.equal(begun.length, 1);
    begun[0]!.finish('old');
    assert.equal(await first, 'old');
    await turn();
    assert.equal(begun.length, 2);
    begun[1]!.finish('new');
    assert.deepEqual(await Promise.all(later), ['new', 'new', 'new']);
  });

  test('fails for those who share it, and not for the next', async () => {
    const { ask, begun } = sharedWork();
    const stop = new AbortController();
    const failing = ask(stop.signal);
    await turn();
    const next = ask();
    stop.abort(new Error('gone'));
    await assert.rejects(failing, { message: 'gone' });
    await turn();
    begun[1]!.finish('done');
    assert.equal(await next, 'done');
  });

  test('goes on as long as one waits, and is stopped when the last has left', async () => {
    const { ask, begun } = sharedWork();
    const [one, other] = [new AbortController(), new AbortController()];
    const asked = [ask(one.signal), ask(other.signal)].map(async (answer) => await answer.catch(() => 'gone'));
    await turn();
    one.abort();
    assert.equal(begun[0]!.signal.aborted, false);
    other.abort();
    assert.equal(begun[0]!.signal.aborted, true);
    assert.deepEqual(await Promise.all(asked), ['gone', 'gone']);
  });

  test('is shared by all who wait for the next time, also if the last leaves who has it done now', async () => {
    const { ask, begun } = sharedWork();
    const leaving = new AbortController();
    const left = ask(leaving.signal).catch(() => 'gone');
    await turn();
    const waiting = ask();
    leaving.abort();
    const later = ask();
    assert.equal(await left, 'gone');
    await turn();
    begun[1]!.finish('next');
    assert.equal(await waiting, 'next');
    await turn();
    assert.equal(begun.length, 2);
    assert.equal(await later, 'next');
  });

  test('is there for who comes after all others left before it began', async () => {
    const { ask, begun } = sharedWork();
    const first = ask();
    await turn();
    const left = new AbortController();
    const leaving = ask(left.signal).catch(() => 'gone');
    left.abort();
    const staying = ask();
    begun[0]!.finish('first');
    assert.equal(await first, 'first');
    await turn();
    begun.at(-1)!.finish('second');
    assert.equal(await staying, 'second');
    assert.equal(await leaving, 'gone');
  });
});
