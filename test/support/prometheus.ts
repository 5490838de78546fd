import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ruleFile } from './monitoring.ts';
import { eventually, temporaryDirectory, undoAfter, type Cleanup } from './sidecar-wait.ts';

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface PrometheusOptions {
  /** Of sidecars, each with the labels that discovery in a cluster would give it. */
  readonly targets: readonly { readonly address: string; readonly labels: Readonly<Record<string, string>> }[];
  /** How long an alert must hold, instead of minutes; everything else in the rules is as it is installed. */
  readonly holdFor: string;
  readonly interval: string;
}

/** A real one, on loopback; stopped and wiped with the test. */
export async function startPrometheus(
  t: Cleanup,
  { holdFor, interval, targets }: PrometheusOptions,
): Promise<Prometheus> {
  const directory = await temporaryDirectory(t);
  const groups = ruleFile().groups.map(({ rules, ...group }) => ({
    ...group,
    rules: rules.map((rule) => (rule.alert === undefined ? rule : { ...rule, for: holdFor })),
  }));
  await writeFile(join(directory, 'rules.yaml'), stringify({ groups }));
  const config = {
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: ['rules.yaml'],
    scrape_configs: [
      {
        job_name: 'lakebase-credential-sidecar',
        static_configs: targets.map(({ address, labels }) => ({ targets: [address], labels })),
      },
    ],
  };
  await writeFile(join(directory, 'prometheus.yaml'), stringify(config));
  const address = `127.0.0.1:${await freePort()}`;
  const flags = [
    `--config.file=${join(directory, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    `--web.listen-address=${address}`,
  ];
  const child = spawn('prometheus', flags, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'close');
  undoAfter(t, async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  });
  let log = '';
  child.stderr.on('data', (chunk) => (log += String(chunk)));
  const prometheus = new Prometheus(`http://${address}`);
  await eventually('Prometheus is ready', () => prometheus.isReady(), {
    withinMs: 30_000,
    onTimeout: () => `it said: ${log}`,
    isHopeless: () => child.exitCode !== null,
  });
  return prometheus;
}

export class Prometheus {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async isReady(): Promise<boolean> {
    const response = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
    return response?.status === 200;
  }

  /** @throws what Prometheus says against it */
  async query(expr: string): Promise<readonly Series[]> {
    const { result } = (await this.#get(`query?query=${encodeURIComponent(expr)}`)) as { result: readonly Series[] };
    return result;
  }

  async alerts(): Promise<readonly ActiveAlert[]> {
    const { alerts } = (await this.#get('alerts')) as { alerts: readonly ActiveAlert[] };
    return alerts;
  }

  async firing(): Promise<readonly string[]> {
    const firing = (await this.alerts()).filter(({ state }) => state === 'firing');
    return [...new Set(firing.map(({ labels }) => labels['alertname'] ?? ''))].toSorted();
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`${this.#url}/api/v1/${path}`);
    const { data, error, status } = (await response.json()) as { status: string; data?: unknown; error?: string };
    if (status !== 'success') throw new Error(`${path}: ${error ?? response.status}`);
    return data;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
