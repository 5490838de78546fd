import assert from 'node:assert/strict';
import test from 'node:test';
import { type SlotRequest, Slots } from '../../src/credential/slots.ts';

interface Job {
  readonly name: string;
  readonly done: Promise<unknown>;
  slot?: number;
  finish(): void;
  fail(error: Error): void;
  abort(reason: Error): void;
}

/** Jobs that hold their slot until they are told to finish. */
class Jobs {
  readonly slots: Slots;
  readonly started: string[] = [];
  running = 0;
  most = 0;

  constructor(size: number) {
    this.slots = new Slots(size);
  }

  add(name: string, request: Partial<SlotRequest> = {}): Job {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = new AbortController();
    const full = { wantedAt: 0, isTroubled: false, ...request };
    const work = async (slot: number): Promise<void> => {
      job.slot = slot;
      this.started.push(name);
      this.running += 1;
      this.most = Math.max(this.most, this.running);
      await promise.finally(() => (this.running -= 1));
    };
    const job: Job = {
      name,
      done: this.slots.with(full, work, abort),
      finish: resolve,
      fail: reject,
      abort: (reason) => abort.abort(reason),
    };
    job.done.catch(() => {}); // whoever cares awaits it
    return job;
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('at most so many commands run at once, each with a number that no other has meanwhile', async () => {
  const jobs = new Jobs(3);
  const done = new Set<string>();
  const all = Array.from({ length: 10 }, (_, index) => jobs.add(`${index}`));
  for (let finished = 0; finished < all.length; finished += 1) {
    await settle();
    const running = all.filter(({ slot, name }) => slot !== undefined && !done.has(name));
    assert.ok(running.length <= 3);
    assert.equal(new Set(running.map(({ slot }) => slot)).size, running.length);
    assert.ok(running.every(({ slot }) => slot! >= 0 && slot! < 3));
    done.add(running[0]!.name);
    running[0]!.finish();
  }
  await Promise.all(all.map((job) => job.done));
  assert.equal(jobs.most, 3);
  assert.equal(jobs.started.length, 10);
});

test('another size counts at once, and whoever holds a slot beyond it keeps its number until the end', async () => {
  const jobs = new Jobs(3);
  const old = ['a', 'b', 'c'].map((name) => jobs.add(name));
  const [d, e] = [jobs.add('d'), jobs.add('e')];
  await settle();
  jobs.slots.resize(1);
  for (const job of old.slice(0, 2)) job.finish();
  await settle();
  assert.deepEqual(jobs.started, ['a', 'b', 'c']);
  jobs.slots.resize(3);
  await settle();
  assert.deepEqual(jobs.started, ['a', 'b', 'c', 'd', 'e']);
  assert.equal(new Set([old[2]!.slot, d.slot, e.slot]).size, 3);
  for (const job of [old[2]!, d, e]) job.finish();
  await Promise.all([d.done, e.done]);
});

test('what is wanted soonest goes first, and equals in the order they came', async () => {
  const jobs = new Jobs(1);
  const first = jobs.add('running', { wantedAt: 9 });
  const waiting = [
    jobs.add('late', { wantedAt: 30 }),
    jobs.add('early', { wantedAt: 10 }),
    jobs.add('none', { wantedAt: -Infinity }),
    jobs.add('none, later', { wantedAt: -Infinity }),
    jobs.add('early, later', { wantedAt: 10 }),
  ];
  for (const job of [first, ...waiting]) job.finish();
  await Promise.all(waiting.map((job) => job.done));
  assert.deepEqual(jobs.started, ['running', 'none', 'none, later', 'early', 'early, later', 'late']);
});

test('troubled credentials never hold all slots, even while nobody else waits', async () => {
  for (const size of [2, 3, 4, 8]) {
    const jobs = new Jobs(size);
    const troubled = Array.from({ length: 20 }, (_, n) =>
      jobs.add(`troubled ${n}`, { isTroubled: true, wantedAt: -1 }),
    );
    await settle();
    assert.equal(jobs.running, size - 1);
    jobs.add('healthy', { wantedAt: 1e12 });
    await settle();
    assert.equal(jobs.started.at(-1), 'healthy');
    troubled[0]!.finish();
    await settle();
    assert.equal(jobs.running, size);
  }
});

test('troubled credentials hold as many slots as ever after the end of others, troubled or not', async () => {
  for (const isTroubled of [true, false]) {
    const jobs = new Jobs(2);
    const first = jobs.add('first', { isTroubled });
    first.finish();
    await first.done;
    for (const name of ['hangs', 'hangs too']) jobs.add(name, { isTroubled: true });
    await settle();
    assert.deepEqual(jobs.started, ['first', 'hangs']);
  }
});

test('a troubled credential that is wanted soonest does not keep back a healthy one that may run', async () => {
  const jobs = new Jobs(2);
  jobs.add('hangs', { isTroubled: true, wantedAt: -Infinity });
  jobs.add('hangs too', { isTroubled: true, wantedAt: -Infinity });
  jobs.add('healthy', { wantedAt: 10 });
  await settle();
  assert.deepEqual(jobs.started, ['hangs', 'healthy']);
});

test('with a single slot the troubled ones run too, after the healthy ones that wait', async () => {
  const jobs = new Jobs(1);
  const running = jobs.add('running', { isTroubled: true });
  const waiting = [jobs.add('troubled', { isTroubled: true, wantedAt: -1 }), jobs.add('healthy', { wantedAt: 50 })];
  for (const job of [running, ...waiting]) job.finish();
  await Promise.all(waiting.map((job) => job.done));
  assert.deepEqual(jobs.started, ['running', 'healthy', 'troubled']);
});

test('whoever stops waiting leaves no trace', async () => {
  const jobs = new Jobs(1);
  const running = jobs.add('running');
  const leaving = jobs.add('leaving', { wantedAt: -1 });
  const reason = new Error('stopped');
  leaving.abort(reason);
  await assert.rejects(leaving.done, reason);
  const next = jobs.add('next');
  running.finish();
  next.finish();
  await next.done;
  assert.deepEqual(jobs.started, ['running', 'next']);
});

test('a healthy waiter that leaves lets a troubled one run where there is a single slot', async () => {
  const jobs = new Jobs(1);
  const running = jobs.add('running');
  const healthy = jobs.add('healthy');
  const troubled = jobs.add('troubled', { isTroubled: true });
  healthy.abort(new Error('stopped'));
  await settle();
  running.finish();
  troubled.finish();
  await troubled.done;
  assert.deepEqual(jobs.started, ['running', 'troubled']);
});

test('nothing is lost when the signal fires in the same turn as the slot is granted', async () => {
  const jobs = new Jobs(2);
  const running = jobs.add('running', { isTroubled: true });
  const unlucky = jobs.add('unlucky', { isTroubled: true });
  running.finish();
  await running.done.then(() => unlucky.abort(new Error('stopped')));
  unlucky.finish();
  await unlucky.done.catch(() => {});
  const [after, healthy] = [jobs.add('after', { isTroubled: true }), jobs.add('healthy')];
  await settle();
  assert.deepEqual(jobs.started.slice(-2), ['after', 'healthy']);
  assert.deepEqual(new Set([after.slot, healthy.slot]), new Set([0, 1]));
});

test('who still waits loses no place to one whose signal fires in the turn in which it got its slot', async () => {
  const jobs = new Jobs(1);
  const running = jobs.add('running');
  const [unlucky, patient] = [jobs.add('unlucky'), jobs.add('patient')];
  jobs.slots.resize(2);
  unlucky.abort(new Error('stopped'));
  for (const job of [running, unlucky, patient]) job.finish();
  await settle();
  assert.equal(jobs.started.at(-1), 'patient');
});

test('a command that fails gives its slot back, with its own error', async () => {
  const jobs = new Jobs(2);
  const error = new Error('failed');
  for (let count = 0; count < 5; count += 1) {
    const job = jobs.add('fails', { isTroubled: true });
    job.fail(error);
    await assert.rejects(job.done, error);
  }
});

test('whoever comes with a signal that has fired already gets no slot', async () => {
  const slots = new Slots(1);
  const reason = new Error('stopped');
  const task = () => Promise.reject(new Error('ran'));
  const signal = AbortSignal.abort(reason);
  await assert.rejects(slots.with({ wantedAt: 0, isTroubled: false }, task, { signal }), reason);
});
