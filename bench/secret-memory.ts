import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { areProgramsBuilt } from '../test/cluster/programs.ts';
import { TestApiServer } from '../test/cluster/secrets/api-server.ts';
import { kubernetesVersion } from './kubernetes.ts';
import { COPIES, idlers, middle, row, SETTLE_MS, startOne } from './memory.ts';
import { readMemory, readPeak, type Memory } from '../test/support/proc.ts';
import type { Running, Scene } from './scene.ts';
import { mb, median, ratio } from './table.ts';

/** What it costs to write a Secret instead of a file, and what it would cost with the client library as it comes. */
export async function measureSecretMemory(scene: Scene): Promise<void> {
  if (!(await areProgramsBuilt())) {
    scene.report.skip('memory with a Secret', 'there is no API server here: `npm run cluster -- up` builds one');
    return;
  }
  const api = await TestApiServer.start(scene);
  scene.report.uses(await kubernetesVersion(api));
  const identity = await scene.startWorkspace(3_600);
  const env = { ...identity, KUBECONFIG: join(api.root, 'admin.kubeconfig') };
  const [files, secrets]: [Running[], Running[]] = [[], []];
  for (let i = 0; i < COPIES; i += 1) {
    files.push(await startOne(scene, identity, { floor: '20m' }));
    const secret = { namespace: 'default', name: `bench-${i}`, data: { password: 'token' } };
    secrets.push(await startOne(scene, env, { floor: '20m' }, [{ secret }]));
  }
  const whole = idlers(scene, `import('@kubernetes/client-node');`);
  await Promise.all([...files, ...secrets].map(async (sidecar) => await sidecar.port));
  await delay(SETTLE_MS);
  for (let i = 0; i < COPIES; i += 1) await api.kubectl(['get', 'secret', `bench-${i}`]);
  const [file, secret] = [files, secrets].map((all) => middle(all.map(({ pid }) => readMemory(pid)))) as [
    Memory,
    Memory,
  ];
  const library = middle(whole.map(readMemory));
  scene.report.quote(
    'idle memory (RSS) with a Secret instead of a file',
    `${mb(secret.rss)}, ${ratio(secret.rss / library.rss)} that of a Node.js with the whole Kubernetes client library`,
  );
  scene.report.table(
    `memory with a Secret: medians of ${COPIES} processes, ${SETTLE_MS / 1_000} s after the start`,
    ['', 'RSS', 'PSS', 'private'],
    [
      row('sidecar with one file, idle', file),
      row('sidecar with one Secret, idle', secret),
      ['ratio', ratio(secret.rss / file.rss), ratio(secret.pss / file.pss), ratio(secret.own / file.own)],
      ['peak since the start, with a file', mb(median(files.map(({ pid }) => readPeak(pid)))), '', ''],
      ['peak since the start, with a Secret', mb(median(secrets.map(({ pid }) => readPeak(pid)))), '', ''],
      row('bare Node that has loaded the whole client library, and nothing else', library),
    ],
  );
}
