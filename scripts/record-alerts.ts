import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FAULTS, type Scene } from '../test/monitoring/faults.ts';
import { toRecording, type SeenAlert } from '../test/monitoring/recording.ts';
import { startPrometheus, type Prometheus, type Target } from '../test/support/prometheus.ts';
import { SharedCleanup } from '../test/support/cleanup.ts';
import { eventually } from '../test/support/eventually.ts';

const HELP = `Records what the program exports while something goes wrong, for the tests of the alerts.

node scripts/record-alerts.ts [FAULT]...

All at the same time, and each as long as its alerts take: an hour and a quarter for all of them. It needs Debian's
packages prometheus and faketime.

${Object.keys(FAULTS).join('\n')}
`;

const STEP_S = 30;
const HOUR_MS = 3_600_000;
const PATIENCE = { withinMs: 1.5 * HOUR_MS, everyMs: 1_000 };
const FOLDER = join(import.meta.dirname, '../test/monitoring/recordings');

function say(line: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
}

async function record(name: string, prometheus: Prometheus, retarget: (target?: Target) => Promise<void>) {
  const cleanup = new SharedCleanup();
  // Each in a cluster of its own: one alert is about whole clusters.
  const labels = { cluster: name, namespace: 'shop', pod: 'orders-0', instance: '10.0.0.1:9467' };
  const seen = new Map<string, SeenAlert>();
  const from = Math.ceil(Date.now() / 1_000);
  const now = (): number => Date.now() / 1_000 - from;
  const active = async () =>
    (await prometheus.alerts()).filter(({ labels: { cluster }, state }) => cluster === name && state === 'firing');
  let directory = '';
  const scene: Scene = {
    t: cleanup,
    scrape: async (sidecar) => {
      directory = sidecar.directory;
      await retarget({ address: `127.0.0.1:${sidecar.address.port}`, labels });
    },
    scrapeNothing: async () => await retarget(),
    calm: async () => {
      const until = now() + 3 * STEP_S;
      await eventually('some scrapes', () => now() > until, PATIENCE);
    },
    fires: async (alert) => {
      const isIt = async () =>
        (await active()).find(({ labels: own }) => own['alertname'] === `LakebaseCredential${alert}`);
      const { labels: own } = await eventually(`${alert} fires`, isIt, PATIENCE);
      say(`${name}: ${alert} fires`);
      seen.set(alert, { labels: own, firesAt: now() });
    },
  };
  try {
    await FAULTS[name]!(scene);
    for (const [alert, { labels: own }] of seen) {
      const isOver = async () => !(await active()).some(({ labels: { alertname } }) => alertname === own['alertname']);
      await eventually(`${alert} resolves`, isOver, PATIENCE);
      say(`${name}: ${alert} resolves`);
      seen.set(alert, { ...seen.get(alert)!, resolvesAt: now() });
    }
    await scene.calm();
    const range = { from, to: Math.floor(Date.now() / 1_000), step: STEP_S };
    const series = await prometheus.queryRange(`{cluster="${name}", __name__!~"ALERTS.*"}`, range);
    const recording = toRecording({ name, series, range, seen: [...seen.values()], directory });
    await writeFile(join(FOLDER, `${name}.json`), `${JSON.stringify(recording, undefined, 2)}\n`);
    say(`${name}: recorded`);
  } finally {
    await cleanup.undo();
  }
}

const { positionals, values } = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean' } } });
const names = positionals.length > 0 ? positionals : Object.keys(FAULTS);
if (values.help === true || names.some((name) => !(name in FAULTS))) {
  console.log(HELP);
  process.exitCode = values.help === true ? 0 : 64;
} else {
  const cleanup = new SharedCleanup();
  try {
    const prometheus = await startPrometheus(cleanup, { targets: [], interval: `${STEP_S}s` });
    const targets = new Map<string, Target>();
    const retarget = (name: string) => async (target?: Target) => {
      if (target === undefined) targets.delete(name);
      else targets.set(name, target);
      await prometheus.discover([...targets.values()]);
    };
    const results = await Promise.allSettled(names.map((name) => record(name, prometheus, retarget(name))));
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') continue;
      say(`${names[index]}: ${String(result.reason)}`);
      process.exitCode = 1;
    }
  } finally {
    await cleanup.undo();
  }
}
