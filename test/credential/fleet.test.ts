import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Fleet, type KeeperPlan } from '../../src/credential/fleet.ts';
import { Keeper } from '../../src/credential/keeper.ts';
import type { KeeperOptions } from '../../src/credential/keeper-options.ts';
import type { Cancellable } from '../../src/credential/ports.ts';
import { Slots } from '../../src/credential/slots.ts';
import { livenessChecks } from '../../src/credential/status.ts';
import { HOUR_MS, MemorySink, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { World } from '../support/keeping.ts';

interface Planned extends KeeperPlan {
  readonly minter: ScriptedMinter;
  readonly sink: MemorySink;
}

function setUp(t: TestContext) {
  const world = new World();
  const fleet = new Fleet();
  const plan = (name: string, key = '', identityKey = '', options: Partial<KeeperOptions> = {}): Planned => {
    const minter = new ScriptedMinter(world.clock);
    const sink = new MemorySink(`file:/${name}`);
    const make: KeeperPlan['make'] = (inherited) =>
      new Keeper({ ...world.options(minter, { name, sinks: [sink] }), ...options, inherited });
    return { name, key, identityKey, sinks: [sink], make, minter, sink };
  };
  const stop = new AbortController();
  const start = (): Promise<void> => {
    const running = fleet.run(stop);
    running.catch(() => {});
    t.after(async () => {
      stop.abort(new Error('the test is over'));
      await running.catch(() => {});
      assert.deepEqual(fleet.keepers, []);
    });
    return running;
  };
  world.run(t);
  return { clock: world.clock, ticker: world.ticker, fleet, plan, start, stop };
}

function namesOf(fleet: Fleet): string[] {
  return fleet.keepers.map(({ name }) => name);
}

test('a reload leaves alone what did not change: it keeps running and mints nothing', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  const before = plan('a');
  assert.deepEqual(await fleet.replace([before]), ['a']);
  await clock.idle();
  const [keeper] = fleet.keepers;
  const after = plan('a');
  assert.deepEqual(
    fleet.newcomers([after, plan('b')]).map(({ name }) => name),
    ['b'],
  );
  assert.deepEqual(await fleet.replace([after]), []);
  await clock.advance(10_000);
  assert.equal(fleet.keepers[0], keeper);
  assert.equal(before.minter.calls.length, 1);
  assert.equal(after.minter.calls.length, 0);
});

test('a credential that is configured otherwise goes on with what it held, and mints nothing', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  await fleet.replace([plan('a', 'old', 'same')]);
  await clock.idle();
  const after = plan('a', 'new', 'same');
  assert.deepEqual(fleet.newcomers([after]), [after]);
  assert.deepEqual(await fleet.replace([after]), ['a']);
  await clock.idle();
  assert.equal(after.minter.calls.length, 0);
  assert.equal(after.sink.content, 'token-1', 'its new sinks are filled');
});

test('a reload in the middle of an outage, with a sink that does not answer at once, is no reason to be restarted', async (t) => {
  const { clock, fleet, plan, start, ticker } = setUp(t);
  void start();
  const before = plan('a', 'old');
  await fleet.replace([before]);
  await clock.advance(MINUTE_MS);
  before.minter.script('hang');
  await clock.advance(40 * MINUTE_MS);
  const after = plan('a', 'new');
  after.sink.recover = async (options: Cancellable) => await clock.sleep(2_000, options).then(() => undefined);
  await fleet.replace([after]);
  await clock.advance(1_000);
  const checks = livenessChecks(ticker.beatAt, [fleet.keepers[0]!.vitals()], clock);
  assert.deepEqual(
    checks.filter(({ isOk }) => !isOk),
    [],
  );
});

for (const what of ['waits for its turn', 'mints']) {
  test(`who ${what} when a reload stops it, and must see a slow write through, is no reason to be restarted`, async (t) => {
    const { clock, fleet, plan, start, ticker } = setUp(t);
    void start();
    const slots = new Slots(1);
    const before = plan('a', 'old', '', { slots });
    await fleet.replace([before]);
    await clock.advance(MINUTE_MS);
    const turn = Promise.withResolvers<void>();
    const blocker = slots.with({ wantedAt: 0, isTroubled: true }, () => turn.promise, t);
    before.minter.script('hang');
    const written = Promise.withResolvers<void>();
    before.sink.write = () => written.promise;
    await clock.advance(32 * MINUTE_MS); // two minutes past the due time
    before.sink.content = undefined;
    await clock.advance(1_000);
    if (what === 'mints') turn.resolve();
    await clock.idle();
    const replacing = fleet.replace([plan('a', 'new')]);
    await clock.idle();
    const checks = livenessChecks(ticker.beatAt, [fleet.keepers[0]!.vitals()], clock);
    written.resolve();
    turn.resolve();
    await Promise.all([replacing, blocker]);
    assert.deepEqual(
      checks.filter(({ isOk }) => !isOk),
      [],
    );
  });
}

test('a credential that is between two keepers is never missing where health is asked after', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  await fleet.replace([plan('a', 'old'), plan('b', 'old')]);
  await clock.idle();
  const replacing = fleet.replace([plan('a', 'new'), plan('b', 'new')]);
  for (let turn = 0; turn < 200; turn += 1) {
    assert.deepEqual(namesOf(fleet), ['a', 'b']);
    await Promise.resolve();
  }
  assert.deepEqual(await replacing, ['a', 'b']);
});

test('a credential of another identity inherits nothing, and mints', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  const before = plan('a', 'old', 'one');
  await fleet.replace([before]);
  await clock.advance(1_000);
  const after = plan('a', 'new', 'other');
  assert.deepEqual(await fleet.replace([after]), ['a']);
  await clock.idle();
  assert.equal(after.minter.calls.length, 1);
  assert.equal(fleet.keepers[0]?.current?.local.issuedAt, clock.now());
});

test('a credential that is configured no longer is stopped, and its sinks are left as they are', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  const [a, b] = [plan('a'), plan('b')];
  await fleet.replace([a, b]);
  await clock.idle();
  assert.deepEqual(await fleet.replace([plan('b')]), ['a']);
  assert.deepEqual(namesOf(fleet), ['b']);
  assert.equal(a.sink.content, 'token-1');
  a.sink.content = undefined;
  await clock.advance(2 * HOUR_MS);
  assert.equal(a.minter.calls.length, 1);
  assert.equal(a.sink.content, undefined, 'nor repaired any more');
  assert.ok(b.minter.calls.length > 2);
});

test('the old keeper has stopped before the new one of the same name starts', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  const before = plan('a', 'old');
  const write = Promise.withResolvers<void>();
  before.sink.write = () => write.promise;
  await fleet.replace([before]);
  await clock.idle();
  const after = plan('a', 'new');
  const replaced = fleet.replace([after]);
  await clock.idle();
  assert.deepEqual([before.minter.calls.length, after.minter.calls.length], [1, 0]);
  assert.equal(after.sink.content, undefined);
  write.resolve();
  await replaced;
  await clock.idle();
  assert.equal(after.sink.content, 'token-1');
});

test('so it has where the new one writes other files, for both may write one record', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  const write = Promise.withResolvers<void>();
  t.after(() => write.resolve());
  void start();
  const before = plan('a', 'old');
  before.sink.write = () => write.promise;
  await fleet.replace([before]);
  await clock.idle();
  const sinks = [new MemorySink('file:/another')];
  const replaced = fleet.replace([{ ...plan('a', 'new', '', { sinks }), sinks }]);
  await clock.idle();
  assert.equal(sinks[0]?.content, undefined);
  write.resolve();
  await replaced;
  await clock.idle();
  assert.equal(sinks[0]?.content, 'token-1');
});

test('a reload while a write hangs changes all others at once, and nobody is restarted for it', async (t) => {
  const { clock, fleet, plan, start, ticker } = setUp(t);
  const write = Promise.withResolvers<void>();
  t.after(() => write.resolve());
  void start();
  const hanging = plan('hanging', 'old');
  hanging.sink.write = () => write.promise;
  await fleet.replace([hanging, plan('fine', 'old'), plan('gone', 'old')]);
  await clock.advance(MINUTE_MS);
  const [heir, fine] = [plan('hanging', 'new'), plan('fine', 'new')];
  const replaced = fleet.replace([heir, fine]);
  await clock.idle();
  assert.deepEqual(namesOf(fleet), ['hanging', 'fine']);
  assert.equal(fine.sink.content, 'token-1');
  await clock.advance(2 * HOUR_MS);
  const vitals = fleet.keepers.map((keeper) => keeper.vitals());
  assert.deepEqual(
    livenessChecks(ticker.beatAt, vitals, clock).filter(({ isOk }) => !isOk),
    [],
  );
  assert.ok(fine.minter.calls.length > 2, 'it is kept fresh');
  assert.equal(heir.minter.calls.length, 0);
  write.resolve();
  assert.deepEqual(await replaced, ['hanging', 'fine', 'gone']);
  await clock.idle();
  assert.equal(heir.sink.content, 'token-1');
});

test('whoever gets the file of another one waits until that one has stopped, and until then both are there', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  const write = Promise.withResolvers<void>();
  t.after(() => write.resolve());
  void start();
  const before = plan('before');
  before.sink.write = () => write.promise;
  await fleet.replace([before, plan('other')]);
  await clock.idle();
  const taken = [new MemorySink('file:/more'), new MemorySink(before.sink.name)];
  const after = { ...plan('after', '', '', { sinks: taken }), sinks: taken };
  const replaced = fleet.replace([after, plan('other')]);
  await clock.advance(HOUR_MS);
  assert.deepEqual(namesOf(fleet), ['before', 'other']);
  assert.equal(after.minter.calls.length, 0);
  write.resolve();
  for (let turn = 0; turn < 200; turn += 1) {
    assert.ok(fleet.keepers.length >= 2);
    await Promise.resolve();
  }
  assert.deepEqual(await replaced, ['before', 'after']);
  await clock.idle();
  assert.deepEqual(namesOf(fleet), ['other', 'after']);
  assert.deepEqual(
    taken.map(({ content }) => content),
    ['token-1', 'token-1'],
  );
});

test('of two whose files another one gets neither is gone before both have stopped', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  const write = Promise.withResolvers<void>();
  t.after(() => write.resolve());
  void start();
  const [swift, slow] = [plan('swift'), plan('slow')];
  slow.sink.write = () => write.promise;
  await fleet.replace([swift, slow]);
  await clock.idle();
  const sinks = [swift, slow].map(({ sink }) => new MemorySink(sink.name));
  const replaced = fleet.replace([{ ...plan('heir', '', '', { sinks }), sinks }]);
  await clock.idle();
  assert.deepEqual(namesOf(fleet), ['swift', 'slow']);
  write.resolve();
  await replaced;
  assert.deepEqual(namesOf(fleet), ['heir']);
});

test('a reload that fails is told to who asked for it, and keeps no later one from its turn', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  const bug = new Error('a bug');
  const make = (): never => {
    throw bug;
  };
  await assert.rejects(fleet.replace([{ ...plan('a'), make }]), bug);
  const a = plan('a');
  assert.deepEqual(await fleet.replace([a]), ['a']);
  await clock.idle();
  assert.equal(a.sink.content, 'token-1');
});

test('of two reloads at once the later one counts', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  await fleet.replace([plan('a', '1')]);
  const [second, third] = [plan('a', '2'), plan('a', '3')];
  await Promise.all([fleet.replace([second]), fleet.replace([third, plan('b')])]);
  await clock.idle();
  assert.deepEqual(namesOf(fleet), ['a', 'b']);
  assert.deepEqual(fleet.newcomers([third]), []);
  assert.equal(third.sink.content, 'token-1');
  const { length } = second.minter.calls;
  await clock.advance(2 * HOUR_MS);
  assert.equal(second.minter.calls.length, length, 'the other one has stopped');
});

test('a bug in one keeper ends the run with that error, after all others have stopped', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  const running = start();
  const broken = plan('broken');
  const fine = plan('fine');
  broken.minter.script({}, () => Promise.reject(new TypeError('a bug')));
  await fleet.replace([broken, fine]);
  await clock.idle();
  assert.equal(fine.sink.content, 'token-1');
  await Promise.all([assert.rejects(running, new TypeError('a bug')), clock.advance(HOUR_MS)]);
  assert.deepEqual(fleet.keepers, []);
});

for (const where of ['write', 'inspect', 'watch'] as const) {
  test(`a bug in the ${where} of a sink ends the run with that error, too`, async (t) => {
    const { clock, fleet, plan, start } = setUp(t);
    const running = start();
    const broken = plan('broken');
    Object.assign(broken.sink, { [where]: () => Promise.reject(new TypeError('a bug')) });
    await fleet.replace([broken]);
    await Promise.all([assert.rejects(running, new TypeError('a bug')), clock.advance(MINUTE_MS)]);
  });
}

test('a bug that strikes before the run is attended to ends it, and nothing else', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  const broken = plan('broken');
  broken.minter.script(() => Promise.reject(new TypeError('a bug')));
  await fleet.replace([broken]);
  await clock.idle();
  await assert.rejects(start(), new TypeError('a bug'));
});

test('a failed mint and a failing sink are no bugs', async (t) => {
  const { clock, fleet, plan, start } = setUp(t);
  void start();
  const hanging = plan('hanging');
  hanging.minter.script('hang');
  await fleet.replace([hanging]);
  await clock.advance(HOUR_MS);
  assert.deepEqual(namesOf(fleet), ['hanging']);
});

test('the signal ends the run with its reason once every keeper has stopped', async (t) => {
  const { clock, fleet, plan, start, stop } = setUp(t);
  const running = start();
  const slow = plan('slow');
  const write = Promise.withResolvers<void>();
  slow.sink.write = () => write.promise;
  const hanging = plan('hanging');
  hanging.minter.script('hang');
  await fleet.replace([slow, hanging]);
  await clock.idle();
  const reason = new Error('SIGTERM');
  let hasEnded = false;
  const ended = assert.rejects(running, reason).then(() => (hasEnded = true));
  stop.abort(reason);
  await clock.idle();
  assert.equal(hasEnded, false, 'a write is not cut in the middle');
  assert.equal(hanging.minter.running, 0);
  write.resolve();
  await ended;
});

test('a reload during the end starts nothing', async (t) => {
  const { clock, fleet, plan, start, stop } = setUp(t);
  const running = start();
  const old = plan('a', 'old');
  const write = Promise.withResolvers<void>();
  old.sink.write = () => write.promise;
  await fleet.replace([old]);
  await clock.idle();
  const late = [plan('a', 'new'), plan('b')];
  const replaced = fleet.replace(late);
  stop.abort(new Error('SIGTERM'));
  await clock.idle();
  write.resolve();
  await assert.rejects(running, /SIGTERM/);
  await replaced;
  await fleet.replace(late);
  await clock.idle();
  assert.deepEqual(fleet.keepers, []);
  assert.equal(late[1]?.minter.running, 0);
});

test('the end stops everybody at once, also while a reload waits for a write that hangs', async (t) => {
  const { clock, fleet, plan, start, stop } = setUp(t);
  const write = Promise.withResolvers<void>();
  t.after(() => write.resolve());
  const running = start();
  const slow = plan('slow', 'old');
  slow.sink.write = () => write.promise;
  const minting = plan('minting');
  minting.minter.script('hang');
  await fleet.replace([slow, minting]);
  await clock.idle();
  const replaced = fleet.replace([plan('slow', 'new'), plan('minting')]);
  await clock.idle();
  assert.equal(minting.minter.running, 1);
  stop.abort(new Error('SIGTERM'));
  await clock.idle();
  assert.equal(minting.minter.running, 0);
  write.resolve();
  await assert.rejects(running, /SIGTERM/);
  await replaced;
});
