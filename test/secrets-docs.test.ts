import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SINK_REMEDIES } from '../src/credential/failures.ts';
import { Secret } from '../src/credential/secret.ts';
import { EVENT_REASONS } from '../src/kubernetes/events.ts';
import { ruleFor } from '../src/kubernetes/api-errors.ts';
import { renderSecret } from '../src/sinks/secret-object.ts';
import { parse } from 'yaml';
import { IDENTITY, load } from './config/loading.ts';

const page = readFileSync(new URL('../docs/secrets.md', import.meta.url), 'utf8');
const [configuration = '', rules = ''] = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) => yaml);

function section(title: string): string {
  return new RegExp(`^## ${title}\n(.*?)(?=^## |(?![^]))`, 'ms').exec(page)?.[1] ?? '';
}

/** What stands in code in the first column of a section's tables. */
function firstColumn(title: string): string[] {
  return [...section(title).matchAll(/^\| `([^`]+)`/gm)].map(([, cell = '']) => cell);
}

test('docs/secrets.md has each code of a sink that is not written, in the order of the code', () => {
  assert.deepEqual(firstColumn('When a sink is not written'), Object.keys(SINK_REMEDIES));
});

test('docs/secrets.md has each reason of an event', () => {
  assert.deepEqual(firstColumn('Events'), EVENT_REASONS);
});

test('docs/secrets.md has each label and annotation that is written, and no other', () => {
  const times = { issuedAt: 0, expiresAt: 3_600_000 };
  const { metadata } = renderSecret(
    { token: new Secret('t'), service: times, local: times, monotonicAt: 0, fingerprint: '', subject: undefined },
    {
      namespace: 'backstage',
      name: 'backstage-lakebase',
      data: { password: 'token' },
      type: 'Opaque',
      connection: {},
      identity: { workspace: '', resource: '', principal: '' },
      credentialName: 'backstage',
    },
    undefined,
    0,
  );
  const written = [...Object.keys(metadata.labels), ...Object.keys(metadata.annotations)];
  assert.deepEqual(firstColumn('What is written').toSorted(), written.toSorted());
});

test('the configuration in docs/secrets.md is valid', async (t) => {
  const { credentials } = await load(t, configuration, { env: IDENTITY });
  assert.deepEqual(
    credentials.flatMap(({ sinks }) => sinks.map(({ kind }) => kind)),
    ['file', 'secret'],
  );
});

test('the role in docs/secrets.md is the one that errors ask for', () => {
  const wanted = [
    ruleFor({ resource: 'secrets', namespace: 'backstage', name: 'backstage-lakebase' }),
    ruleFor({ resource: 'events', namespace: 'backstage' }),
  ];
  assert.deepEqual(
    parse(rules),
    wanted.flatMap((rule) => parse(rule) as object[]),
  );
});
