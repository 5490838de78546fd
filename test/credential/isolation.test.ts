import assert from 'node:assert/strict';
import test from 'node:test';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import { Keeper } from '../../src/credential/keeper.ts';
import { remainingMs } from '../../src/credential/schedule.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { type Answer, credentialAt, HOUR_MS, MemorySink, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { startKeeper, World } from '../support/keeping.ts';
import { seeded } from '../support/random.ts';

const LIFETIME_MS = 5 * MINUTE_MS;

test('credentials whose commands hang for ever delay no other, even where they are as many as the slots', async (t) => {
  const world = new World({ concurrency: 2 });
  const { clock, recorder } = world;
  const hanging = [1, 2, 3].map(() => new ScriptedMinter(clock, ['hang']));
  hanging.forEach((minter, index) => world.add(minter, { name: `hanging ${index}` }));
  const healthy = new ScriptedMinter(clock, [{ lifetimeMs: LIFETIME_MS }]);
  world.add(healthy, { name: 'healthy', ttlMs: LIFETIME_MS });
  world.run(t);
  await clock.advance(HOUR_MS);
  assert.ok(hanging.every(({ calls }) => calls.length > 20));
  const gaps = healthy.calls.slice(2).map(({ at }, index) => at - healthy.calls[index + 1]!.at);
  assert.ok(gaps.length > 20);
  assert.ok(Math.max(...gaps) <= LIFETIME_MS * 0.45, 'each refresh runs when it is due');
  assert.deepEqual(recorder.of('expired'), []);
});

test('credentials whose commands begin to hang delay no other while they still hold a token', async (t) => {
  const world = new World({ concurrency: 2 });
  const { clock } = world;
  const hanging = [1, 2, 3, 4, 5].map(() => new ScriptedMinter(clock, [{}, 'hang']));
  const hangers = hanging.map((minter, index) => world.add(minter, { name: `hanging ${index}` }));
  const healthy = new ScriptedMinter(clock, [{ lifetimeMs: LIFETIME_MS }]);
  world.add(healthy, { name: 'healthy', ttlMs: LIFETIME_MS });
  world.run(t);
  await clock.advance(55 * MINUTE_MS);
  assert.ok(hanging.every(({ calls }) => calls.length > 5) && hangers.every((keeper) => leftOf(keeper, clock) > 0));
  const gaps = healthy.calls.slice(2).map(({ at }, index) => at - healthy.calls[index + 1]!.at);
  assert.ok(Math.max(...gaps) <= LIFETIME_MS * 0.45, `each refresh runs when it is due: ${gaps.join()}`);
});

test('credentials that come anew, as many as the slots, and whose commands hang, delay no other', async (t) => {
  const world = new World({ concurrency: 2 });
  const { clock } = world;
  const healthy = new ScriptedMinter(clock, [{ lifetimeMs: LIFETIME_MS }]);
  const keeper = world.add(healthy, { name: 'healthy', ttlMs: LIFETIME_MS });
  world.run(t);
  await clock.idle();
  await clock.advance(keeper.vitals().wakeAt - clock.now() - 1_000);
  const options = (index: number) => world.options(new ScriptedMinter(clock, ['hang']), { name: `new ${index}` });
  const stop = new AbortController();
  const ended = [1, 2].map((index) => new Keeper(options(index)).run(stop).catch(() => {}));
  await clock.advance(1_001);
  assert.equal(healthy.calls.length, 2);
  stop.abort();
  await Promise.all(ended);
});

test('with a single slot a hanging command delays others by no more than its deadline', async (t) => {
  const world = new World({ concurrency: 1 });
  const { clock, recorder } = world;
  world.add(new ScriptedMinter(clock, ['hang']), { name: 'hanging' });
  world.add(new ScriptedMinter(clock, [{ lifetimeMs: LIFETIME_MS }]), { name: 'healthy', ttlMs: LIFETIME_MS });
  world.run(t);
  await clock.advance(HOUR_MS);
  assert.deepEqual(recorder.of('expired'), []);
});

for (const concurrency of [1, 4]) {
  test(`six commands that always hang keep nobody from the next token who hung with them for a while, with slots: ${concurrency}`, async (t) => {
    const world = new World({ concurrency });
    const { clock, recorder } = world;
    const random = seeded(3);
    const hang: Answer = ({ timeoutMs, signal }) =>
      clock.sleep(timeoutMs, { signal }).then(() => Promise.reject(new MintError('timeout', 'too slow')));
    let isDown = false;
    const answer: Answer = async (options) => {
      if (isDown) return await hang(options);
      await clock.sleep(1_000, options);
      return credentialAt(clock, `token ${clock.monotonic()}`);
    };
    for (let i = 0; i < 6; i += 1)
      world.add(new ScriptedMinter(clock, [hang]), { name: `hangs ${i}`, random, sinks: [] });
    const keepers = Array.from({ length: 10 }, (_, i) =>
      world.add(new ScriptedMinter(clock, [answer]), { name: `${i}`, random, sinks: [] }),
    );
    world.run(t);
    await clock.advance(25 * MINUTE_MS);
    isDown = true;
    await clock.advance(7 * MINUTE_MS);
    isDown = false;
    await clock.advance(2 * HOUR_MS);
    assert.deepEqual(recorder.of('expired'), []);
    assert.ok(keepers.every((keeper) => leftOf(keeper, clock) > 20 * MINUTE_MS));
  });
}

test('of those that wait for a slot, the one with the least life left mints first, whoever came first', async (t) => {
  const world = new World({ concurrency: 1 });
  const { clock } = world;
  const order: string[] = [];
  const add = (name: string, lifetimeMs: number): Keeper => {
    const answer: Answer = async (options) => {
      order.push(name);
      await clock.sleep(5_000, options);
      return credentialAt(clock, `${name} ${clock.monotonic()}`, { lifetimeMs });
    };
    return world.add(new ScriptedMinter(clock, [answer]), { name, ttlMs: lifetimeMs, sinks: [] });
  };
  const [busy, long, short] = [add('busy', HOUR_MS), add('long', HOUR_MS), add('short', LIFETIME_MS)];
  world.run(t);
  await clock.advance(30_000);
  order.length = 0;
  for (const keeper of [busy, long, short]) {
    keeper.refreshSoon();
    await clock.idle();
  }
  await clock.advance(15_000);
  assert.deepEqual(order.slice(0, 3), ['busy', 'short', 'long']);
});

test('a sink that fails keeps no other from its credential, and is no reason to mint', async (t) => {
  const [bad, good] = [new MemorySink('file:/bad'), new MemorySink('file:/good')];
  bad.failure = new SinkError('no_space', 'no space left');
  const { clock, keeper, minter } = await startKeeper(t, { sinks: [bad, good], dice: 0.999 });
  assert.equal(good.content, 'token-1');
  await clock.advance(20 * MINUTE_MS);
  assert.equal(minter.calls.length, 1);
  const dueAt = keeper.vitals().wakeAt;
  bad.failure = undefined;
  await clock.advance(MINUTE_MS);
  assert.equal(bad.content, 'token-1', 'the same token');
  assert.equal(minter.calls.length, 1);
  assert.equal(keeper.vitals().wakeAt, dueAt, 'and no other time');
});

test('a sink whose write hangs keeps neither the other sinks nor the next refresh waiting', async (t) => {
  const [slow, good] = [new MemorySink('file:/slow'), new MemorySink('file:/good')];
  slow.write = () => new Promise(() => {});
  const world = new World();
  const minter = new ScriptedMinter(world.clock);
  const keeper = world.add(minter, { sinks: [slow, good] });
  void keeper.run(t).catch(() => {});
  void world.ticker.run(t).catch(() => {});
  await world.clock.advance(HOUR_MS);
  assert.ok(minter.calls.length > 1);
  assert.equal(good.content, keeper.current?.token.reveal());
});

test('a sink that hangs already when it is first looked at keeps the others waiting for seconds only', async (t) => {
  const [slow, good] = [new MemorySink('file:/slow'), new MemorySink('file:/good')];
  const looked = Promise.withResolvers<undefined>();
  t.after(() => looked.resolve(undefined));
  slow.recover = () => looked.promise;
  const { clock, minter } = await startKeeper(t, { sinks: [slow, good] });
  await clock.advance(10_000);
  assert.equal(good.content, 'token-1');
  assert.equal(slow.content, undefined, 'nothing is written where nobody has looked');
  looked.resolve(undefined);
  await clock.idle();
  assert.equal(slow.content, 'token-1');
  assert.equal(minter.calls.length, 1);
});

/** Three of fifty hang for ever; the others take a second. Each answers with tokens of five minutes. */
function fiftyCredentials(world: World) {
  const { clock } = world;
  const load = { running: 0, most: 0 };
  const slots = new Set<number>();
  const counted =
    (answer: Extract<Answer, (...args: never[]) => unknown>): Answer =>
    async (options) => {
      assert.ok(!slots.has(options.slot), 'no two commands share a slot');
      slots.add(options.slot);
      load.running += 1;
      load.most = Math.max(load.most, load.running);
      try {
        return await answer(options);
      } finally {
        load.running -= 1;
        slots.delete(options.slot);
      }
    };
  const hang = counted(({ signal }) =>
    clock.sleep(30_000, { signal }).then(() => Promise.reject(new MintError('timeout', 'too slow'))),
  );
  const mint = (name: string) =>
    counted(async (options) => {
      const credential = credentialAt(clock, `${name} ${clock.monotonic()}`, { lifetimeMs: LIFETIME_MS });
      await clock.sleep(1_000, options);
      return credential;
    });
  const answers = Array.from({ length: 50 }, (_, index) => (index % 20 === 5 ? hang : mint(`${index}`)));
  return { load, answers, isHealthy: (index: number) => index % 20 !== 5 };
}

test('of fifty credentials with tokens of five minutes, three of which hang, no healthy one expires in an hour', async (t) => {
  const world = new World();
  const { clock, recorder } = world;
  const random = seeded(7);
  const { load, answers, isHealthy } = fiftyCredentials(world);
  const keepers = answers.map((answer, index) =>
    world.add(new ScriptedMinter(clock, [answer]), { name: `${index}`, ttlMs: LIFETIME_MS, random, sinks: [] }),
  );
  world.run(t);
  await clock.advance(2 * MINUTE_MS);
  const healthy = keepers.filter((_, index) => isHealthy(index));
  assert.equal(healthy.length, 47);
  assert.ok(
    healthy.every(({ current }) => current !== undefined),
    'all have one after two minutes',
  );
  await clock.advance(58 * MINUTE_MS);
  assert.deepEqual(recorder.of('expired'), []);
  assert.ok(healthy.every((keeper) => leftOf(keeper, clock) > MINUTE_MS));
  assert.equal(load.most, 4);
});

test('nor after a restart, when all of them are adopted and due while three hang from the beginning', async (t) => {
  const world = new World();
  const { clock, recorder } = world;
  const random = seeded(11);
  const { load, answers, isHealthy } = fiftyCredentials(world);
  const left = credentialAt(clock, 'left-behind', { lifetimeMs: LIFETIME_MS });
  await clock.advance(LIFETIME_MS / 2);
  const keepers = answers.map((answer, index) => {
    const inherited = isHealthy(index) ? left : undefined;
    const options = { name: `${index}`, ttlMs: LIFETIME_MS, random, sinks: [], inherited };
    return world.add(new ScriptedMinter(clock, [answer]), options);
  });
  world.run(t);
  await clock.advance(20 * MINUTE_MS);
  assert.deepEqual(recorder.of('expired'), []);
  assert.ok(keepers.every((keeper, index) => !isHealthy(index) || leftOf(keeper, clock) > MINUTE_MS));
  assert.ok(load.most <= 4);
});

test('what was adopted is no stranger: its first mint takes the slot that is kept free of commands that hang', async (t) => {
  const world = new World({ concurrency: 2 });
  const { clock } = world;
  const inherited = credentialAt(clock, 'left-behind');
  const minter = new ScriptedMinter(clock);
  world.add(new ScriptedMinter(clock, ['hang']), { name: 'hanging', sinks: [] });
  world.add(new ScriptedMinter(clock, ['hang']), { name: 'hanging too', sinks: [] });
  const keeper = world.add(minter, { sinks: [], inherited });
  world.run(t);
  await clock.idle();
  await clock.advance(keeper.vitals().wakeAt - clock.now());
  assert.equal(minter.calls.length, 1);
});

function leftOf({ current }: Keeper, clock: FakeClock): number {
  return current === undefined ? -Infinity : remainingMs(current, clock);
}
