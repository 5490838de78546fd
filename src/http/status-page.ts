import { wholeSeconds } from '../credential/display.ts';
import { type Html, html } from './html.ts';
import { PAGE_SECURITY_POLICY, SCRIPT, STYLE } from './status-page-assets.ts';
import type { CredentialReport, SinkReport, State, StatusReport } from './status-json.ts';

const RELOAD_SECONDS = 5;
const ICON =
  'data:image/svg+xml,%3Csvg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"%3E%3Ccircle cx="8" cy="8" r="6" fill="%2317784a"/%3E%3C/svg%3E';

/** Never colour alone: each state has its sign and its word. */
const BADGES: Readonly<Record<State, { readonly tone: string; readonly sign: string }>> = {
  pending: { tone: 'wait', sign: '…' },
  fresh: { tone: 'good', sign: '✓' },
  retrying: { tone: 'warn', sign: '↻' },
  expiring: { tone: 'warn', sign: '!' },
  expired: { tone: 'bad', sign: '✕' },
};

export const PAGE_HEADERS = {
  'content-security-policy': PAGE_SECURITY_POLICY,
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
} as const;

/** The same report for people, who see it renewed every few seconds. Needs nothing from anywhere else. */
export function renderStatusPage(report: StatusReport): string {
  const { credentials, now, ready, version } = report;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${ready ? 'ready' : 'not ready'} · Lakebase credentials</title>
        <link rel="icon" href="${ICON}" />
        <noscript><meta http-equiv="refresh" content="${RELOAD_SECONDS}" /></noscript>
        ${STYLE}
      </head>
      <body>
        <p class="note bad" id="lost" role="status" hidden></p>
        <main>
          <header>
            <h1>Lakebase credentials</h1>
            ${ready ? badge('good', '✓', 'ready') : badge('bad', '✕', 'not ready')}
          </header>
          <div class="small">
            <p class="quiet">As of ${time(now, now)}</p>
            ${credentials.length > 1 ? attention(credentials) : ''}
          </div>
          ${credentials.length === 0 ? html`<section>No credential is configured.</section>` : credentials.map((one) => card(one, now))}
        </main>
        <footer class="quiet small">lakebase-credential-sidecar ${version}</footer>
        ${SCRIPT}
      </body>
    </html> `;
  return page.markup;
}

/** Nobody should have to look through fifty cards for the one that is in trouble. */
function attention(credentials: readonly CredentialReport[]): Html {
  const names = credentials.filter(needsAttention).map(({ name }) => name);
  if (names.length === 0) return html``;
  const links = names.map((name) => html` <a href="#${anchor(name)}">${name}</a>`);
  return html`<p>Look at ${names.length} of ${credentials.length}:${links}</p>`;
}

/** One that has only just started does not. */
function needsAttention({ lastFailure, sinks, state }: CredentialReport): boolean {
  if (state === 'pending') return lastFailure !== null || sinks.some(({ failure }) => failure !== null);
  return state !== 'fresh' || sinks.some(({ failure, ready }) => failure !== null || !ready);
}

function anchor(name: string): string {
  return `credential-${name}`;
}

function card(credential: CredentialReport, now: string): Html {
  const { fingerprint, lastAttemptAt, lastSuccessAt, name, resource, sinks, state } = credential;
  const { tone, sign } = BADGES[state];
  return html`<section id="${anchor(name)}">
    <div class="title">
      <h2>${name}</h2>
      ${badge(tone, sign, state)}
    </div>
    <code class="quiet">${resource}</code>
    ${life(credential, now)} ${failure(credential, now)}
    <dl>
      ${fact('Issued', credential.issuedAt, now)} ${fact('Expires', credential.expiresAt, now)}
      ${fact('Last success', lastSuccessAt, now, ago(lastSuccessAt, now))}
      ${fact('Last attempt', lastAttemptAt, now, ago(lastAttemptAt, now))}
      <div>
        <dt>Fingerprint</dt>
        <dd>${fingerprint === null ? '–' : html`<code>${fingerprint}</code>`}</dd>
      </div>
    </dl>
    <h3>Sinks</h3>
    <ul>
      ${sinks.map((sink) => sinkItem(sink, state === 'pending', now))}
    </ul>
  </section> `;
}

/** The bar shrinks to the left as time passes; a refresh is due when it reaches the mark. */
function life(
  { isMinting, lifetimeSeconds, nextRefreshAt, remainingSeconds, state }: CredentialReport,
  now: string,
): Html {
  const dueSeconds = secondsBetween(now, nextRefreshAt);
  const verb = state === 'fresh' ? 'refresh' : 'next attempt';
  const next = isMinting ? 'minting now' : dueSeconds <= 0 ? `${verb} is due` : `${verb} in ${span(dueSeconds)}`;
  if (remainingSeconds === null || lifetimeSeconds === null) {
    return html`<div class="life">
      <p><span>No credential yet</span><span class="quiet">${next}</span></p>
    </div>`;
  }
  const percent = (seconds: number): string =>
    `${Math.min(100, Math.max(0, (100 * seconds) / lifetimeSeconds)).toFixed(2)}%`;
  const left =
    remainingSeconds > 0
      ? html`<b>${span(remainingSeconds)}</b> left of ${span(lifetimeSeconds)}`
      : html`<b>Expired</b> ${span(-remainingSeconds)} ago`;
  const mark = html`<rect class="due" x="${percent(remainingSeconds - dueSeconds)}" width="3" height="100%" />`;
  return html`<div class="life ${BADGES[state].tone}">
    <svg aria-hidden="true">
      <rect class="track" width="100%" height="100%" rx="6" />
      <rect class="left" width="${percent(remainingSeconds)}" height="100%" rx="6" />
      ${remainingSeconds > dueSeconds && dueSeconds > 0 ? mark : ''}
    </svg>
    <p><span>${left}</span><span class="quiet">${next}</span></p>
  </div>`;
}

function failure({ consecutiveFailures, lastFailure, state }: CredentialReport, now: string): Html {
  if (lastFailure === null) return html``;
  const tone = state === 'retrying' ? 'warn' : 'bad';
  const times = consecutiveFailures === 1 ? '1 attempt' : `${consecutiveFailures} attempts in a row`;
  return html`<div class="note ${tone}">
    <p><b>${lastFailure.code}</b> <span class="quiet">· ${times} failed, the last ${ago(lastFailure.at, now)}</span></p>
    <p>${sentence(lastFailure.remedy)}</p>
  </div>`;
}

function sinkItem(sink: SinkReport, isPending: boolean, now: string): Html {
  const { failure, kind, lastWriteAt, name, problem, remainingSeconds } = sink;
  const location = name.slice(`${kind}:`.length);
  const facts = [
    kind,
    holding(remainingSeconds),
    // A Secret may have another writer, too, and a newer token than that.
    ...(lastWriteAt === null ? [] : [`written ${ago(lastWriteAt, now)} by this sidecar`]),
  ];
  const isWaiting = isPending && failure === null && problem?.code === 'missing';
  const remedy = isWaiting ? undefined : (failure ?? problem)?.remedy;
  const retry = failure === null ? '' : html` Next try ${until(failure.retryAt, now)}.`;
  return html`<li>
    <div class="title"><code>${location}</code>${isWaiting ? badge('wait', '…', 'waiting') : sinkBadge(sink)}</div>
    <p class="quiet small">${facts.join(' · ')}</p>
    ${remedy === undefined ? '' : html`<p class="small">${sentence(remedy)}${retry}</p>`}
  </li>`;
}

function sinkBadge({ failure, problem, ready }: SinkReport): Html {
  if (problem !== null) return badge('bad', '✕', (failure ?? problem).code);
  if (!ready) return badge('bad', '✕', 'not ready');
  return failure === null ? badge('good', '✓', 'ready') : badge('warn', '!', failure.code);
}

function holding(remainingSeconds: number | null): string {
  if (remainingSeconds === null) return 'no token of this credential';
  return remainingSeconds > 0 ? `${span(remainingSeconds)} left` : `expired ${span(-remainingSeconds)} ago`;
}

function badge(tone: string, sign: string, word: string): Html {
  return html`<span class="badge ${tone}"><span aria-hidden="true">${sign}</span> ${word.replaceAll('_', ' ')}</span>`;
}

function fact(label: string, at: string | null, now: string, note = ''): Html {
  return html`<div>
    <dt>${label}</dt>
    <dd>${at === null ? '–' : time(at, now)}</dd>
    ${note === '' ? '' : html`<dd class="quiet small">${note}</dd>`}
  </div>`;
}

function time(at: string, now: string): Html {
  const isToday = at.slice(0, 10) === now.slice(0, 10);
  // `Sun, 22 Nov 2026 10:00:00 GMT`
  const text = isToday ? at.slice(11, 19) : `${new Date(at).toUTCString().slice(5, 11)} ${at.slice(11, 16)}`;
  return html`<time datetime="${at}" title="${at}">${text} UTC</time>`;
}

function ago(at: string | null, now: string): string {
  return at === null ? '' : `${span(Math.max(0, secondsBetween(at, now)))} ago`;
}

function until(at: string, now: string): string {
  const seconds = secondsBetween(now, at);
  return seconds <= 0 ? 'now' : `in ${span(seconds)}`;
}

function secondsBetween(from: string, to: string): number {
  return wholeSeconds(Date.parse(to) - Date.parse(from));
}

/** To the precision a person needs: seconds only where they matter. */
function span(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (seconds < 120) return `${seconds} s`;
  if (minutes < 120) return `${minutes} min`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} days`;
}

function sentence(text: string): Html {
  const parts = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`.split('`');
  return html`${parts.map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))}`;
}
