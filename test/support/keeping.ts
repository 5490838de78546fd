import type { TestContext } from 'node:test';
import { Keeper } from '../../src/credential/keeper.ts';
import type { KeeperOptions } from '../../src/credential/keeper-options.ts';
import type { Cancellable } from '../../src/credential/ports.ts';
import { Slots } from '../../src/credential/slots.ts';
import { Ticker } from '../../src/credential/ticker.ts';
import { FakeClock } from './fake-clock.ts';
import type { Cleanup } from './cleanup.ts';
import { type Answer, MemorySink, RecordingObserver, ScriptedMinter } from './fakes.ts';

/** Everything that several keepers share, with the clock jumps wired as in the app. */
export class World {
  readonly clock: FakeClock;
  readonly recorder = new RecordingObserver();
  readonly keepers: Keeper[] = [];
  readonly ticker: Ticker;
  readonly slots: Slots;
  /** What `random` gives. */
  dice = 0.5;

  constructor({ clock = new FakeClock(), concurrency = 4 } = {}) {
    this.clock = clock;
    this.slots = new Slots(concurrency);
    this.ticker = new Ticker(clock, (byMs) => {
      this.recorder.observer.clockJumped(byMs);
      for (const keeper of this.keepers) keeper.refreshSoon();
    });
  }

  /** Due after half of the lifetime, for easy arithmetic. */
  options(minter: ScriptedMinter, options: Partial<KeeperOptions> = {}): KeeperOptions {
    return {
      name: 'backstage',
      resource: 'projects/backstage/branches/production/endpoints/primary',
      ttlMs: undefined,
      timeoutMs: 30_000,
      refresh: { at: 0.5, jitter: 0.1, floorMs: 10_000 },
      backoff: { initialMs: 1_000, maxMs: 60_000 },
      minter,
      sinks: [new MemorySink()],
      slots: this.slots,
      ticker: this.ticker,
      random: () => this.dice,
      observer: this.recorder.observer,
      adopts: true,
      ...options,
    };
  }

  add(minter: ScriptedMinter, options: Partial<KeeperOptions> = {}): Keeper {
    const keeper = new Keeper(this.options(minter, options));
    this.keepers.push(keeper);
    return keeper;
  }

  /** Runs until the end of the test, which fails if one of them ended otherwise than by the signal. */
  run(t: Cleanup, ...more: { run(options: Cancellable): Promise<unknown> }[]): void {
    const stop = new AbortController();
    const all = [this.ticker, ...this.keepers, ...more].map((one) => one.run(stop));
    const ended = Promise.allSettled(all);
    t.after(async () => {
      const reason = new Error('the test is over');
      stop.abort(reason);
      for (const outcome of await ended) {
        if (outcome.status === 'rejected' && outcome.reason !== reason) throw outcome.reason;
      }
    });
  }
}

export interface Keeping extends World {
  readonly minter: ScriptedMinter;
  readonly sink: MemorySink;
  readonly keeper: Keeper;
}

export interface KeepingOptions extends Partial<KeeperOptions> {
  readonly script?: Answer[];
  readonly clock?: FakeClock;
  readonly dice?: number;
  /** What the sink is found with. */
  readonly sink?: MemorySink;
}

/** One keeper with one sink, started and idle. */
export async function startKeeper(t: TestContext, given: KeepingOptions = {}): Promise<Keeping> {
  const { script, clock, dice, sink = new MemorySink(), ...options } = given;
  const world = new World(clock === undefined ? {} : { clock });
  world.dice = dice ?? 0.5;
  const minter = new ScriptedMinter(world.clock, script);
  const keeper = world.add(minter, { sinks: [sink], ...options });
  world.run(t);
  await world.clock.idle();
  return Object.assign(world, { minter, sink, keeper });
}
