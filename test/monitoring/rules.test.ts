import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { MINT_REMEDIES } from '../../src/credential/failures.ts';
import { alerts, missing, rules, RULES_FILE, runbooks } from '../support/monitoring.ts';

const ROOT = join(import.meta.dirname, '../..');
const TESTS_FILE = join(import.meta.dirname, 'rules-test.yaml');
const SEVERITIES = new Set(['critical', 'warning']);

function promtool(...command: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', command, { encoding: 'utf8' });
  assert.equal(status, 0, `promtool ${command.join(' ')}\n${stdout}${stderr}`);
}

test('the rules pass promtool', { skip: missing.promtool }, () => {
  promtool('check', 'rules', RULES_FILE);
});

test('each alert fires for what it is about, and resolves', { skip: missing.promtool }, () => {
  promtool('test', 'rules', TESTS_FILE);
});

test('no alert is without a test that sees it fire, and one that sees it not fire afterwards', () => {
  const { tests } = parse(readFileSync(TESTS_FILE, 'utf8')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const cases = tests.flatMap(({ alert_rule_test: ofTest }) => ofTest);
  for (const { alert } of alerts()) {
    const isFiring = cases.filter(({ alertname }) => alertname === alert).map(({ exp_alerts: all }) => all.length > 0);
    assert.ok(isFiring.includes(true), `${alert} is never seen to fire`);
    assert.equal(isFiring.at(-1), false, `${alert} is never seen to resolve`);
  }
});

test('each alert has a severity, a time it must hold, and words for the person who is woken', () => {
  for (const { alert, annotations, for: duration, labels } of alerts()) {
    assert.match(alert, /^LakebaseCredential[A-Z]\w+$/);
    assert.ok(SEVERITIES.has(labels?.['severity'] ?? ''), `${alert}: severity`);
    assert.match(duration ?? '', /^\d+[ms]$/, `${alert}: for`);
    assert.deepEqual(Object.keys(annotations), ['summary', 'description', 'runbook'], alert);
    assert.equal(annotations['runbook'], `docs/runbooks/${alert}.md`);
  }
});

test('each alert has its page, and each page its alert', () => {
  const named = alerts().map(({ alert }) => alert);
  assert.deepEqual(
    runbooks()
      .map(({ name }) => name)
      .toSorted(),
    named.toSorted(),
  );
});

test('each page says what it means, what readers notice, what to look at and what to do, and its links lead somewhere', () => {
  for (const { name, text } of runbooks()) {
    assert.ok(text.startsWith(`# ${name}\n\n**It means** that `), name);
    assert.deepEqual(text.match(/^## .*/gm), ['## Look at', '## Do'], name);
    assert.match(text, /^\*\*Readers notice\*\* /m, name);
    for (const [, path = ''] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g))
      assert.ok(existsSync(join(ROOT, 'docs/runbooks', path)), `${name}: ${path}`);
  }
});

test('the page about failing refreshes has each reason, with what to do', () => {
  const { text } = runbooks().find(({ name }) => name === 'LakebaseCredentialRefreshFailing')!;
  assert.deepEqual(
    [...text.matchAll(/^\| `(\w+)` +\| (.*?) +\|$/gm)].map(([, reason, remedy]) => [reason, remedy]),
    Object.entries(MINT_REMEDIES),
  );
});

test('the page about an expiry that comes near leads to each of its causes, also where the log says nothing', () => {
  const { text } = runbooks().find(({ name }) => name === 'LakebaseCredentialExpiringSoon')!;
  const [, todo = ''] = text.split('\n## Do\n');
  for (const cause of ['RefreshFailing', 'SinkStale', 'RefreshOverdue'])
    assert.ok(todo.includes(`(LakebaseCredential${cause}.md)`), cause);
  assert.match(todo, /`log\.level`/);
});

test('the page about an overdue refresh says what it means if /healthz knows of none', () => {
  const { text } = runbooks().find(({ name }) => name === 'LakebaseCredentialRefreshOverdue')!;
  const [, todo = ''] = text.split('\n## Do\n');
  const said = /_(next refresh in)_/.exec(todo)?.[1];
  assert.ok(said !== undefined, 'by another clock than that of Prometheus it is not due yet');
  assert.ok(readFileSync(join(ROOT, 'src/credential/status.ts'), 'utf8').includes(`\`${said} `));
});

test('the page about a sidecar that is down has each exit code with which that can end, and where it tells of its start', () => {
  const { text } = runbooks().find(({ name }) => name === 'LakebaseCredentialSidecarDown')!;
  const cli = readFileSync(join(ROOT, 'src/cli.ts'), 'utf8');
  const [, table = ''] = /EXIT_CODES = \{(.*?)\}/.exec(cli) ?? [];
  const codes = new Set([...`${table} ${/EXIT_BUG = \d+/.exec(cli)?.[0]}`.matchAll(/\d+/g)].map(([code]) => code));
  assert.ok(codes.size > 4, [...codes].join(', '));
  // By a signal it ends with 0, or the kubelet with 137.
  for (const code of [...codes, '0', '137']) assert.match(text, new RegExp(`^\\| exit code ${code}\\b`, 'm'));
  // A port-forward comes from within the pod, where it answers also if it listens at the wrong address.
  for (const field of ['host', 'port']) assert.match(text, new RegExp(`\`${field}\` in the log line \`started\``));
});

test('docs/metrics.md has each alert with its severity, and each recorded series', () => {
  const page = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
  assert.deepEqual(
    [...page.matchAll(/^\| \[`(\w+)`\]\(runbooks\/(\w+)\.md\) +\| (\w+) +\|/gm)].map(([, name, link, severity]) => [
      name,
      link,
      severity,
    ]),
    alerts().map(({ alert, labels }) => [alert, alert, labels?.['severity']]),
  );
  for (const { record } of rules()) if (record !== undefined) assert.ok(page.includes(`\`${record}\``), record);
});
