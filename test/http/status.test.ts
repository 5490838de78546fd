import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import type { CredentialStatus } from '../../src/credential/status.ts';
import { PAGE_SECURITY_POLICY } from '../../src/http/status-page-assets.ts';
import { renderStatusPage } from '../../src/http/status-page.ts';
import { reportStatus } from '../../src/http/status-json.ts';
import { credentialWith, frozenClock, holding, lacking, MINUTE_MS, NOW, statusWith } from '../support/statuses.ts';

const report = (...statuses: CredentialStatus[]) => reportStatus(statuses, frozenClock, '1.2.3');
const page = (...statuses: CredentialStatus[]) => renderStatusPage(report(...statuses));
const lastFailure = { code: 'auth', remedy: 'check `the secret` & <the policy>', at: NOW - 5_000 } as const;

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

describe('the page', () => {
  test('escapes everything that comes from outside', () => {
    const nasty = `"><script>alert('x')</script>&`;
    const sinks = [lacking('foreign_content', nasty, `file:${nasty}`)];
    const failed = { lastFailure, consecutiveFailures: 1 };
    const body = page(statusWith({ name: nasty, resource: nasty, sinks, ...failed })).replace(
      /<script>[^]*?<\/script>/,
      '',
    );
    assert.doesNotMatch(body, /<script>alert|alert\('x'\)/);
    assert.match(body, /&quot;&gt;&lt;script&gt;alert\(&#39;x&#39;\)&lt;\/script&gt;&amp;/);
    assert.match(body, /Check <code>the secret<\/code> &amp; &lt;the policy&gt;\./);
  });

  test('runs nothing but its own style and script', () => {
    const body = page(statusWith());
    for (const element of ['style', 'script']) {
      const found = [...body.matchAll(new RegExp(`<${element}>([^]*?)</${element}>`, 'g'))];
      assert.equal(found.length, 1);
      const hash = createHash('sha256')
        .update(found[0]?.[1] ?? '')
        .digest('base64');
      assert.ok(PAGE_SECURITY_POLICY.includes(`${element}-src 'sha256-${hash}'`));
    }
    assert.match(PAGE_SECURITY_POLICY, /default-src 'none'/);
    assert.match(PAGE_SECURITY_POLICY, /frame-ancestors 'none'/);
    assert.doesNotMatch(body, / style="| on\w+="|(?:src|href)="(?!data:)/);
  });

  test('reloads itself where scripts do not run', () => {
    assert.match(page(), /<noscript><meta http-equiv="refresh" content="\d+" \/><\/noscript>/);
  });

  const sentences: [string, RegExp, Partial<CredentialStatus>][] = [
    ['how much life is left', /<b>40 min<\/b> left of 60 min/, {}],
    ['when the next refresh is due', /refresh in 18 min/, {}],
    ['that a refresh is running', /minting now/, { isMinting: true }],
    ['that it expired', /<b>Expired<\/b> 4 min ago/, { current: credentialWith({ leftMs: -4 * MINUTE_MS }) }],
    ['that there is none yet', /No credential yet/, { current: undefined }],
    [
      'what failed how often',
      /<b>auth<\/b> .*3 attempts in a row failed, the last 5 s ago/,
      { consecutiveFailures: 3, lastFailure },
    ],
    ['the day of what was not today', />22 Nov 10:00 UTC</, { lastSuccessAt: NOW - 26 * 60 * MINUTE_MS }],
    ['what a sink lacks', /wrong mode<\/span>/, { sinks: [lacking('wrong_mode', 'mode 0644')] }],
  ];
  for (const [title, text, overrides] of sentences) {
    test(`says ${title}`, () => assert.match(page(statusWith(overrides)), text));
  }

  test('marks on the bar where the refresh is due', () => {
    const body = page(statusWith());
    assert.match(body, /<rect class="left" width="66\.67%"/);
    assert.match(body, /<rect class="due" x="36\.67%"/);
  });

  test('names at its top, of several credentials, those that are in trouble, and leads to them', () => {
    const current = credentialWith();
    const failure = { error: new SinkError('no_space', 'full'), at: NOW, retryAt: NOW };
    const failing = { ...holding(current), failure };
    const statuses = [
      statusWith({ name: 'well' }),
      statusWith({ name: 'starting', current: undefined, sinks: [lacking('missing', 'not there')] }),
      statusWith({ name: 'never', current: undefined, lastFailure, consecutiveFailures: 1 }),
      statusWith({ name: 'retrying', lastFailure, consecutiveFailures: 1 }),
      statusWith({ name: 'lacking', sinks: [lacking('wrong_mode', 'mode 0644')] }),
      statusWith({ name: 'behind', sinks: [failing] }),
    ];
    const body = page(...statuses);
    const [, words = ''] = /<p>(Look at \d+ of \d+:.*?)<\/p>/.exec(body) ?? [];
    const names = ['never', 'retrying', 'lacking', 'behind'];
    const links = names.map((name) => ` <a href="#credential-${name}">${name}</a>`);
    assert.equal(words, `Look at 4 of 6:${links.join('')}`);
    for (const name of names) assert.ok(body.includes(`<section id="credential-${name}">`), name);
    assert.doesNotMatch(page(statusWith(), statusWith({ name: 'other' })), /Look at/);
  });

  test('says so when nothing is configured', () => assert.match(page(), /No credential is configured/));
});
