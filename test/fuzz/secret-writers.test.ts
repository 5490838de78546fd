import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { MintError } from '../../src/credential/errors.ts';
import type { Random } from '../../src/credential/schedule.ts';
import { SecretSink } from '../../src/sinks/secret.ts';
import { identity, secretSpec } from '../support/sink-credentials.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type Answer, credentialAt, ScriptedMinter } from '../support/fakes.ts';
import { property } from '../support/fuzz.ts';
import { World } from '../support/keeping.ts';
import { ModelApiServer, SILENCE_MS } from '../support/model-api-server.ts';
import { seeded } from '../support/random.ts';

const TTL_MS = 300_000;
const REFRESH = { at: 0.667, jitter: 0.1, floorMs: 10_000 };
/** Repairs wait for up to a minute, back-offs and a workspace in trouble as long. */
const CALM_MS = 150_000;
/** Until the next watch, or a look in its place, after one has failed a few times. */
const WATCHED_MS = 25_000;
/** In which an event is seen. */
const SEEN_MS = 4_000;
const SPEC = { ...secretSpec, data: { password: 'token', pgpass: 'pgpass' } } as const;

const events = fc.array(
  fc.record({
    kind: fc.constantFrom('wait', 'wait', 'wait', 'edit', 'delete', 'away', 'end', 'silence', 'bar'),
    waitMs: fc.integer({ min: 0, max: 90_000 }),
  }),
  { minLength: 1, maxLength: 15 },
);

property(
  'however slow an API server is, and whatever others do to a Secret, its writers agree, and none replaces what expires later',
  fc.record({ delayMs: fc.nat(3_000), writers: fc.integer({ min: 1, max: 4 }), events, seed: fc.nat() }),
  async ({ delayMs, writers, events, seed }) => {
    const random = seeded(seed);
    const clock = new FakeClock();
    // Mostly quick, now and then very slow.
    const server = new ModelApiServer(SPEC, clock, () => random() ** 4 * delayMs);
    let mints = 0;
    let isBarred = false;
    const { world, stop } = startWriters(server, { count: writers, clock, random }, () => {
      mints += 1;
      if (isBarred) throw new MintError('permission', 'no');
    });

    let [blindUntil, mistakenMs] = [0, 0];
    for (const { kind, waitMs } of events) {
      if (kind === 'edit') server.edit('password');
      if (kind === 'delete') server.delete();
      if (kind === 'silence') server.silenceWatches();
      if (kind === 'bar') isBarred = !isBarred;
      if (kind === 'away') server.isAway = !server.isAway;
      if (kind === 'away' || kind === 'end') server.endWatches({ isLost: kind === 'away' });
      if (kind === 'away' || kind === 'end') blindUntil = Math.max(blindUntil, clock.now() + WATCHED_MS);
      if (kind === 'silence') blindUntil = clock.now() + SILENCE_MS + WATCHED_MS;
      for (const until = clock.now() + waitMs; clock.now() < until; await clock.advance(1_000)) {
        if (server.isAway || clock.now() < blindUntil) mistakenMs = 0;
        else mistakenMs = (await areMistaken(world, server)) ? mistakenMs + 1_000 : 0;
        assert.ok(mistakenMs <= SEEN_MS + 2 * delayMs, 'somebody takes a token for one that is there no more');
      }
    }
    [server.isAway, isBarred] = [false, false];
    await clock.advance(CALM_MS);
    await assertAgreed(world, server);
    await stop();

    const expiries = server.history.map((object) => {
      const text = object?.metadata.annotations?.['lakebase-credential-sidecar/expires-at'];
      return text === undefined ? undefined : Date.parse(text);
    });
    for (const [i, expiresAt] of expiries.entries()) {
      const before = expiries[i - 1];
      if (expiresAt === undefined || before === undefined) continue;
      assert.ok(expiresAt >= before, `${i}: ${expiries.map((at) => at ?? 'edited').join(' ')}`);
    }
    const atMost = 4 * (mints + writers * (events.length + 1));
    assert.ok(server.patches <= atMost, `${server.patches} writes, ${mints} mints, ${events.length} events`);
  },
  { costs: 20 },
);

/** The slowest of a few requests and events, and a look or two. */
const SOON_MS = 30_000;

const rollOut = fc.record({
  writers: fc.integer({ min: 1, max: 3 }),
  afterMs: fc.integer({ min: 10_000, max: 400_000 }),
  overlapMs: fc.nat(300_000),
});

property(
  'roll-outs to another identity, and back, end, however slow an API server is: who is new becomes ready, and stays so',
  fc.record({ delayMs: fc.nat(1_500), rollOuts: fc.array(rollOut, { minLength: 2, maxLength: 3 }), seed: fc.nat() }),
  async ({ delayMs, rollOuts, seed }) => {
    const random = seeded(seed);
    const clock = new FakeClock();
    const server = new ModelApiServer(SPEC, clock, () => random() ** 4 * delayMs);
    let present: ReturnType<typeof startWriters> | undefined;
    for (const [i, { writers, afterMs, overlapMs }] of rollOuts.entries()) {
      const next = startWriters(server, { count: writers, clock, random, principal: i % 2 === 0 ? 'even' : 'odd' });
      let ready = 0;
      for (const keeper of next.world.keepers) void keeper.published().then(() => (ready += 1));
      await clock.advance(SOON_MS);
      assert.equal(ready, writers, `roll-out ${i}`);
      let lackedMs = 0;
      for (let passedMs = 0; passedMs < overlapMs; passedMs += 1_000) {
        await clock.advance(1_000);
        if ((await views(next.world, server)).some((view) => view?.startsWith('secret:'))) lackedMs += 1_000;
      }
      // Whoever is old writes over it at most once a minute.
      assert.ok(lackedMs <= 10_000 + overlapMs / 6, `roll-out ${i}: not ready for ${lackedMs} of ${overlapMs} ms`);
      await present?.stop();
      await clock.advance(Math.max(SOON_MS, afterMs));
      await assertAgreed(next.world, server);
      present = next;
    }
    await present?.stop();
  },
  { costs: 20 },
);

interface Writers {
  readonly count: number;
  readonly clock: FakeClock;
  readonly random: Random;
  readonly principal?: string;
}

/** Of one identity. `onMint` may throw why the service gives no token. */
function startWriters(
  { api }: ModelApiServer,
  { count, clock, random, principal = identity.principal }: Writers,
  onMint: () => void = () => {},
) {
  const world = new World({ clock, concurrency: count });
  for (let i = 0; i < count; i += 1) {
    const mint: Answer = async ({ signal }) => {
      const minted = credentialAt(clock, tokenFor(principal, `${clock.now()}-${i}`), { lifetimeMs: TTL_MS });
      await clock.sleep(random() * 2_000, { signal });
      onMint();
      return { ...minted, subject: principal };
    };
    const sink = new SecretSink({ ...SPEC, identity: { ...identity, principal }, api, clock, force: false });
    const options = { sinks: [sink], refresh: REFRESH, ttlMs: TTL_MS, random };
    world.add(new ScriptedMinter(clock, [mint]), options);
  }
  const stops: (() => unknown)[] = [];
  world.run({ after: (one) => stops.push(one) });
  return { world, stop: async () => await Promise.all(stops.map(async (one) => await one())) };
}

/** As a JWT begins, with something that is new each time where it ends. */
function tokenFor(subject: string, id: string): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${encode({ alg: 'none' })}.${encode({ sub: subject })}.${id}`;
}

/** Whether one of them says that the Secret holds what it does not hold. */
async function areMistaken(world: World, server: ModelApiServer): Promise<boolean> {
  const [present, ...held] = await views(world, server);
  return held.some((view) => view !== present && !view!.startsWith('secret:'));
}

/** Every writer knows what the Secret holds; something may just be on its way. */
async function assertAgreed(world: World, server: ModelApiServer): Promise<void> {
  for (let i = 0; i < 20 && new Set(await views(world, server)).size > 1; i += 1) await world.clock.advance(1_000);
  const seen = await views(world, server);
  assert.equal(new Set(seen).size, 1, seen.join('; '));
}

/** What the Secret holds, and what each writer says that it holds. */
async function views({ keepers }: World, server: ModelApiServer): Promise<(string | undefined)[]> {
  const statuses = await Promise.all(keepers.map(async (keeper) => await keeper.status(new AbortController())));
  const held = statuses.map(({ sinks: [sink] }) => sink!.holding);
  return [
    server.object?.metadata.annotations?.['lakebase-credential-sidecar/fingerprint'],
    ...held.map((one) => (one.state === 'holds' ? one.credential.fingerprint : one.problem.message)),
  ];
}
