import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Impairment } from '../chaos/catalogue.ts';
import { Judge } from '../chaos/judge.ts';
import { LIFETIME_MS, SECRET_PLACE } from '../chaos/layout.ts';
import { FORWARD } from '../chaos/memory.ts';
import type { Reading } from '../chaos/reading.ts';
import type { Report } from '../chaos/reports.ts';
import { impairedBy } from '../chaos/schedule.ts';
import { isGoodEnd } from '../chaos/sidecar.ts';
import { Timeline } from '../chaos/timeline.ts';

const PATH = 'backstage/pgpass';
const START = 1_800_000_000_000;

/** A run whose clock stands where it is put. */
function court({ startedAt = START - 60_000 } = {}) {
  const clock = { now: START };
  const timeline = new Timeline(() => clock.now);
  const verdicts: string[] = [];
  const onViolation = ({ what }: { what: string }): void => void verdicts.push(what);
  const judge = new Judge({ timeline, onViolation, startedAt: () => startedAt, now: () => clock.now });
  const read = (reading: Reading, path = PATH): void => judge.hear({ kind: 'read', at: clock.now, path, reading });
  const token = (id: string, lifetimeMs = LIFETIME_MS): Reading => ({
    state: 'whole',
    token: { id, issuedAt: clock.now, expiresAt: clock.now + lifetimeMs },
  });
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 250) {
      clock.now += 250;
      judge.tick(clock.now);
    }
  };
  return { clock, timeline, judge, verdicts, read, token, pass };
}

test('a gap is healthy where nothing of the kind goes on or lingers', () => {
  const { clock, timeline } = court();
  const at = (seconds: number): number => START + seconds * 1_000;
  const during = (from: number, to: number, lingersMs = 0): void => {
    clock.now = at(from);
    const end = timeline.begin('a fault', { impairs: ['mint'] });
    clock.now = at(to);
    end(lingersMs);
  };
  during(10, 20, 5_000);
  during(12, 14);
  during(27, 30);
  for (const [from, to, seconds, expected] of [
    [0, 10, 10, true],
    [0, 10, 11, false],
    [5, 30, 5, true],
    [6, 27, 5, false],
    [6, 40, 10, true],
    [11, 39, 10, false],
    [20, 26, 1, true],
    [10, 25, 1, false],
  ] as const) {
    assert.equal(timeline.hasHealthyGap(at(from), at(to), ['mint'], seconds * 1_000), expected, `${from} to ${to}`);
  }
  assert.ok(timeline.hasHealthyGap(at(0), at(40), ['write'], 40_000), 'of another kind');
});

describe('the judge of a run', () => {
  test('says nothing of files that rotate in time', () => {
    const { read, token, pass, verdicts } = court();
    for (const id of ['a', 'b', 'c']) {
      read(token(id));
      pass(LIFETIME_MS / 2);
    }
    assert.deepEqual(verdicts, []);
  });

  test('asks who has touched a file that is not whole, and how long that may last', () => {
    const { clock, timeline, read, token, pass, verdicts } = court();
    read(token('a'));
    pass(1_000);
    timeline.begin('a file is removed', { paths: [PATH] })();
    read({ state: 'missing' });
    pass(4_000);
    assert.deepEqual(verdicts, []);
    pass(2_000);
    assert.match(verdicts.join('\n'), /^promise 2, backstage\/pgpass: it is still missing/);
    verdicts.length = 0;
    clock.now += 20_000;
    read(token('b'));
    read({ state: 'empty' });
    assert.match(verdicts.join('\n'), /^promise 1, backstage\/pgpass: it is empty, and nobody has touched it/);
  });

  test('asks who has touched a file since the last look at it, where the watcher was held up', () => {
    const seenAfterSleep = (...reports: readonly Report[]): string[] => {
      const { clock, timeline, judge, read, token, verdicts } = court();
      read(token('a'));
      timeline.begin('a file is removed', { paths: [PATH] })();
      clock.now += 3_000;
      for (const report of reports) judge.hear(report);
      read({ state: 'missing' });
      return verdicts;
    };
    assert.deepEqual(seenAfterSleep({ kind: 'count', reads: 1, answers: 0, lagMs: 2_900 }), []);
    assert.match(seenAfterSleep().join('\n'), /^promise 1, .*nobody has touched it/);
  });

  test('wants a damaged file back from memory during an outage, unless a new configuration found it expired by the clock', () => {
    const damageInOutage = (faults: readonly string[]): string[] => {
      const { timeline, read, token, pass, verdicts } = court();
      read(token('a'));
      timeline.begin('the workspace is away', { impairs: ['mint'] });
      timeline.begin('a file is edited', { paths: [PATH] })();
      read({ state: 'torn' });
      for (const name of faults) timeline.begin(name)();
      pass(6_000);
      return verdicts;
    };
    const [jump, change] = [FORWARD, 'the configuration is changed'];
    for (const faults of [[], [jump], [change]]) {
      assert.match(damageInOutage(faults).join('\n'), /it is still torn/, faults.join());
    }
    assert.deepEqual(damageInOutage([jump, change]), []);

    const { timeline, read, token, pass, verdicts } = court();
    for (const name of [jump, change]) timeline.begin(name)();
    pass(3_000);
    read(token('a'));
    timeline.begin('the workspace is away', { impairs: ['mint'] });
    timeline.begin('a file is edited', { paths: [PATH] })();
    read({ state: 'torn' });
    pass(6_000);
    assert.deepEqual(verdicts, [], 'it was suspended when the configuration changed');
  });

  test('wants a damaged file back after a restart, too, unless its token then seemed to have expired or was not on record', () => {
    const damageAfterRestart = (fault: string): string[] => {
      const { timeline, read, token, pass, verdicts } = court({ startedAt: START + 2_000 });
      read(token('a'));
      timeline.begin('the workspace is away', { impairs: ['mint'] });
      pass(2_250);
      timeline.begin(fault)();
      pass(1_000);
      timeline.begin('a file is truncated', { paths: [PATH] })();
      read({ state: 'torn' });
      pass(6_000);
      return verdicts;
    };
    // By the monotonic clock it is known how old it is.
    assert.match(damageAfterRestart('the clock is set back').join('\n'), /it is still torn/);
    for (const fault of [FORWARD, 'a state file is damaged']) assert.deepEqual(damageAfterRestart(fault), [], fault);
  });

  test('explains an expired token by an outage, until five seconds after it', () => {
    const { timeline, read, token, pass, verdicts } = court();
    read(token('a'));
    pass(LIFETIME_MS / 2);
    const end = timeline.begin('the workspace is away', { impairs: ['mint'] });
    pass(LIFETIME_MS);
    end(2_000);
    pass(6_500);
    assert.deepEqual(verdicts, []);
    pass(1_000);
    assert.match(verdicts.join('\n'), /it has been expired for \d+ ms, though nothing was in the way/);
  });

  test('takes no token for better that expires sooner than one that is valid', () => {
    const { read, token, verdicts } = court();
    read(token('a'));
    read(token('b', 3_000));
    assert.match(verdicts.join('\n'), /^promise 2, .*good for 30000 ms was replaced by one good for 3000 ms/);
  });

  test('wants an explanation for each login that fails', () => {
    const { clock, judge, read, token, pass, timeline, verdicts } = court();
    read(token('a'));
    const fail = (error: string): void =>
      judge.hear({ kind: 'failed', client: 'psql', path: PATH, from: clock.now, to: clock.now, error });
    const end = timeline.begin('PostgreSQL restarts', { impairs: ['login'] });
    fail('refused');
    end();
    pass(5_000);
    assert.equal(judge.explained.database, 1);
    assert.deepEqual(verdicts, []);
    fail('refused again');
    pass(3_000);
    assert.deepEqual(verdicts, ['a login of psql failed with a good file: refused again']);
  });

  test('knows that a client can see a file before the watcher does', () => {
    const { clock, judge, read, token, pass, timeline, verdicts } = court();
    read(token('a'));
    timeline.begin(FORWARD)(); // which makes the better one seem to be expired
    clock.now += 1_000;
    judge.hear({ kind: 'failed', client: 'psql', path: PATH, from: clock.now, to: clock.now, error: 'refused' });
    clock.now += 10;
    read({ state: 'whole', token: { id: 'b', issuedAt: clock.now - 1_000, expiresAt: clock.now - 100 } });
    pass(2_500);
    assert.equal(judge.explained.expiry, 1);
    assert.deepEqual(verdicts, []);
  });

  test('knows that a client may still be on its way with a token that was replaced just before it expired', () => {
    const { clock, judge, read, token, pass, verdicts } = court();
    read(token('a'));
    clock.now += LIFETIME_MS - 50;
    const from = clock.now;
    clock.now += 20;
    read(token('b'));
    clock.now += 80;
    judge.hear({ kind: 'failed', client: 'psql', path: PATH, from, to: clock.now, error: 'refused: expired' });
    pass(2_500);
    assert.equal(judge.explained.expiry, 1);
    assert.deepEqual(verdicts, []);
  });

  test('forgives health a moment where it is too careful, and none where it is too bold', () => {
    const { clock, judge, verdicts } = court();
    const lie = (forMs: number, isReadyLie: boolean): void =>
      judge.hear({ kind: 'lie', of: 'files', at: clock.now, what: '/readyz lies', forMs, isReadyLie });
    lie(1_400, false);
    assert.deepEqual(verdicts, []);
    lie(1_600, false);
    assert.equal(verdicts.length, 1);
    clock.now += 60_000;
    lie(0, true);
    assert.equal(verdicts.length, 2);
  });
});

describe('the judge of a run, of a disk that hangs,', () => {
  const hanging = { name: 'the disk hangs', pick: 0 } as const;

  test('lets the files of its directory wait for it, and no others', () => {
    const { timeline, read, token, pass, verdicts } = court();
    const other = 'reports/pgpass';
    for (const path of [PATH, other]) read(token('a'), path);
    const end = timeline.begin(hanging.name, { impairs: impairedBy(hanging) });
    pass(LIFETIME_MS + 5_000);
    assert.equal(verdicts.length, 1);
    assert.match(verdicts.join('\n'), /^promise 2, reports\/pgpass: it has been expired/);
    read(token('b'), other);
    end(2_000);
    pass(8_000);
    assert.match(verdicts.at(-1)!, /^promise 2, backstage\/pgpass: it has been expired/);
  });

  test('forgives health that it is too careful, until two seconds after it, and not that it is too bold', () => {
    const { clock, judge, timeline, pass, verdicts } = court();
    const lie = (isReadyLie: boolean): number => {
      const forMs = isReadyLie ? 0 : 8_000;
      judge.hear({ kind: 'lie', of: 'files', at: clock.now, what: '/readyz lies', forMs, isReadyLie });
      return verdicts.length;
    };
    const end = timeline.begin(hanging.name);
    pass(10_000);
    assert.equal(lie(false), 0);
    end();
    pass(1_750);
    assert.equal(lie(false), 0);
    pass(500);
    assert.equal(lie(false), 1);
    pass(20_000);
    timeline.begin(hanging.name);
    assert.equal(lie(true), 2);
  });
});

describe('the judge of a run, of the Secret,', () => {
  test('wants it repaired as soon as there is a way to the API server, whatever the volume is like', () => {
    const { timeline, read, token, pass, verdicts } = court();
    read(token('a'), SECRET_PLACE);
    timeline.begin('the Secret is deleted', { paths: [SECRET_PLACE] })();
    const end = timeline.begin('the API server is away', { impairs: ['api'] });
    timeline.begin('the disk is full', { impairs: ['write'] });
    read({ state: 'missing' }, SECRET_PLACE);
    pass(8_000);
    end(3_000);
    pass(7_500);
    assert.deepEqual(verdicts, []);
    pass(1_500);
    assert.match(verdicts.join('\n'), /^promise 2, secret:apps\/lakebase: it is still missing/);
  });

  test('wants it back from memory during an outage, unless a process that does not know the time yet has found it there', () => {
    const lossAfter = ({ upAfterMs, knows }: { upAfterMs: number; knows: boolean }): string[] => {
      const { timeline, read, token, pass, verdicts } = court({ startedAt: START + upAfterMs });
      if (upAfterMs < 0) timeline.begin('the sidecar is not up')();
      read(token('a'), SECRET_PLACE);
      pass(1_000);
      if (upAfterMs > 0) timeline.begin('the sidecar is not up', { impairs: ['process'] })();
      if (knows) pass(6_000);
      timeline.begin('the workspace is away', { impairs: ['mint'] });
      pass(1_000);
      timeline.begin('the Secret is deleted', { paths: [SECRET_PLACE] })();
      read({ state: 'missing' }, SECRET_PLACE);
      pass(6_000);
      return verdicts;
    };
    assert.deepEqual(lossAfter({ upAfterMs: 1_000, knows: false }), []);
    assert.match(lossAfter({ upAfterMs: 1_000, knows: true }).join('\n'), /it is still missing/);
    assert.match(lossAfter({ upAfterMs: -1, knows: false }).join('\n'), /it is still missing/);
  });

  test('lets a better token that somebody has deleted be lost to a sidecar that does not know the time, and to no other', () => {
    const lossAfter = (...faults: readonly string[]): string[] => {
      const { timeline, read, token, pass, verdicts } = court();
      for (const fault of faults.filter((one) => one.includes('clock'))) timeline.begin(fault)();
      timeline.begin('the workspace gives nearly dead tokens', { impairs: ['mint'] });
      pass(5_000);
      read(token('theirs'), SECRET_PLACE);
      pass(1_000);
      for (const fault of faults.filter((one) => one.includes('Secret')))
        timeline.begin(fault, { paths: [SECRET_PLACE] })();
      read({ state: 'missing' }, SECRET_PLACE);
      read(token('ours', 3_000), SECRET_PLACE);
      return verdicts;
    };
    const [step, loss] = ['the clock is set forward', 'the Secret is deleted'];
    assert.deepEqual(lossAfter(step, loss), []);
    assert.match(lossAfter(loss).join('\n'), /^promise 2, .*was replaced by one good for 3000 ms/);
    assert.match(lossAfter(step).join('\n'), /was replaced by one good for 3000 ms/);
  });

  test('lets a damaged token be lost to a pod that starts after that, and to none that has seen it whole', () => {
    const lossAfter = (...faults: readonly string[]): string[] => {
      const { timeline, read, token, pass, verdicts } = court();
      read(token('a'), SECRET_PLACE);
      for (const fault of faults) {
        pass(5_000);
        timeline.begin(fault, { paths: fault.includes('Secret') ? [SECRET_PLACE] : [] });
      }
      read(token('b', 3_000), SECRET_PLACE);
      return verdicts;
    };
    const [start, damage] = ['another pod publishes', 'the Secret is edited'];
    assert.deepEqual(lossAfter(damage, start), []);
    for (const faults of [[start, damage], [start], [damage]]) {
      assert.match(
        lossAfter(...faults).join('\n'),
        /^promise 2, .*was replaced by one good for 3000 ms/,
        faults.join(),
      );
    }
  });

  test('lets health be late, and blind without the API server or the time, and no longer', () => {
    const lieAfter = (
      fault: string | undefined,
      { forMs = 1_600, isReadyLie = true, impairs = [] as Impairment[] },
    ) => {
      const { clock, judge, timeline, read, token, pass, verdicts } = court();
      read(token('a'), SECRET_PLACE);
      pass(10_000);
      if (fault !== undefined) timeline.begin(fault, { impairs })();
      pass(1_000);
      judge.hear({ kind: 'lie', of: 'Secret', at: clock.now, what: '/readyz lies', forMs, isReadyLie });
      return verdicts.length;
    };
    assert.equal(lieAfter(undefined, {}), 1);
    assert.equal(lieAfter(undefined, { isReadyLie: false }), 1);
    assert.equal(lieAfter(undefined, { forMs: 1_400 }), 0);
    assert.equal(lieAfter('the API server is away', { impairs: ['api'] }), 0);
    assert.equal(lieAfter('the workspace is away', { impairs: ['mint'] }), 1);
    for (const fault of ['the clock is set back', 'the sidecar is not up', 'the configuration is changed']) {
      assert.equal(lieAfter(fault, {}), 0, fault);
    }
  });
});

test('SIGTERM may meet a sidecar that has not begun and ends for what was done to it, and no other', () => {
  const { timeline } = court();
  const mayEnd = { 78: /configuration is broken/ };
  const isGood = (code: number | null, hasBegun: boolean): boolean =>
    isGoodEnd(code, { startedAt: START, hasBegun }, { mayEnd, timeline });
  assert.deepEqual([isGood(0, true), isGood(78, false)], [true, false]);
  assert.deepEqual([isGood(null, false), isGood(null, true)], [true, false]);
  timeline.begin('the configuration is broken');
  assert.deepEqual([isGood(78, false), isGood(78, true), isGood(1, false)], [true, false, false]);
});
