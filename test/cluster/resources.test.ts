import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/sidecar-wait.ts';
import { useCluster, whyNoCluster } from './cluster.ts';
import { loadPsql, loadSidecar } from './support/pods-images.ts';
import { writeOverlay } from './support/pods-overlay.ts';
import { startService, trustServiceAccount } from './support/pods-service.ts';
import { SharedCleanup } from './support/pods-story.ts';
import { usageOf, type Usage } from './support/pods-usage.ts';
import { makeNamespace, SIDECAR, type Namespace } from './support/pods.ts';

/** As in manifests/components/sidecar. */
const REQUESTED = { memoryMiB: 64, cpuShare: 0.01 };
const LIMIT_MIB = 256;
const OBSERVED_MS = 60_000;

const skip =
  (await whyNoCluster()) ??
  (process.env['KUBECONFIG'] === undefined ? undefined : 'asks the kubelet of our own cluster');
const cluster = skip === undefined ? await useCluster() : undefined;

describe('what the kubelet says that the sidecar uses', { skip }, () => {
  const shared = new SharedCleanup();
  let namespace: Namespace;
  let begin: (name: string, tokenLifetimeMs: number) => Promise<string>;

  before(async () => {
    const images = { sidecarImage: await loadSidecar(cluster!), appImage: await loadPsql(cluster!) };
    namespace = await makeNamespace(shared, cluster!, 'resources');
    const verifySubjectToken = await trustServiceAccount(cluster!, namespace.name);
    begin = async (name, tokenLifetimeMs) => {
      const service = await startService(shared, cluster!, { verifySubjectToken, tokenLifetimeMs });
      const config = { refresh: { floor: '1s' } };
      const overlay = { ...images, example: 'libpq', namespace: namespace.name, service, name, config } as const;
      await namespace.apply(await writeOverlay(shared, overlay));
      const pod = await namespace.until(`test=${name}`, SIDECAR, 'is ready', ({ started }) => started === true);
      return pod.metadata.name;
    };
  });

  after(() => shared.undo());

  test(
    'is below its requests when idle, and below its limit while it mints all the time',
    { timeout: 240_000 },
    async (t) => {
      const [idle, busy] = [await begin('idle', 36_000_000), await begin('busy', 3_000)];
      const [first, firstBusy] = [await usage(idle), await usage(busy)];
      const samples: { readonly idle: Usage; readonly busy: Usage }[] = [];
      const end = performance.now() + OBSERVED_MS;
      while (performance.now() < end) {
        samples.push({ idle: await usage(idle), busy: await usage(busy) });
        await delay(1_000);
      }
      const last = samples.at(-1)!;
      const idleMiB = last.idle.workingSetMiB;
      const busyMiB = Math.max(...samples.map((sample) => sample.busy.workingSetMiB));
      const idleShare = (last.idle.cpuMs - first.cpuMs) / OBSERVED_MS;
      const busyShare = (last.busy.cpuMs - firstBusy.cpuMs) / OBSERVED_MS;
      t.diagnostic(`idle: ${idleMiB.toFixed()} MiB, ${(idleShare * 1000).toFixed(1)} m CPU`);
      t.diagnostic(`minting every two seconds: up to ${busyMiB.toFixed()} MiB, ${(busyShare * 1000).toFixed()} m CPU`);
      assert.ok(idleMiB < REQUESTED.memoryMiB, `${idleMiB} MiB`);
      assert.ok(idleShare < REQUESTED.cpuShare, `${idleShare} of a CPU`);
      assert.ok(busyMiB < LIMIT_MIB * 0.75, `${busyMiB} MiB`);
    },
  );

  async function usage(pod: string): Promise<Usage> {
    return await eventually('the kubelet has looked', () => usageOf(pod, SIDECAR), { withinMs: 60_000 });
  }
});
