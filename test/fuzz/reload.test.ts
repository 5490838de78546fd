import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import { Fleet, type KeeperPlan } from '../../src/credential/fleet.ts';
import { Keeper } from '../../src/credential/keeper.ts';
import type { Cancellable, Credential, Inspection, Recovered } from '../../src/credential/ports.ts';
import { Slots } from '../../src/credential/slots.ts';
import { livenessChecks, readinessChecks } from '../../src/credential/status.ts';
import { type Answer, credentialAt, MemorySink, ScriptedMinter } from '../support/fakes.ts';
import { property } from '../support/fuzz.ts';
import { World } from '../support/keeping.ts';
import { seeded } from '../support/random.ts';

const TTL_MS = 300_000;
const PATHS = ['/a', '/b', '/c', '/d'];
const NAMES = ['x', 'y', 'z'];

/** One of a configuration's credentials; another edition is one with another mode or back-off. */
interface Configured {
  readonly name: string;
  readonly endpoint: number;
  readonly edition: number;
  readonly paths: readonly string[];
}

interface Content {
  readonly credential: Credential;
  readonly endpoint: number;
}

/** A program that is reloaded, with the disk that it writes, both of which can be slow or out of order. */
class Reloaded {
  readonly world = new World();
  readonly fleet = new Fleet();
  readonly #random: () => number;
  readonly #disk = new Map<string, Content>();
  readonly #stop = new AbortController();
  readonly #ended: Promise<PromiseSettledResult<unknown>[]>;
  #configured: readonly Configured[] = [];
  #leaving: readonly Configured[] = [];
  readonly #slots = new Slots(2);
  #concurrency = 2;
  #replaced: Promise<unknown> = Promise.resolve();
  #running = 0;
  #mints = 0;
  /** Written by who is gone. */
  readonly #trespasses: string[] = [];
  isMinting = true;
  isHanging = false;
  isDiskFull = false;
  isSlow = false;

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.#ended = Promise.allSettled([this.world.ticker.run(this.#stop), this.fleet.run(this.#stop)]);
  }

  configure(configured: readonly Configured[], concurrency: number): void {
    this.#replaced = this.#replace(this.#replaced, configured, concurrency);
  }

  async #replace(before: Promise<unknown>, configured: readonly Configured[], concurrency: number): Promise<void> {
    await before;
    this.#slots.resize(concurrency);
    this.#concurrency = concurrency;
    this.#leaving = this.#configured;
    this.#configured = configured;
    await this.fleet.replace(configured.map((one) => this.#plan(one, concurrency)));
    this.#leaving = [];
  }

  /** What must be so at any time. */
  async check(): Promise<void> {
    assert.deepEqual(this.#trespasses, []);
    const { clock, ticker } = this.world;
    const vitals = this.fleet.keepers.map((keeper) => keeper.vitals());
    for (const { isOk, name, reason } of livenessChecks(ticker.beatAt, vitals, clock))
      assert.ok(isOk, `${name} ${reason}`);
    const statuses = await Promise.all(this.fleet.keepers.map((keeper) => keeper.status(this.#stop)));
    for (const [i, status] of statuses.entries()) {
      for (const [j, { isOk, name }] of readinessChecks([status], clock).entries()) {
        const content = this.#disk.get(statuses[i]!.sinks[j]!.name);
        const isGood = `${content?.endpoint}` === status.resource && content!.credential.local.expiresAt > clock.now();
        assert.ok(!isOk || isGood, `${name} is said to be ready`);
      }
    }
  }

  /** What must be so when nothing has been wrong for a while. */
  async checkInPeace(): Promise<void> {
    await this.#replaced;
    const { clock } = this.world;
    assert.deepEqual(
      this.fleet.keepers.map(({ name }) => name).toSorted(),
      this.#configured.map(({ name }) => name).toSorted(),
    );
    for (const { name, endpoint, paths } of this.#configured) {
      for (const path of paths) {
        const content = this.#disk.get(path);
        assert.equal(content?.endpoint, endpoint, `${path} is for ${name}`);
        assert.ok(content.credential.local.expiresAt > clock.now(), `${path} has expired`);
      }
    }
  }

  async stop(): Promise<void> {
    const end = new Error('the end');
    this.#stop.abort(end);
    await this.world.clock.advance(5_000);
    for (const outcome of await this.#ended) if (outcome.status === 'rejected') assert.equal(outcome.reason, end);
    await this.#replaced;
    assert.deepEqual([this.world.clock.sleepers, this.#running], [0, 0], 'something is left');
    const taken: number[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const request = { wantedAt: 0, isTroubled: false };
    const take = async (slot: number): Promise<void> => (taken.push(slot), await promise);
    const all = Array.from({ length: this.#concurrency }, () => this.#slots.with(request, take, new AbortController()));
    await this.world.clock.idle();
    assert.equal(taken.length, this.#concurrency, 'a slot is lost');
    resolve();
    await Promise.all(all);
  }

  #plan(configured: Configured, concurrency: number): KeeperPlan {
    const slots = this.#slots;
    const { name, endpoint, paths } = configured;
    const minter = new ScriptedMinter(this.world.clock, [this.#answer(endpoint)]);
    const sinks = paths.map((path) => this.#sink(configured, path));
    const make: KeeperPlan['make'] = (inherited) => {
      const own = { name, resource: `${endpoint}`, ttlMs: TTL_MS, slots, sinks, inherited, random: this.#random };
      return new Keeper(this.world.options(minter, own));
    };
    return { name, key: JSON.stringify([configured, concurrency]), identityKey: `${endpoint}`, sinks, make };
  }

  #answer(endpoint: number): Answer {
    const { clock } = this.world;
    return async ({ signal, timeoutMs }) => {
      this.#running += 1;
      try {
        const minted = credentialAt(clock, `${endpoint} ${(this.#mints += 1)}`, { lifetimeMs: TTL_MS });
        await clock.sleep(this.isHanging ? timeoutMs : this.#random() * 3_000, { signal });
        if (this.isHanging || !this.isMinting) throw new MintError('network', 'no');
        return minted;
      } finally {
        this.#running -= 1;
      }
    };
  }

  #sink(configured: Configured, path: string): MemorySink {
    const { clock } = this.world;
    const delay = async (options: Cancellable): Promise<void> =>
      await clock.sleep(this.isSlow ? this.#random() * 4_000 : 0, options);
    const sink = new MemorySink(path);
    sink.recover = async (options: Cancellable): Promise<Recovered | undefined> => {
      await delay(options);
      const content = this.#disk.get(path);
      return content?.endpoint === configured.endpoint ? content.credential : undefined;
    };
    sink.write = async (credential: Credential, options: Cancellable): Promise<void> => {
      options.signal.throwIfAborted();
      await delay(new AbortController()); // the system goes on with what it was told
      if (this.isDiskFull) throw new SinkError('no_space', 'full');
      const present = [...this.#configured, ...this.#leaving].map((one) => JSON.stringify(one));
      if (!present.includes(JSON.stringify(configured))) this.#trespasses.push(path);
      this.#disk.set(path, { credential, endpoint: configured.endpoint });
    };
    sink.inspect = async (known): Promise<Inspection> => {
      const fingerprint = this.#disk.get(path)?.credential.fingerprint;
      const credential = known.find((one) => one.fingerprint === fingerprint);
      if (credential !== undefined) return await Promise.resolve({ state: 'holds', credential });
      return { state: 'lacks', problem: new SinkError('missing', path) };
    };
    return sink;
  }
}

/** Who has each path, if anybody: so paths are swapped, credentials renamed, removed and added. */
const configuration = fc
  .record({
    owners: fc.array(fc.integer({ min: -1, max: 2 }), { minLength: PATHS.length, maxLength: PATHS.length }),
    endpoints: fc.array(fc.nat(1), { minLength: NAMES.length, maxLength: NAMES.length }),
    editions: fc.array(fc.nat(1), { minLength: NAMES.length, maxLength: NAMES.length }),
  })
  .map(({ owners, endpoints, editions }): Configured[] =>
    NAMES.map((name, i) => {
      const paths = PATHS.filter((_, path) => owners[path] === i);
      return { name, endpoint: endpoints[i]!, edition: editions[i]!, paths };
    }).filter(({ paths }) => paths.length > 0),
  );
const waitMs = fc.oneof(fc.nat(3_000), fc.nat(200_000));
const event = fc.record({
  kind: fc.constantFrom('reload', 'reload', 'mints', 'hangs', 'disk', 'slow'),
  configuration,
  concurrency: fc.constantFrom(2, 2, 2, 1, 3),
  waitMs,
});

property(
  'whatever is configured anew, and whenever, no credential is lost, nobody who is gone writes, and nothing is left',
  fc.record({ events: fc.array(event, { minLength: 2, maxLength: 15 }), seed: fc.nat() }),
  async ({ events, seed }) => {
    const program = new Reloaded(seed);
    const { clock } = program.world;
    const wait = async (ms: number): Promise<void> => {
      for (let leftMs = ms; leftMs > 0; leftMs -= 1_000) {
        await clock.advance(Math.min(leftMs, 1_000));
        await program.check();
      }
    };
    try {
      for (const { kind, configuration, concurrency, waitMs } of events) {
        if (kind === 'reload') program.configure(configuration, concurrency);
        if (kind === 'mints') program.isMinting = !program.isMinting;
        if (kind === 'hangs') program.isHanging = !program.isHanging;
        if (kind === 'disk') program.isDiskFull = !program.isDiskFull;
        if (kind === 'slow') program.isSlow = !program.isSlow;
        await wait(waitMs);
      }
      Object.assign(program, { isMinting: true, isHanging: false, isDiskFull: false, isSlow: false });
      await wait(100_000);
      await program.checkInPeace();
    } finally {
      await program.stop();
    }
  },
  { costs: 10 },
);
