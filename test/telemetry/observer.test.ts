import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import { SINK_REMEDIES } from '../../src/credential/failures.ts';
import { noAnswerOf } from '../../src/credential/patient-look.ts';
import type { Observer } from '../../src/credential/ports.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createObserver } from '../../src/telemetry/observer.ts';
import { CANARY, credentialWith, frozenClock, NOW } from '../support/statuses.ts';
import { MINUTE_MS } from '../support/fakes.ts';

const SINK = 'file:/run/lakebase/pgpass';
const WRITTEN = { isRepair: false, failuresBefore: 0 };
const current = credentialWith();
const fingerprint = current.fingerprint.slice(0, 12);

function setUp(level = 'trace') {
  const lines: Record<string, unknown>[] = [];
  const problems: string[] = [];
  const log = createLogger(
    { level, version: '1' },
    { write: (text) => void lines.push(JSON.parse(text) as (typeof lines)[0]) },
  );
  const metrics = createMetrics(frozenClock);
  metrics.track(new Map([['backstage', [SINK]]]));
  const observer = createObserver({ log, metrics, clock: frozenClock, onProblem: (text) => problems.push(text) });
  const samples = async (): Promise<string> => (await metrics.render('text', [])).body;
  return { lines, log, observer, problems, samples };
}

const minted = (observer: Observer, failuresBefore = 0): void =>
  observer.minted('backstage', current, {
    durationMs: 1_234.5,
    dueAt: NOW + 20 * MINUTE_MS,
    failuresBefore,
    isOvertaken: false,
  });

const life = {
  issuedAt: '2026-11-23T11:40:02.000Z',
  expiresAt: '2026-11-23T12:40:02.000Z',
  remainingSeconds: 2_400,
  fingerprint,
};
const mintError = new MintError('auth', 'the workspace refuses the client', {
  remedy: 'check the client secret',
  detail: 'Error: invalid_client',
});

const rows: {
  event: string;
  fire: (observer: Observer) => void;
  level: string;
  msg: string;
  fields: object;
  problem?: string;
  sample?: RegExp;
}[] = [
  {
    event: 'a mint that starts',
    fire: (observer) => observer.mintStarted('backstage'),
    level: 'debug',
    msg: 'mint started',
    fields: {},
    sample: /^lakebase_credential_refreshes_total\{credential="backstage"\} 1$/m,
  },
  {
    event: 'a mint',
    fire: (observer) => minted(observer),
    level: 'info',
    msg: 'minted',
    fields: { ...life, nextRefreshAt: '2026-11-23T12:20:00.000Z', durationMs: 1_235 },
    sample: /^lakebase_credential_refresh_duration_seconds_count\{credential="backstage"\} 1$/m,
  },
  {
    event: 'a mint after failures',
    fire: (observer) => minted(observer, 3),
    level: 'info',
    msg: 'minted again after failures',
    fields: { ...life, nextRefreshAt: '2026-11-23T12:20:00.000Z', durationMs: 1_235, failuresBefore: 3 },
    sample: /^lakebase_credential_clock_skew_seconds 0\.7655$/m,
  },
  {
    event: 'a mint that failed',
    fire: (observer) =>
      observer.mintFailed('backstage', mintError, {
        durationMs: 900,
        retryAt: NOW + 1_000,
        consecutiveFailures: 2,
        remainingMs: 600_000,
      }),
    level: 'warn',
    msg: 'mint failed',
    fields: {
      err: { name: 'MintError', code: 'mint', failure: 'auth', message: mintError.message },
      remedy: 'check the client secret',
      detail: 'Error: invalid_client',
      consecutiveFailures: 2,
      remainingSeconds: 600,
      retryAt: '2026-11-23T12:00:01.000Z',
      durationMs: 900,
    },
    problem: 'backstage: the workspace refuses the client: check the client secret',
    sample: /^lakebase_credential_refresh_failures_total\{credential="backstage",reason="auth"\} 1$/m,
  },
  {
    event: 'a mint that failed before there ever was a credential',
    fire: (observer) =>
      observer.mintFailed('backstage', new MintError('network', 'no way out', { remedy: 'find one' }), {
        durationMs: 900,
        retryAt: NOW + 1_000,
        consecutiveFailures: 1,
        remainingMs: undefined,
      }),
    level: 'warn',
    msg: 'mint failed',
    fields: {
      err: { name: 'MintError', code: 'mint', failure: 'network', message: 'no way out' },
      remedy: 'find one',
      consecutiveFailures: 1,
      retryAt: '2026-11-23T12:00:01.000Z',
      durationMs: 900,
    },
    problem: 'backstage: no way out: find one',
  },
  {
    event: 'an adoption',
    fire: (observer) => observer.adopted('backstage', current, NOW),
    level: 'info',
    msg: 'adopted',
    fields: { ...life, nextRefreshAt: '2026-11-23T12:00:00.000Z' },
    sample: /^lakebase_credential_adoptions_total\{credential="backstage"\} 1$/m,
  },
  {
    event: 'an expiry',
    fire: (observer) => observer.expired('backstage'),
    level: 'error',
    msg: 'expired without a successor',
    fields: {},
    problem: 'backstage: expired without a successor',
  },
  {
    event: 'a write of a sink',
    fire: (observer) => observer.sinkWritten('backstage', SINK, current, WRITTEN),
    level: 'debug',
    msg: 'sink written',
    fields: { sink: SINK, fingerprint },
    sample: new RegExp(
      `^lakebase_credential_sink_writes_total\\{credential="backstage",sink="${SINK}",result="success"\\} 1$`,
      'm',
    ),
  },
  {
    event: 'a write of a sink after failures',
    fire: (observer) => observer.sinkWritten('backstage', SINK, current, { ...WRITTEN, failuresBefore: 1 }),
    level: 'info',
    msg: 'sink written after failures',
    fields: { sink: SINK, fingerprint, failuresBefore: 1 },
  },
  {
    event: 'a repair of a sink',
    fire: (observer) => observer.sinkWritten('backstage', SINK, current, { ...WRITTEN, isRepair: true }),
    level: 'info',
    msg: 'sink repaired after somebody else changed it',
    fields: { sink: SINK, fingerprint },
    sample: new RegExp(`^lakebase_credential_sink_repairs_total\\{credential="backstage",sink="${SINK}"\\} 1$`, 'm'),
  },
  {
    event: 'a repair of a sink after failures',
    fire: (observer) => observer.sinkWritten('backstage', SINK, current, { isRepair: true, failuresBefore: 2 }),
    level: 'info',
    msg: 'sink written after failures',
    fields: { sink: SINK, fingerprint, failuresBefore: 2 },
    sample: new RegExp(`^lakebase_credential_sink_repairs_total\\{credential="backstage",sink="${SINK}"\\} 1$`, 'm'),
  },
  {
    event: 'a sink that cannot be written',
    fire: (observer) => observer.sinkFailed('backstage', SINK, new SinkError('no_space', 'the volume\nis full'), NOW),
    level: 'warn',
    msg: 'sink not written',
    fields: {
      sink: SINK,
      err: { name: 'SinkError', code: 'sink', failure: 'no_space', message: 'the volume\nis full' },
      remedy: 'make room on the volume, or give it a larger size limit',
      retryAt: '2026-11-23T12:00:00.000Z',
    },
    problem: `backstage: ${SINK}: the volume is full: make room on the volume, or give it a larger size limit`,
    sample: /^lakebase_credential_sink_writes_total\{.*result="failure"\} 1$/m,
  },
  {
    event: 'a sink that is not watched any more',
    fire: (observer) => observer.sinkWatchChanged('backstage', SINK, new SinkError('forbidden', 'not allowed')),
    level: 'warn',
    msg: 'sink watch failed; changes by others are noticed late',
    fields: {
      sink: SINK,
      err: { name: 'SinkError', code: 'sink', failure: 'forbidden', message: 'not allowed' },
      remedy: new SinkError('forbidden', '').remedy,
    },
  },
  {
    event: 'a sink that is watched again',
    fire: (observer) => observer.sinkWatchChanged('backstage', SINK, undefined),
    level: 'info',
    msg: 'sink is watched again',
    fields: { sink: SINK },
  },
  {
    event: 'a sink on a disk that hangs',
    fire: (observer) => observer.sinkHangs('backstage', SINK, noAnswerOf(SINK)),
    level: 'warn',
    msg: 'sink does not answer',
    fields: {
      sink: SINK,
      err: { name: 'SinkError', code: 'sink', failure: 'unreachable', message: `${SINK} does not answer` },
      remedy: noAnswerOf(SINK).remedy,
    },
    problem: `backstage: ${SINK} does not answer: ${noAnswerOf(SINK).remedy}`,
  },
  {
    event: 'a sink on a disk that answers again',
    fire: (observer) => observer.sinkHangs('backstage', SINK, undefined),
    level: 'info',
    msg: 'sink answers again',
    fields: { sink: SINK },
  },
  {
    event: 'events that nobody will see',
    fire: (observer) => observer.eventsRefused('backstage', new SinkError('forbidden', 'not allowed')),
    level: 'warn',
    msg: 'Events not recorded; next try in an hour, further failures not logged',
    fields: {
      err: { name: 'SinkError', code: 'sink', failure: 'forbidden', message: 'not allowed' },
      remedy: new SinkError('forbidden', '').remedy,
    },
  },
  {
    event: 'a mint that another writer has overtaken',
    fire: (observer) =>
      observer.minted('backstage', current, { durationMs: 1_234.5, dueAt: NOW, failuresBefore: 0, isOvertaken: true }),
    level: 'info',
    msg: 'minted token discarded: another writer published first',
    fields: { ...life, nextRefreshAt: '2026-11-23T12:00:00.000Z', durationMs: 1_235 },
  },
  {
    event: 'a fight over a sink',
    fire: (observer) => observer.sinkRepairsLimited('backstage', SINK, NOW + 1_000, undefined),
    level: 'warn',
    msg: 'sink repeatedly changed by somebody else; repairs delayed',
    fields: { sink: SINK, remedy: SINK_REMEDIES.foreign_content, resumeAt: '2026-11-23T12:00:01.000Z' },
    problem: `backstage: ${SINK}: repeatedly changed by somebody else; repairs delayed: ${SINK_REMEDIES.foreign_content}`,
  },
  {
    event: 'a fight over the mode of a sink',
    fire: (observer) =>
      observer.sinkRepairsLimited('backstage', SINK, NOW + 1_000, new SinkError('wrong_mode', 'its mode is 0644')),
    level: 'warn',
    msg: 'sink repeatedly changed by somebody else; repairs delayed',
    fields: { sink: SINK, remedy: SINK_REMEDIES.wrong_mode, resumeAt: '2026-11-23T12:00:01.000Z' },
    problem: `backstage: ${SINK}: repeatedly changed by somebody else; repairs delayed: ${SINK_REMEDIES.wrong_mode}`,
  },
];

describe('the observer', () => {
  for (const { event, fire, level, msg, fields, problem, sample } of rows) {
    test(`logs ${event} at ${level}${sample === undefined ? '' : ', and counts it'}`, async () => {
      const { lines, observer, problems, samples } = setUp();
      fire(observer);
      assert.equal(lines.length, 1);
      const { time: _time, version: _version, ...line } = lines[0] ?? {};
      const { err, ...rest } = fields as { err?: object };
      assert.partialDeepStrictEqual(line['err'] ?? {}, err ?? {});
      delete line['err'];
      assert.deepEqual(line, { level, msg, credential: 'backstage', ...rest });
      assert.deepEqual(problems, problem === undefined ? [] : [`2026-11-23T12:00:00.000Z ${problem}`]);
      if (sample !== undefined) assert.match(await samples(), sample);
    });
  }

  test('warns of a jump of the clock for the whole process', async () => {
    const { lines, observer, samples } = setUp();
    observer.clockJumped(-7_200_000);
    assert.partialDeepStrictEqual(lines[0], { level: 'warn', bySeconds: -7_200 });
    assert.equal(lines[0]?.['credential'], undefined);
    assert.match(await samples(), /^lakebase_credential_clock_jumps_total 1$/m);
  });

  test('logs one line per refresh at info while all goes well', () => {
    const { lines, observer } = setUp('info');
    observer.mintStarted('backstage');
    minted(observer);
    observer.sinkWritten('backstage', SINK, current, WRITTEN);
    observer.sinkWritten('backstage', 'file:/run/lakebase/token', current, WRITTEN);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['minted'],
    );
  });

  test('tells of a first write after failures also where a reload has made another writer of the sink, who knows of none', () => {
    const { lines, observer } = setUp('info');
    for (let i = 0; i < 2; i += 1) observer.sinkFailed('backstage', SINK, new SinkError('conflict', 'not ours'), NOW);
    observer.sinkWritten('backstage', 'file:/run/lakebase/token', current, WRITTEN);
    observer.sinkWritten('backstage', SINK, current, WRITTEN);
    observer.sinkWritten('backstage', SINK, current, WRITTEN);
    assert.deepEqual(
      lines.map(({ msg, failuresBefore }) => [msg, failuresBefore]),
      [
        ['sink not written', undefined],
        ['sink not written', undefined],
        ['sink written after failures', 2],
      ],
    );
  });

  test('promises no repair within a second where it tells that repairs are delayed', () => {
    const { lines, observer } = setUp();
    observer.sinkRepairsLimited('backstage', SINK, NOW + MINUTE_MS, new SinkError('wrong_mode', 'its mode is 0644'));
    assert.doesNotMatch(String(lines[0]?.['remedy']), /within a second$/);
  });

  test('follows a level that is changed while it runs', () => {
    const { lines, log, observer } = setUp('info');
    observer.mintStarted('backstage');
    log.level = 'debug';
    observer.mintStarted('backstage');
    assert.equal(lines.length, 1);
  });

  test('never tells a token, whatever happens, at any level', async () => {
    const { lines, observer, problems, samples } = setUp();
    for (const { fire } of rows) fire(observer);
    assert.equal(lines.length, rows.length);
    assert.doesNotMatch(JSON.stringify([lines, problems]) + (await samples()), new RegExp(CANARY));
  });
});
