import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { CredentialStatus } from '../../src/credential/status.ts';
import { reportStatus } from '../../src/http/status-json.ts';
import { credentialWith, frozenClock, holding, lacking, lastFailure, NOW, statusWith } from '../support/statuses.ts';

const report = (...statuses: CredentialStatus[]) => reportStatus(statuses, frozenClock, '1.2.3');

describe('the report', () => {
  test('has every key for a credential that is well', () => {
    const current = credentialWith();
    assert.deepEqual(report(statusWith({ current, sinks: [holding(current)] })), {
      version: '1.2.3',
      now: '2026-11-23T12:00:00.000Z',
      ready: true,
      credentials: [
        {
          name: 'backstage',
          resource: 'projects/backstage/branches/production/endpoints/primary',
          state: 'fresh',
          remainingSeconds: 2_400,
          lifetimeSeconds: 3_600,
          issuedAt: '2026-11-23T11:40:02.000Z',
          expiresAt: '2026-11-23T12:40:02.000Z',
          nextRefreshAt: '2026-11-23T12:18:00.000Z',
          isMinting: false,
          lastAttemptAt: '2026-11-23T11:40:00.000Z',
          lastSuccessAt: '2026-11-23T11:40:00.000Z',
          consecutiveFailures: 0,
          lastFailure: null,
          fingerprint: current.fingerprint.slice(0, 12),
          sinks: [
            {
              name: 'file:/run/lakebase/pgpass',
              kind: 'file',
              state: 'holds',
              ready: true,
              remainingSeconds: 2_400,
              expiresAt: '2026-11-23T12:40:02.000Z',
              fingerprint: current.fingerprint.slice(0, 12),
              lastWriteAt: '2026-11-23T11:59:00.000Z',
              problem: null,
              failure: null,
            },
          ],
        },
      ],
    });
  });

  test('has the same keys where nothing is known', () => {
    const { remedy } = new SinkError('no_space', 'full');
    const failure = { error: new SinkError('no_space', 'full', { remedy }), at: NOW, retryAt: NOW + 1_000 };
    const sinks = [{ ...lacking('missing', 'not there'), failure }];
    const pending = statusWith({ current: undefined, sinks, lastAttemptAt: undefined, lastSuccessAt: undefined });
    const [empty] = report(pending).credentials;
    const [full] = report(statusWith()).credentials;
    assert.deepEqual(Object.keys(empty ?? {}), Object.keys(full ?? {}));
    assert.deepEqual(Object.keys(empty?.sinks[0] ?? {}), Object.keys(full?.sinks[0] ?? {}));
    assert.equal(empty?.fingerprint, null);
    assert.match(empty?.sinks[0]?.problem?.remedy ?? '', /written as soon as/);
    assert.deepEqual(empty?.sinks[0]?.failure, {
      code: 'no_space',
      at: '2026-11-23T12:00:00.000Z',
      retryAt: '2026-11-23T12:00:01.000Z',
      remedy: 'make room on the volume, or give it a larger size limit',
    });
  });

  test('carries the remedy that goes with the last failure', () => {
    const [credential] = report(statusWith({ consecutiveFailures: 2, lastFailure })).credentials;
    assert.deepEqual(credential?.lastFailure, {
      code: 'auth',
      at: '2026-11-23T11:59:55.000Z',
      remedy: lastFailure.remedy,
    });
  });

  const states = [
    ['pending', { current: undefined }],
    ['pending', { current: undefined, consecutiveFailures: 3, lastFailure }],
    ['fresh', {}],
    ['retrying', { consecutiveFailures: 1, lastFailure }],
    ['expiring', { current: credentialWith({ leftMs: 29_000 }), consecutiveFailures: 7, lastFailure }],
    ['expired', { current: credentialWith({ leftMs: 0 }), consecutiveFailures: 7, lastFailure }],
  ] as const;
  for (const [state, overrides] of states) {
    test(`calls ${JSON.stringify(Object.keys(overrides))} ${state}`, () => {
      assert.equal(report(statusWith(overrides)).credentials[0]?.state, state);
    });
  }

  test('calls a sink ready while who reads it has time to log in, and no longer', () => {
    const sinks = [
      holding(credentialWith({ leftMs: 30_000 })),
      holding(credentialWith({ leftMs: 29_999 }), 'secret:a/b'),
    ];
    const { credentials, ready } = report(statusWith({ sinks }));
    assert.deepEqual(
      credentials[0]?.sinks.map(({ state, ready }) => [state, ready]),
      [
        ['holds', true],
        ['holds', false],
      ],
    );
    assert.equal(ready, false);
  });

  test('is not ready without credentials, nor with a sink that lacks one', () => {
    assert.equal(report().ready, false);
    assert.equal(report(statusWith(), statusWith({ sinks: [lacking('missing', 'gone')] })).ready, false);
  });
});
