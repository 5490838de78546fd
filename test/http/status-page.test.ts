import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { SINK_REMEDIES, type SinkFailure } from '../../src/credential/failures.ts';
import type { CredentialStatus, SinkStatus } from '../../src/credential/status.ts';
import { PAGE_SECURITY_POLICY } from '../../src/http/status-page-assets.ts';
import { renderStatusPage } from '../../src/http/status-page.ts';
import { reportStatus } from '../../src/http/status-json.ts';
import { credentialWith, frozenClock, holding, lacking, lastFailure, NOW, statusWith } from '../support/statuses.ts';
import { MINUTE_MS } from '../support/fakes.ts';

const page = (...statuses: CredentialStatus[]) => renderStatusPage(reportStatus(statuses, frozenClock, '1.2.3'));
/** What a person reads: without markup. */
const words = (markup: string): string =>
  markup
    .replaceAll(/<(style|script|noscript)>[^]*?<\/\1>/g, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();

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
      const digest = hash('sha256', found[0]?.[1] ?? '', 'base64');
      assert.ok(PAGE_SECURITY_POLICY.includes(`${element}-src 'sha256-${digest}'`));
    }
    assert.match(PAGE_SECURITY_POLICY, /default-src 'none'/);
    assert.match(PAGE_SECURITY_POLICY, /frame-ancestors 'none'/);
    assert.doesNotMatch(body, / style="| on\w+="|(?:src|href)="(?!data:)/);
  });

  test('reloads itself where scripts do not run', () => {
    assert.match(page(), /<noscript><meta http-equiv="refresh" content="\d+" \/><\/noscript>/);
  });

  const failing = (sink: SinkStatus, failure: SinkFailure, retryAt: number): SinkStatus => ({
    ...sink,
    failure: { error: new SinkError(failure, ''), at: NOW, retryAt },
  });
  const old = credentialWith({ leftMs: -200 * MINUTE_MS });
  const cards: [title: string, words: string, status: Partial<CredentialStatus>][] = [
    [
      'is well',
      'ready · Lakebase credentials Lakebase credentials ✓ ready As of 12:00:00 UTC backstage ✓ fresh ' +
        'projects/backstage/branches/production/endpoints/primary 40 min left of 60 min refresh in 18 min ' +
        'Issued 11:40:02 UTC Expires 12:40:02 UTC Last success 11:40:00 UTC 20 min ago Last attempt 11:40:00 UTC 20 min ago ' +
        'Fingerprint 561e659fed6e Sinks /run/lakebase/pgpass ✓ ready file · 40 min left · written 60 s ago by this sidecar ' +
        'lakebase-credential-sidecar 1.2.3',
      {},
    ],
    [
      'has only just started',
      '✕ not ready As of 12:00:00 UTC backstage … pending projects/backstage/branches/production/endpoints/primary ' +
        'No credential yet next attempt is due Issued – Expires – Last success – Last attempt – Fingerprint – ' +
        'Sinks /run/lakebase/pgpass … waiting file · no token of this credential a/b ✕ forbidden secret · no token of this credential ' +
        'Give the service account of the sidecar a role with the rule that the message in the log shows. Next try in 90 s.',
      {
        current: undefined,
        lastAttemptAt: undefined,
        lastSuccessAt: undefined,
        wakeAt: NOW,
        sinks: [lacking('missing', ''), failing(lacking('missing', '', 'secret:a/b'), 'forbidden', NOW + 90_000)],
      },
    ],
    [
      'has expired',
      'backstage ✕ expired projects/backstage/branches/production/endpoints/primary Expired 3 h ago next attempt in 2 min ' +
        'auth · 1 attempt failed, the last 5 s ago Check the secret &amp; &lt;the policy&gt;. ' +
        'Issued 07:40:02 UTC Expires 08:40:02 UTC Last success 20 Nov 12:00 UTC 3 days ago Last attempt 12:00:03 UTC 0 s ago ' +
        'Fingerprint 561e659fed6e Sinks /run/lakebase/pgpass ✕ not ready file · expired 3 h ago · written 60 s ago by this sidecar ' +
        '/run/lakebase/token ! no space file · 40 min left · written 60 s ago by this sidecar ' +
        'Make room on the volume, or give it a larger size limit. Next try now.',
      {
        current: old,
        wakeAt: NOW + 120_000,
        consecutiveFailures: 1,
        lastFailure,
        lastAttemptAt: NOW + 3_000,
        lastSuccessAt: NOW - 72 * 60 * MINUTE_MS,
        sinks: [holding(old), failing(holding(credentialWith(), 'file:/run/lakebase/token'), 'no_space', NOW)],
      },
    ],
  ];
  for (const [title, expected, status] of cards) {
    test(`tells everything about a credential that ${title}`, () => {
      const text = words(page(statusWith(status)));
      assert.ok(text.includes(expected), text);
    });
  }

  /** The problem of a sink, and what to do about it. */
  const inNeed = (failure: SinkFailure): RegExp => {
    const remedy = SINK_REMEDIES[failure].slice(1); // which begins as a sentence does
    return new RegExp(`✕</span> ${failure.replaceAll('_', ' ')}</span>[^]*<p class="small">.${remedy}\\.</p>`);
  };
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
    ['what a sink lacks, and what to do', inNeed('wrong_mode'), { sinks: [lacking('wrong_mode', 'mode 0644')] }],
    ['that a file is gone', inNeed('missing'), { sinks: [lacking('missing', '')] }],
    [
      'what keeps a first credential from a sink',
      inNeed('wrong_mode'),
      { current: undefined, sinks: [lacking('wrong_mode', '')] },
    ],
    ['that readiness is gone in its title', /<title>not ready ·/, { sinks: [lacking('missing', '')] }],
    ['that it is ready in its title', /<title>ready ·/, {}],
    ['what can wait in another tone', /<div class="note warn">/, { consecutiveFailures: 1, lastFailure }],
    ['what cannot in another tone', /<div class="note bad">/, { current: old, consecutiveFailures: 1, lastFailure }],
  ];
  for (const [title, text, overrides] of sentences) {
    test(`says ${title}`, () => assert.match(page(statusWith(overrides)), text));
  }

  test('marks on the bar where the refresh is due, if that is to come and before the end', () => {
    const body = page(statusWith());
    assert.match(body, /<rect class="left" width="66\.67%"/);
    assert.match(body, /<rect class="due" x="36\.67%"/);
    for (const wakeAt of [NOW, NOW + 41 * MINUTE_MS]) assert.doesNotMatch(page(statusWith({ wakeAt })), /class="due"/);
  });

  test('names at its top, of several credentials, those that are in trouble, and leads to them', () => {
    const current = credentialWith();
    const blocked = failing(lacking('missing', '', 'secret:a/b'), 'forbidden', NOW);
    const statuses = [
      statusWith({ name: 'well' }),
      statusWith({ name: 'starting', current: undefined, sinks: [lacking('missing', 'not there')] }),
      statusWith({ name: 'never', current: undefined, lastFailure, consecutiveFailures: 1 }),
      statusWith({ name: 'blocked', current: undefined, sinks: [lacking('missing', ''), blocked] }),
      statusWith({ name: 'retrying', lastFailure, consecutiveFailures: 1 }),
      statusWith({ name: 'lacking', sinks: [lacking('wrong_mode', 'mode 0644')] }),
      statusWith({ name: 'behind', sinks: [holding(current), failing(holding(current), 'no_space', NOW)] }),
    ];
    const body = page(...statuses);
    const [, words = ''] = /<p>(Look at \d+ of \d+:.*?)<\/p>/.exec(body) ?? [];
    const names = ['never', 'blocked', 'retrying', 'lacking', 'behind'];
    const links = names.map((name) => ` <a href="#credential-${name}">${name}</a>`);
    assert.equal(words, `Look at 5 of 7:${links.join('')}`);
    for (const name of names) assert.ok(body.includes(`<section id="credential-${name}">`), name);
    assert.doesNotMatch(page(statusWith(), statusWith({ name: 'other' })), /Look at/);
    assert.match(
      page(statusWith(), statusWith({ name: 'other', lastFailure, consecutiveFailures: 1 })),
      /Look at 1 of 2/,
    );
  });

  test('says so when nothing is configured', () => assert.match(page(), /No credential is configured/));
});
