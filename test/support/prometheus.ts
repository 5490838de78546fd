import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ruleFile } from './monitoring.ts';
import { unwantedPort } from './ports.ts';
import { temporaryDirectory, undoAfter, type Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** In seconds. */
export interface Range {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export interface RangeSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

export interface ActiveTarget {
  readonly labels: Readonly<Record<string, string>>;
  readonly health: 'up' | 'down' | 'unknown';
}

export interface LoadedRule {
  readonly name: string;
  readonly type: 'alerting' | 'recording';
  readonly health: 'ok' | 'err' | 'unknown';
  readonly duration?: number;
}

export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

/** A sidecar, with the labels that discovery in a cluster would give it. */
export interface Target {
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PrometheusOptions {
  readonly targets: readonly Target[];
  readonly interval: string;
  /** How long an alert must hold, instead of minutes; everything else in the rules is as it is installed. */
  readonly holdFor?: string;
}

/** A real one, on loopback; stopped and wiped with the test. */
export async function startPrometheus(
  t: Cleanup,
  { holdFor, interval, targets }: PrometheusOptions,
): Promise<Prometheus> {
  const directory = await temporaryDirectory(t);
  const groups = ruleFile().groups.map(({ rules, ...group }) => ({
    ...group,
    rules: rules.map((rule) => (rule.alert === undefined || holdFor === undefined ? rule : { ...rule, for: holdFor })),
  }));
  await writeFile(join(directory, 'rules.yaml'), stringify({ groups }));
  const config = {
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: ['rules.yaml'],
    scrape_configs: [{ job_name: 'lakebase-credential-sidecar', file_sd_configs: [{ files: ['targets.json'] }] }],
  };
  await writeFile(join(directory, 'prometheus.yaml'), stringify(config));
  const discover = async (found: readonly Target[]) => {
    const text = JSON.stringify(found.map(({ address, labels }) => ({ targets: [address], labels })));
    await writeFile(join(directory, 'targets.new'), text);
    await rename(join(directory, 'targets.new'), join(directory, 'targets.json'));
  };
  await discover(targets);
  const address = `127.0.0.1:${await unwantedPort()}`;
  const flags = [
    `--config.file=${join(directory, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    `--web.listen-address=${address}`,
  ];
  return await runPrometheus(t, { command: ['prometheus', ...flags], url: `http://${address}`, directory, discover });
}

export interface Run {
  readonly command: readonly string[];
  readonly url: string;
  readonly directory: string;
  readonly discover?: (targets: readonly Target[]) => Promise<void>;
}

/** One that is configured; until the end of the test. */
export async function runPrometheus(
  t: Cleanup,
  { command, directory, discover = () => Promise.reject(new Error('it finds its targets itself')), url }: Run,
): Promise<Prometheus> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'close');
  undoAfter(t, async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  });
  let log = '';
  child.stderr.on('data', (chunk) => (log += String(chunk)));
  const prometheus = new Prometheus(url, discover);
  await eventually('Prometheus is ready', () => prometheus.isReady(), {
    withinMs: 30_000,
    onTimeout: () => `it said: ${log}`,
    isHopeless: () => child.exitCode !== null,
  });
  return prometheus;
}

export class Prometheus {
  /** What is scraped from now on. */
  readonly discover: (targets: readonly Target[]) => Promise<void>;
  readonly #url: string;

  constructor(url: string, discover: (targets: readonly Target[]) => Promise<void>) {
    this.#url = url;
    this.discover = discover;
  }

  async isReady(): Promise<boolean> {
    const response = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
    return response?.status === 200;
  }

  /** @throws what Prometheus says against it */
  async query(expr: string, at = Date.now() / 1_000): Promise<readonly Series[]> {
    const { result } = (await this.#get(`query?query=${encodeURIComponent(expr)}&time=${at}`)) as {
      result: readonly Series[];
    };
    return result;
  }

  /** One value for each step, where there is one. @throws what Prometheus says against it */
  async queryRange(expr: string, { from, to, step }: Range): Promise<readonly RangeSeries[]> {
    const range = `start=${from}&end=${to}&step=${step}`;
    const { result } = (await this.#get(`query_range?query=${encodeURIComponent(expr)}&${range}`)) as {
      result: readonly RangeSeries[];
    };
    return result;
  }

  async targets(): Promise<readonly ActiveTarget[]> {
    const { activeTargets } = (await this.#get('targets?state=active')) as { activeTargets: readonly ActiveTarget[] };
    return activeTargets;
  }

  async rules(): Promise<readonly LoadedRule[]> {
    const { groups } = (await this.#get('rules')) as { groups: readonly { rules: readonly LoadedRule[] }[] };
    return groups.flatMap((group) => group.rules);
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
