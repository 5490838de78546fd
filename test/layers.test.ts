import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration } from '../src/config/duration.ts';
import { LONGEST_LIFETIME_MS } from '../src/credential/ports.ts';
import { FORMATS } from '../src/credential/formats.ts';
import { labelOf } from '../src/credential/label.ts';
import { sinkBuilder } from '../src/sinks.ts';
import { recognise, renderSecret, type SecretSpec } from '../src/sinks/secret-object.ts';
import { credential, load, problems } from './config/loading.ts';
import { connection, credentialOf, identity, secretSpec } from './support/sink-credentials.ts';

// What two layers both know, of which neither may import the other: nothing else would tell that they drift apart.

const place = { namespace: 'apps', name: 'lakebase' };

for (const format of FORMATS) {
  test(`a Secret of ${format} alone is accepted just where its token can be found again`, async (t) => {
    const data = { key: format };
    const file = { credentials: [credential({ connection, sinks: [{ secret: { ...place, data } }] })] };
    const isAccepted = (await problems(load(t, file))).length === 0;
    const spec: SecretSpec = { ...secretSpec, data };
    const found = recognise(renderSecret(credentialOf(1), spec, undefined), spec);
    assert.equal(isAccepted, found !== undefined);
  });
}

test('where no ttl is set the configuration reckons with the lifetime that is asked for then', async (t) => {
  const file = { credentials: [credential()], refresh: { at: 0.5, floor: '57m' } };
  const longest = formatDuration(LONGEST_LIFETIME_MS / 2);
  const [problem = ''] = await problems(load(t, file));
  assert.ok(problem.endsWith(`which is ${longest}`), problem);
});

test('a reload names sinks as metrics do', async (t) => {
  const sinks = [
    { file: { path: '/run/lakebase/token', format: 'token' } },
    { secret: { ...place, data: { password: 'token' } } },
  ];
  const config = await load(t, { credentials: [credential({ sinks })] });
  const { sinks: build } = await sinkBuilder(config);
  const [configured] = config.credentials;
  assert.deepEqual(
    configured!.sinks.map(labelOf),
    build(configured!, identity).map(({ name }) => name),
  );
});
