import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { reportStatus } from '../../src/http/status-json.ts';
import { credentialWith, frozenClock, lacking, lastFailure, NOW, statusWith } from '../support/statuses.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
/** The first cells of the rows under a heading of docs/http.md, and those after them. */
const rowsOf = (heading: string): string[][] => {
  const [, section = ''] = read('docs/http.md').split(`\n## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  const cells = own.split('\n').flatMap((line) => (line.startsWith('| ') ? [line.split('|').slice(1, -1)] : []));
  return cells.slice(2).map((row) => row.map((cell) => cell.trim().replaceAll(/^[`_]|[`_]$/g, '')));
};

test('docs/http.md has each key of /status, in the order of the answer', () => {
  const failure = { error: new SinkError('no_space', 'full'), at: NOW, retryAt: NOW };
  const sinks = [{ ...lacking('missing', 'not there'), failure }];
  const report = reportStatus([statusWith({ current: credentialWith(), lastFailure, sinks })], frozenClock, '1.2.3');
  assert.deepEqual(
    rowsOf('Status').map(([key]) => key),
    keysOf(report, ''),
  );
});

test('docs/http.md has each state of a credential', () => {
  const [, union = ''] = /export type State = (.*);/.exec(read('src/http/status-json.ts')) ?? [];
  const states = [...union.matchAll(/'(\w+)'/g)].map(([, state]) => state);
  assert.ok(states.length > 3);
  assert.deepEqual(
    rowsOf('States').map(([state]) => state),
    states,
  );
});

test('docs/http.md has each message of the log, with its level', () => {
  const LINE = /\b(?:log|logOf\(credential\))\.(debug|info|warn|error)\([^']*'([^']+)',?\s*\)/g;
  const said = globSync('src/**/*.ts', { cwd: ROOT }).flatMap((path) =>
    [...read(path).matchAll(LINE)].map(([, level, message]) => `${level} ${message}`),
  );
  assert.ok(said.length > 20, `${said.length} messages`);
  const inOrder = (texts: readonly string[]): string[] => texts.toSorted((a, b) => (a < b ? -1 : 1));
  assert.deepEqual(inOrder(rowsOf('Log').map(([message, level]) => `${level} ${message}`)), inOrder(said));
});

function keysOf(value: unknown, path: string): string[] {
  if (Array.isArray(value)) return keysOf(value[0], `${path}[]`);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => {
    const own = path === '' ? key : `${path}.${key}`;
    return [own, ...keysOf(one, own)];
  });
}
