import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import type { Clock, Credential } from '../../src/credential/ports.ts';
import {
  attemptTimeoutMs,
  firstRefreshAt,
  isUsable,
  latestRefreshAt,
  refreshAfterFailuresAt,
  refreshAt,
  remainingMs,
  retryDelayMs,
} from '../../src/credential/schedule.ts';
import { credentialAt, MemorySink, ScriptedMinter, type Answer } from '../support/fakes.ts';
import { World } from '../support/keeping.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { property } from '../support/fuzz.ts';

/** So that some minutes see several lifetimes. */
const TTL_MS = 300_000;
/** They are nothing but arithmetic. */
const CHEAP = { costs: 0.2 };
const START = Date.UTC(2030, 0, 1);
const dice = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
/** Whole, because an instant of the wall clock carries nothing much smaller. */
const anyMs = fc.oneof(
  fc.integer({ min: -10_000_000, max: 10_000_000 }),
  fc.double({ min: -1e15, max: 1e15 }).map((ms) => Math.trunc(ms)),
);
/** As the configuration lets it be; lifetimes and clocks are not ours to choose. */
const policy = fc
  .record({
    at: fc.double({ min: 0.01, max: 0.95, noNaN: true }),
    part: dice,
    floorMs: fc.integer({ min: 0, max: 3_420_000 }),
  })
  .map(({ at, part, floorMs }) => ({ at, jitter: at * part, floorMs }));
const backoff = fc
  .record({ initialMs: fc.integer({ min: 1_000, max: 3_600_000 }), more: fc.nat(3_600_000) })
  .map(({ initialMs, more }) => ({ initialMs, maxMs: initialMs + more }));

function credentialOf(lifetimeMs: number, monotonicAt = 0): Credential {
  const { local, ...rest } = credentialAt(new FakeClock(START), 'token');
  return { ...rest, local: { ...local, expiresAt: local.issuedAt + lifetimeMs }, monotonicAt };
}

property(
  'every due time is a number, not before the floor, and not after the fraction of the lifetime, or the floor',
  fc.tuple(anyMs, policy, dice),
  ([lifetimeMs, policy, chance]) => {
    const credential = credentialOf(lifetimeMs);
    const { issuedAt } = credential.local;
    const lastMs = latestRefreshAt(credential, policy) - issuedAt;
    for (const due of [refreshAt, firstRefreshAt, refreshAfterFailuresAt]) {
      const dueMs = due(credential, policy, () => chance) - issuedAt;
      assert.ok(dueMs >= policy.floorMs - 1 && dueMs <= lastMs + 1, `${due.name}: ${dueMs}`);
    }
    if (lifetimeMs > 0 && policy.at * lifetimeMs >= policy.floorMs) assert.ok(lastMs <= lifetimeMs, 'it expires first');
  },
  CHEAP,
);

property(
  'every retry comes within its bounds, however many failed and whatever life is left',
  fc.tuple(fc.integer({ min: 1, max: 100_000 }), backoff, fc.option(anyMs, { nil: undefined }), dice),
  ([failures, backoff, leftMs, chance]) => {
    const delayMs = retryDelayMs(failures, backoff, leftMs, () => chance);
    assert.ok(delayMs >= 250 && delayMs <= Math.max(250, backoff.maxMs), `${delayMs}`);
    if (leftMs !== undefined && leftMs > 1_000) assert.ok(delayMs <= leftMs / 4, 'three more fit into the life left');
    if (leftMs === undefined || leftMs <= 0) assert.ok(delayMs <= 15_000);
  },
  CHEAP,
);

property(
  'an attempt gets a time that is worth trying, and the whole one where nothing is left to lose',
  fc.tuple(fc.integer({ min: 1_000, max: 300_000 }), fc.option(anyMs, { nil: undefined })),
  ([timeoutMs, leftMs]) => {
    const ms = attemptTimeoutMs(timeoutMs, leftMs);
    assert.ok(ms >= Math.min(timeoutMs, 5_000) && ms <= timeoutMs);
    if (leftMs === undefined || leftMs <= 0) assert.equal(ms, timeoutMs);
  },
  CHEAP,
);

property(
  'no clock makes an expired credential usable, nor one that has aged by either clock younger',
  fc.tuple(anyMs, anyMs, anyMs),
  ([lifetimeMs, wallMs, monotonicMs]) => {
    const clock: Clock = {
      now: () => START + wallMs,
      monotonic: () => Math.abs(monotonicMs),
      sleep: () => Promise.resolve(),
    };
    const credential = credentialOf(lifetimeMs);
    const leftMs = remainingMs(credential, clock);
    if (isUsable(credential, clock)) assert.ok(leftMs > 0 && lifetimeMs > 0);
    for (const agedMs of [wallMs, Math.abs(monotonicMs)])
      if (agedMs >= lifetimeMs) assert.ok(!isUsable(credential, clock));
  },
  CHEAP,
);

const event = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 120_000 }) }) },
  fc.record({ kind: fc.constant('clock' as const), ms: fc.integer({ min: -7_200_000, max: 7_200_000 }) }),
  fc.record({ kind: fc.constant('meddle' as const), ms: fc.constant(0) }),
  fc.record({ kind: fc.constant('sink' as const), ms: fc.constant(0) }),
  fc.record({ kind: fc.constant('secret' as const), ms: fc.constant(0) }),
);
const answer: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({
    lifetimeMs: fc.integer({ min: -60_000, max: TTL_MS }),
    skewMs: fc.integer({ min: -600_000, max: 600_000 }),
  }),
  fc.constant({ lifetimeMs: TTL_MS }),
  fc.constant(new MintError('network', 'no')),
  fc.constant('hang' as const),
);

property(
  'whatever the minter, the clock and others do, no loop turns, mints stay few, and nothing better is ever replaced',
  fc.record({
    events: fc.array(event, { minLength: 1, maxLength: 12 }),
    answers: fc.array(answer, { minLength: 1, maxLength: 6 }),
    // Without a floor tokens of no time at all would be asked for as fast as the CLI runs; the default is 10 s.
    refresh: policy.map(({ floorMs, ...rest }) => ({ ...rest, floorMs: 1_000 + (floorMs % 60_000) })),
    dice,
  }),
  async ({ events, answers, refresh, dice }) => {
    const world = new World();
    world.dice = dice;
    const { clock } = world;
    const sink = new MemorySink();
    const minter = new ScriptedMinter(clock, answers);
    const keeper = world.add(minter, { sinks: [sink], refresh, ttlMs: TTL_MS });
    const undo: (() => unknown)[] = [];
    world.run({ after: (one) => undo.push(one) });
    let jumps = 0;
    const startedAt = clock.monotonic();
    for (const { kind, ms } of events) {
      if (kind === 'wait') await clock.advance(ms);
      if (kind === 'meddle') sink.content = 'foreign';
      if (kind === 'sink') sink.failure = sink.failure === undefined ? new SinkError('no_space', 'full') : undefined;
      if (kind === 'secret') keeper.retryNow();
      if (kind === 'clock') {
        jumps += 1;
        clock.setWallClock(ms);
      }
      await clock.idle();
    }
    await clock.advance(60_000);
    for (const one of undo) await one();

    const elapsedMs = clock.monotonic() - startedAt;
    // A retry comes after half of a second at the soonest, but where a credential is about to expire.
    assert.ok(minter.calls.length <= 2 + events.length + jumps + elapsedMs / 250, `${minter.calls.length} mints`);
    const { wakeAt } = keeper.vitals();
    assert.ok(Number.isFinite(wakeAt), `due at ${wakeAt}`);
    assert.ok(wakeAt <= clock.now() + TTL_MS + 60_000, 'the next attempt is more than a lifetime away');
    assertNeverWorse(sink.written);
  },
  { costs: 50 },
);

/** Each is newer than the one before, and while that was alive, it had half of the ttl or outlived it by the service's clock. */
function assertNeverWorse(written: readonly Credential[]): void {
  for (const [index, credential] of written.entries()) {
    const before = written[index - 1];
    assert.ok(credential.local.expiresAt > credential.local.issuedAt);
    if (before === undefined || before.fingerprint === credential.fingerprint) continue;
    assert.ok(credential.monotonicAt >= before.monotonicAt);
    const isLong = credential.local.expiresAt - credential.local.issuedAt >= TTL_MS / 2;
    const outlives = credential.service.expiresAt > before.service.expiresAt;
    // By either clock, as for health.
    const agedMs = Math.max(
      credential.local.issuedAt - before.local.issuedAt,
      credential.monotonicAt - before.monotonicAt,
    );
    const wasExpired = agedMs >= before.local.expiresAt - before.local.issuedAt;
    assert.ok(isLong || outlives || wasExpired, 'a worse one replaced a better one');
  }
}
