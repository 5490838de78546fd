import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labelOf } from '../../src/config/load.ts';
import { FORMATS } from '../../src/config/options.ts';
import { sinkBuilder } from '../../src/sinks.ts';
import { recognise, renderSecret, type SecretSpec } from '../../src/sinks/secret-object.ts';
import { credential, load, problems } from '../config/loading.ts';
import { connection, credentialOf, identity } from '../fixtures/sink-credentials.ts';
import { FakeClock } from '../support/fake-clock.ts';

// What the configuration and the sinks both know, each in a folder that must not import the other.

const place = { namespace: 'apps', name: 'lakebase' };

for (const format of FORMATS) {
  test(`a Secret of ${format} alone is accepted just where its token can be found again`, async (t) => {
    const data = { key: format };
    const file = { credentials: [credential({ connection, sinks: [{ secret: { ...place, data } }] })] };
    const isAccepted = (await problems(load(t, file))).length === 0;
    const spec: SecretSpec = { ...place, data, type: 'Opaque', connection, identity, credentialName: 'backstage' };
    const found = recognise(renderSecret(credentialOf(1), spec, undefined), spec);
    assert.equal(isAccepted, found !== undefined);
  });
}

test('a reload names sinks as metrics do', async (t) => {
  const sinks = [
    { file: { path: '/run/lakebase/token', format: 'token' } },
    { secret: { ...place, data: { password: 'token' } } },
  ];
  const config = await load(t, { credentials: [credential({ sinks })] });
  const { sinks: build } = await sinkBuilder(config, new FakeClock());
  const [configured] = config.credentials;
  assert.deepEqual(
    configured!.sinks.map(labelOf),
    build(configured!, identity).map(({ name }) => name),
  );
});
