import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { whyNoHelm } from '../programs.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import {
  CHART,
  ChartWorld,
  containerOf,
  DEFAULTS,
  HELMS,
  podOf,
  secretSyncInto,
  sidecarOf,
  type Container,
  type Helm,
  type Pod,
} from './world.ts';

interface Deployment {
  readonly spec: { readonly template: Pod };
}

const IMAGE = { repository: 'registry.example.com/lakebase-credential-sidecar' };
/** Each way to write a number, and each suffix. */
const NUMBERS = '0 1 0.5 .5 2. +1 1.5e3 2E3 1e+3 1500e-1'.split(' ');
const WITH_SUFFIX = '250000000n 250000u 100m 1k 1M 1G 1T 1P 1E 1.5Ki 1Mi 1Gi 1Ti 1Pi 1Ei'.split(' ');
const AMOUNTS = [...NUMBERS, ...WITH_SUFFIX, 0, 1, 0.5, 268_435_456];
const NONSENSE = ['much', '', '-1', -1, '1K', '1gi', '1GB', '1 Gi', '1,5', '1e', '1e1.5', '0x10', true];

const skip = await whyNoHelm();

describe('amounts of cpu and memory', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;

  before(async () => {
    world = await ChartWorld.start(shared);
    await world.namespace('apps');
  });

  for (const helm of HELMS) {
    test(`${helm}: are whatever the API server takes, as a text or a number`, async () => {
      const containers: Container[] = [];
      for (const amount of AMOUNTS) {
        const amounts = { cpu: amount, memory: amount, 'ephemeral-storage': amount };
        const { resources } = await deployed(helm, { resources: { requests: amounts, limits: amounts } });
        containers.push(containerOf(`with-${containers.length}`, { resources }));
      }
      const { spec } = await world.create({ metadata: { name: 'amounts' }, spec: { ...podOf().spec, containers } });
      assert.deepEqual(
        spec.containers.slice(-4).map(({ resources }) => (resources as Resources).limits['memory']),
        ['0', '1', '500m', '268435456'],
      );
    });

    test(`${helm}: may be numbers on the command line`, async () => {
      const { resources } = await deployed(helm, {}, ['--set', 'secretSync.resources.limits.cpu=1']);
      assert.deepEqual((resources as Resources).limits, { cpu: 1, memory: '256Mi' });
    });

    for (const amount of NONSENSE) {
      test(`${helm}: are never ${JSON.stringify(amount)}, and it is said where that stands`, async () => {
        const resources = { limits: { memory: amount } };
        await assert.rejects(deployed(helm, { resources }), /'?\/secretSync\/resources\/limits\/memory'?: /);
        await assert.rejects(world.create(podOf({}, { containers: [containerOf('one', { resources })] })));
      });
    }
  }

  test('of the defaults of injection may be fractions, too', async () => {
    await world.install({
      image: IMAGE,
      injection: {
        defaults: { ...DEFAULTS, 'cpu-request': 0.5, 'memory-request': '.1G', 'memory-limit': 300_000_000 },
      },
    });
    const { requests, limits } = sidecarOf(await world.create(podOf()))!['resources'] as Resources;
    assert.deepEqual([requests, limits], [{ cpu: '500m', memory: '100M' }, { memory: '300M' }]);
  });

  async function deployed(helm: Helm, values: object, flags: readonly string[] = []): Promise<Container> {
    const only = ['--kube-version', '1.36.1', '--show-only', 'templates/secret-sync/deployment.yaml'];
    const text = await world.helm(helm, ['template', 'x', CHART, ...only, ...flags], {
      image: IMAGE,
      secretSync: { ...secretSyncInto('apps'), ...values },
    });
    const deployment = text
      .split(/^---$/m)
      .map((one) => parse(one) as Deployment)
      .at(-1)!;
    return deployment.spec.template.spec.containers[0]!;
  }
});

interface Resources {
  readonly requests: Readonly<Record<string, string | number>>;
  readonly limits: Readonly<Record<string, string | number>>;
}
