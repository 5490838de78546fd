import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { MintError } from '../../src/credential/errors.ts';
import type { Credential } from '../../src/credential/ports.ts';
import { expiresLater } from '../../src/credential/schedule.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type Answer, credentialAt, MemorySink, ScriptedMinter } from '../support/fakes.ts';
import { property } from '../support/fuzz.ts';
import { World } from '../support/keeping.ts';
import { seeded } from '../support/random.ts';
import { SharedPlace } from '../support/shared-sink.ts';

const START = Date.UTC(2030, 0, 1);
const TTL_MS = 300_000;
const STEP_MS = 5_000;
const REFRESH = { at: 0.667, jitter: 0.1, floorMs: 10_000 };

/** A process on a machine of its own, that knows the service's time by its mints only. */
class Writer {
  readonly #name: string;
  readonly #place: SharedPlace;
  readonly #random: () => number;
  readonly clock: FakeClock;
  readonly #startedAt: number;
  #stop: (() => unknown)[] = [];
  #mints = 0;
  isBarred = false;

  constructor(name: string, place: SharedPlace, offMs: number, random: () => number) {
    this.#name = name;
    this.#place = place;
    this.#random = random;
    this.clock = new FakeClock(START + offMs);
    this.#startedAt = this.clock.monotonic();
  }

  start(): void {
    const world = new World({ clock: this.clock });
    const mint: Answer = async ({ signal }) => {
      // The service's time is that of the writer who asks: within a step each of them is at another one.
      const skewMs = START + this.clock.monotonic() - this.#startedAt - this.clock.now();
      const minted = credentialAt(this.clock, `${this.#name} ${(this.#mints += 1)}`, { lifetimeMs: TTL_MS, skewMs });
      await this.clock.sleep(1_000, { signal });
      if (this.isBarred) throw new MintError('permission', 'no');
      return minted;
    };
    const sinks = [new MemorySink(), this.#place.sink()];
    world.add(new ScriptedMinter(this.clock, [mint]), {
      sinks,
      refresh: REFRESH,
      ttlMs: TTL_MS,
      random: this.#random,
    });
    world.run({ after: (one) => this.#stop.push(one) });
  }

  async stop(): Promise<void> {
    for (const one of this.#stop) await one();
    this.#stop = [];
  }

  /** The monotonic clock goes on over a restart of the process. */
  async restart(): Promise<void> {
    await this.stop();
    this.start();
  }
}

const kinds = fc.constantFrom('wait', 'wait', 'wait', 'clock', 'restart', 'bar', 'away');
const events = fc.array(
  fc.record({
    kind: kinds,
    who: fc.nat(2),
    waitMs: fc.integer({ min: 0, max: 120_000 }),
    byMs: fc.integer({ min: -400_000, max: 400_000 }),
  }),
  { minLength: 1, maxLength: 15 },
);

property(
  'whatever clocks, outages and restarts do to the writers of a Secret, none replaces what expires later, and none fights',
  fc.record({
    offsetsMs: fc.array(fc.integer({ min: -400_000, max: 400_000 }), { minLength: 1, maxLength: 3 }),
    events,
    seed: fc.nat(),
  }),
  async ({ offsetsMs, events, seed }) => {
    let elapsedMs = 0;
    const random = seeded(seed);
    const place = new SharedPlace();
    const writers = offsetsMs.map((offMs, i) => new Writer(`w${i}`, place, offMs, random));
    for (const writer of writers) writer.start();
    for (const { kind, who, waitMs, byMs } of events) {
      const writer = writers[who % writers.length]!;
      if (kind === 'clock') writer.clock.setWallClock(byMs);
      if (kind === 'restart') await writer.restart();
      if (kind === 'bar') writer.isBarred = !writer.isBarred;
      if (kind === 'away') {
        place.isAway = !place.isAway;
        place.tell();
      }
      for (const endMs = elapsedMs + waitMs; elapsedMs < endMs; elapsedMs += STEP_MS) {
        for (const one of writers) await one.clock.advance(STEP_MS);
      }
    }
    for (const writer of writers) await writer.stop();

    const expiries = place.history.map(({ service }) => service.expiresAt);
    for (const [i, expiresAt] of expiries.entries()) {
      assert.ok(i === 0 || expiresAt > expiries[i - 1]!, `${i}: ${expiries.join(' ')}`);
    }
    // The first is spread over the whole period, and what failed comes in its second half.
    const refreshes = 2 + events.length + elapsedMs / (TTL_MS * 0.3);
    assert.ok(expiries.length <= writers.length * refreshes, `${expiries.length} publications`);
  },
  { costs: 20 },
);

property(
  'while nothing fails, what the writers of a Secret publish is new, and it is never overdue, however slow all is',
  fc.record({
    transitMs: fc.nat(2_000),
    mintsMs: fc.array(fc.nat(8_000), { minLength: 1, maxLength: 5 }),
    seed: fc.nat(),
  }),
  async ({ transitMs, mintsMs, seed }) => {
    const clock = new FakeClock(START);
    const random = seeded(seed);
    const place = new SharedPlace();
    place.transit = async (options) => await clock.sleep(random() * transitMs, options);
    const world = new World({ clock, concurrency: mintsMs.length });
    for (const [i, mintMs] of mintsMs.entries()) {
      const mint: Answer = async ({ signal }) => {
        const minted = credentialAt(clock, `w${i} ${clock.now()}`, { lifetimeMs: TTL_MS });
        await clock.sleep(mintMs, { signal });
        return minted;
      };
      const options = { sinks: [place.sink()], refresh: REFRESH, ttlMs: TTL_MS, random };
      world.add(new ScriptedMinter(clock, [mint]), options);
    }
    const stop: (() => unknown)[] = [];
    world.run({ after: (one) => stop.push(one) });

    const slowMs = Math.max(...mintsMs) + 2 * transitMs + STEP_MS;
    const ageMs = ({ service }: Credential): number => clock.now() - service.issuedAt;
    let published = 0;
    while (clock.now() < START + 3 * TTL_MS) {
      await clock.advance(1_000);
      for (; published < place.history.length; published += 1) {
        const [replaced, present] = [place.history[published - 1], place.history[published]!];
        assert.ok(replaced === undefined || expiresLater(present, replaced));
        // What was left out takes the place of what its writer is late to refresh.
        const isLate = replaced !== undefined && ageMs(replaced) >= REFRESH.at * TTL_MS;
        assert.ok(isLate || ageMs(present) <= slowMs, `after ${clock.now() - START} ms: ${ageMs(present)} ms old`);
      }
      if (place.content === undefined) continue;
      const presentMs = ageMs(place.content);
      assert.ok(presentMs <= REFRESH.at * TTL_MS + slowMs, `after ${clock.now() - START} ms: ${presentMs} ms old`);
    }
    for (const one of stop) await one();
  },
  { costs: 20 },
);
