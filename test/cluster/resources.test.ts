import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { cleanupOfSuite } from '../support/suite.ts';
import { eventually } from '../support/eventually.ts';
import { whyNoPods, whyNotOwn } from './cluster.ts';
import { startService } from './support/pods-service.ts';
import { setStage, type Change, type Stage } from './support/pods-stage.ts';
import { usageOf, type Usage } from './support/pods-usage.ts';
import { SIDECAR } from './support/pods.ts';

/** As in manifests/components/sidecar. */
const REQUESTED = { memoryMiB: 64, cpuShare: 0.01 };
const LIMIT_MIB = 256;
const OBSERVED_MS = 60_000;

const skip = (await whyNoPods()) ?? whyNotOwn;

describe('what the kubelet says that the sidecar uses', { skip }, () => {
  const shared = cleanupOfSuite();
  let stage: Stage;

  before(async () => {
    stage = await setStage(shared, { name: 'resources', tokenLifetimeMs: 3_600_000 });
  });

  test(
    'is below its requests when idle, and below its limit while it mints all the time',
    { timeout: 240_000 },
    async (t) => {
      const often = await startService(shared, stage.cluster, { tokenLifetimeMs: 3_000 });
      const { clientSecret } = often.workspace;
      const samples = await Promise.all([
        // With a lower floor, the first refresh might come while it is observed.
        begin('idle', { config: { refresh: { floor: '30m' } } }).then(observe),
        begin('busy', { config: { refresh: { floor: '1s' } }, service: often, clientSecret }).then(observe),
      ]);
      const [idle, busy] = samples.map((of) => ({ mostMiB: mostMiB(of), share: cpuShare(of.at(0)!, of.at(-1)!) }));
      t.diagnostic(`idle: ${idle!.mostMiB.toFixed()} MiB, ${(idle!.share * 1000).toFixed(1)} m CPU`);
      t.diagnostic(`minting every 2 s: up to ${busy!.mostMiB.toFixed()} MiB, ${(busy!.share * 1000).toFixed()} m CPU`);
      assert.ok(often.workspace.minted.length > OBSERVED_MS / 3_000, `${often.workspace.minted.length} mints`);
      assert.equal(stage.service.workspace.minted.length, 1);
      assert.ok(idle!.mostMiB < REQUESTED.memoryMiB, `${idle!.mostMiB} MiB`);
      assert.ok(idle!.share < REQUESTED.cpuShare, `${idle!.share} of a CPU`);
      assert.ok(busy!.mostMiB < LIMIT_MIB * 0.75, `${busy!.mostMiB} MiB`);
    },
  );

  async function begin(name: string, changes: Omit<Change, 'example'>): Promise<string> {
    await stage.apply(shared, { example: 'libpq', name, ...changes });
    const { metadata } = await stage.namespace.until(
      `test=${name}`,
      SIDECAR,
      'is ready',
      ({ started }) => started === true,
    );
    return metadata.name;
  }

  /** What the kubelet saw while that long passed by its own measure, which began when the sidecar had started. */
  async function observe(pod: string): Promise<Usage[]> {
    const from = Date.now();
    const samples: Usage[] = [];
    await eventually(
      `a minute of ${pod}`,
      async () => {
        const usage = await usageOf(pod, SIDECAR);
        if (usage !== undefined && usage.at > from && usage.at !== samples.at(-1)?.at) samples.push(usage);
        const [first, last] = [samples.at(0), samples.at(-1)];
        return first !== undefined && last !== undefined && last.at - first.at >= OBSERVED_MS;
      },
      { withinMs: OBSERVED_MS * 2, everyMs: 1_000 },
    );
    return samples;
  }
});

function mostMiB(samples: readonly Usage[]): number {
  return Math.max(...samples.map(({ workingSetMiB }) => workingSetMiB));
}

/** Of one CPU; what others do at the same time does not count. */
function cpuShare(first: Usage, last: Usage): number {
  return (last.cpuMs - first.cpuMs) / (last.at - first.at);
}
