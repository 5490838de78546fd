import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '../..');
export const RULES_FILE = join(ROOT, 'charts/lakebase-credential-sidecar/files/rules.yaml');
const DASHBOARD_FILE = join(ROOT, 'charts/lakebase-credential-sidecar/files/dashboard.json');
const RUNBOOKS = join(ROOT, 'docs/runbooks');

/** False, or why it cannot be run here. */
export const missing = {
  promtool: isThere('promtool') ? false : 'promtool is not on the PATH: apt-get install prometheus',
  prometheus: isThere('prometheus') ? false : 'prometheus is not on the PATH: apt-get install prometheus',
} as const;

function isThere(program: string): boolean {
  return spawnSync(program, ['--version']).status === 0;
}

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

export interface Alert extends Rule {
  readonly alert: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export function ruleFile(): RuleFile {
  return parse(readFileSync(RULES_FILE, 'utf8')) as RuleFile;
}

export function rules(): readonly Rule[] {
  return ruleFile().groups.flatMap((group) => group.rules);
}

export function alerts(): readonly Alert[] {
  return rules().filter((rule): rule is Alert => rule.alert !== undefined);
}

export interface Runbook {
  readonly name: string;
  readonly text: string;
}

export function runbooks(): readonly Runbook[] {
  return readdirSync(RUNBOOKS).map((file) => ({
    name: file.replace(/\.md$/, ''),
    text: readFileSync(join(RUNBOOKS, file), 'utf8'),
  }));
}

export interface Target {
  readonly refId: string;
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly expr: string;
  readonly legendFormat: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

export interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query: string | { readonly query: string };
      readonly allValue?: string;
    }[];
  };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

export function dashboard(): Dashboard {
  return JSON.parse(readFileSync(DASHBOARD_FILE, 'utf8')) as Dashboard;
}

export interface PanelQuery {
  readonly panel: string;
  readonly expr: string;
}

/** As Grafana would send them with everything selected. */
export function panelQueries(range = '5m', chosen: Choice = {}): readonly PanelQuery[] {
  return dashboard().panels.flatMap(({ targets = [], title }) =>
    targets.map(({ expr }) => ({ panel: title, expr: withVariables(expr, { rate: range, range, chosen }) })),
  );
}

/** What is chosen of a variable; all where it is not said. */
export type Choice = Readonly<Partial<Record<'cluster' | 'namespace' | 'credential', string>>>;

interface Filling {
  readonly rate: string;
  readonly range: string;
  readonly chosen?: Choice;
}

export function withVariables(expr: string, { chosen = {}, range, rate }: Filling): string {
  const timed = expr.replaceAll(/\$__rate_interval\b/g, rate).replaceAll(/\$__range\b/g, range);
  return timed.replaceAll(
    /\$(cluster|namespace|credential)\b/g,
    (_, name: string) => chosen[name as keyof Choice] ?? '.*',
  );
}

/** The metrics of the program that an expression names; what the rules record themselves has a colon. */
export function metricsIn(expr: string): readonly string[] {
  const names = expr.match(/\b(?:lakebase|process|nodejs)_\w+(?![\w:])/g) ?? [];
  return [...new Set(names)];
}

/** Each name with the labels of its samples, in a text of the Prometheus format. */
export function scrapedLabels(text: string): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const known = found.get(name) ?? new Set();
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
    found.set(name, known);
  }
  return found;
}
