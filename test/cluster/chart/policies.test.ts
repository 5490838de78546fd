import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { cleanupOfSuite } from '../../support/suite.ts';
import { eventually } from '../../support/eventually.ts';
import { whyNoHelm } from '../programs.ts';
import { CHART, ChartWorld, DEFAULTS, podOf, sidecarOf, variablesOf } from './world.ts';

const VALUES = {
  image: { repository: 'registry.example.com/lakebase-credential-sidecar' },
  injection: {
    enabled: true,
    defaults: DEFAULTS,
    namespaceSelector: { matchExpressions: [{ key: 'lakebase', operator: 'NotIn', values: ['off'] }] },
  },
};
const skip = await whyNoHelm();

describe('the policies of releases that come and go', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;

  before(async () => {
    world = await ChartWorld.start(shared);
    await world.namespace('apps');
    await world.namespace('opted-out', { lakebase: 'off' });
    await world.install(VALUES);
  });

  test('inject a pod once where two releases select the same pod', async () => {
    await world.helm('helm3', ['install', 'second', CHART, '--namespace', 'lakebase'], {
      ...VALUES,
      injection: { ...VALUES.injection, namespaceSelector: {} },
    });
    await world.injects('opted-out');
    const { metadata, spec } = await world.create(podOf());
    assert.deepEqual(
      spec.initContainers!.map(({ name }) => name),
      ['lakebase-credential'],
    );
    const by = metadata.annotations!['lakebase-credential-sidecar/injected-by'];
    assert.match(by!, /^lakebase-credential-sidecar\.lakebase\.(lakebase|second)$/);
    await world.helm('helm3', ['uninstall', 'second', '--namespace', 'lakebase']);
    await eventually('the second one is gone', () =>
      world.create(podOf(), 'opted-out').then(
        (pod) => sidecarOf(pod) === undefined,
        () => false,
      ),
    );
  });

  test('let no pod be created without its sidecar while the mutating one is gone, and go on when it is back', async () => {
    const name = 'lakebase-credential-sidecar.lakebase.lakebase';
    await world.api.kubectl(['delete', 'mutatingadmissionpolicybinding', name]);
    const refusal = await eventually('a refusal', async () => {
      const text = await world.refusal(podOf());
      return text !== 'it was created' && text;
    });
    assert.match(
      refusal,
      /^the sidecar was not added: check that the MutatingAdmissionPolicy .* and its binding exist/,
    );
    await world.helm('helm4', ['upgrade', 'lakebase', CHART, '--namespace', 'lakebase'], VALUES);
    await world.injects();
  });

  test('work again, with the settings of the new release, when it is installed after an uninstall', async () => {
    await world.helm('helm4', ['uninstall', 'lakebase', '--namespace', 'lakebase']);
    await eventually('labelled pods are created as they are', () =>
      world.create(podOf()).then(
        (pod) => sidecarOf(pod) === undefined,
        () => false,
      ),
    );
    const defaults = { ...DEFAULTS, ttl: '45m' };
    await world.helm('helm4', ['install', 'again', CHART, '--namespace', 'lakebase'], {
      ...VALUES,
      injection: { ...VALUES.injection, defaults },
    });
    await world.injects();
    assert.equal(variablesOf(sidecarOf(await world.create(podOf()))!)['LAKEBASE_TTL'], '45m');
  });
});
