import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { REFUSAL } from '../../test/monitoring/faults.ts';
import type { Target } from '../../test/support/prometheus.ts';
import { workspaceFor } from '../../test/support/sidecar-clis.ts';
import { credential } from '../../test/support/sidecar-setup.ts';
import { temporaryDirectory, type Cleanup } from '../../test/support/cleanup.ts';
import { startSidecar, type Sidecar } from '../../test/support/sidecar.ts';
import type { Workspace } from '../../test/support/workspace.ts';

/** Minutes of real life in place of hours. */
const LIFETIME_MS = 60_000;
const PACE_MS = 30_000;
/** As people run it: from source it takes twice the memory. */
const BUNDLE = join(import.meta.dirname, '../../dist/main.js');

export interface Pod {
  readonly sidecar: Sidecar;
  readonly workspace: Workspace;
  readonly target: Target;
}

async function start(
  t: Cleanup,
  cluster: string,
  namespace: string,
  pod: string,
  names: readonly string[],
): Promise<Pod> {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: LIFETIME_MS });
  const directory = await temporaryDirectory(t);
  const sinks = (name: string) => [
    { file: { path: `${directory}/run/${name}/pgpass`, format: 'pgpass' } },
    { file: { path: `${directory}/run/${name}/token`, format: 'token' } },
  ];
  const credentials = names.map((name) => credential(directory, { name, sinks: sinks(name) }));
  const config = {
    credentials,
    refresh: { at: 0.667, jitter: 0.1, floor: '5s' },
    backoff: { initial: '1s', max: '4s' },
  };
  const sidecar = await (await startSidecar(t, { workspace, directory, config, entry: BUNDLE })).ready();
  const { host, port } = sidecar.address;
  const labels = { cluster, namespace, pod, instance: `${pod}:9467`, job: 'lakebase-credential-sidecar' };
  return { sidecar, workspace, target: { address: `${host}:${port}`, labels } };
}

/** Two clusters, in which most of what can go wrong does. */
export async function startPods(t: Cleanup) {
  const [backstage, orders, reports, billing, stock, legacy] = await Promise.all([
    start(t, 'east', 'backstage', 'backstage-0', ['backstage']),
    start(t, 'east', 'shop', 'orders-0', ['orders', 'customers']),
    start(t, 'east', 'reports', 'reports-0', ['reports']),
    start(t, 'west', 'billing', 'billing-0', ['billing']),
    start(t, 'west', 'shop', 'stock-0', ['stock']),
    start(t, 'west', 'shop', 'legacy-0', ['legacy']),
  ]);
  return { backstage, orders, reports, billing, stock, legacy };
}

export type Pods = Awaited<ReturnType<typeof startPods>>;

/** What happens until the picture is taken. */
export async function letThingsHappen(
  { backstage, billing, legacy, orders, reports, stock }: Pods,
  say: (line: string) => void,
) {
  const step = async (line: string): Promise<void> => {
    say(line);
    await delay(PACE_MS);
  };
  orders.workspace.latencyMs = 700;
  billing.workspace.clockOffsetMs = 1_500;
  await step('all is well');
  await step('still');
  await orders.workspace.outage();
  await step('a workspace is away');
  await step('still');
  await orders.workspace.recover();
  for (let round = 0; round < 3; round += 1) {
    await writeFile(backstage.sidecar.path('backstage/token'), 'somebody else was here');
    await delay(2_000);
  }
  await step('a workspace is back, and somebody has changed a file three times');
  stock.workspace.fail('credential', { status: 429, body: { message: 'Too many requests' } });
  await step('another workspace throttles');
  await stock.workspace.recover();
  reports.workspace.fail('credential', REFUSAL);
  await step('a right is taken away');
  await rm(billing.sidecar.path('billing/token'));
  await mkdir(billing.sidecar.path('billing/token'));
  await step('a directory stands where a file is to be');
  await writeFile(stock.sidecar.configFile, 'credentials: []');
  await legacy.sidecar.stop('SIGKILL');
  await step('a configuration is refused, and a sidecar is gone');
}
