import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { alerts, dashboard, ruleFile } from '../../support/monitoring.ts';
import { buildHelm, whyNoHelm } from '../programs.ts';
import { CHART, secretSyncInto } from './world.ts';

const skip = await whyNoHelm();
const helm = skip === undefined ? (await buildHelm((line) => console.error(line)))['helm4']! : '';
const OPERATOR = ['--api-versions', 'monitoring.coreos.com/v1'];
const SECRET_SYNC = secretSyncInto('shop');

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly groups: unknown };
  readonly data: Readonly<Record<string, string>>;
}

/** What belongs to monitoring, of everything that the chart renders. */
function render(values: object, flags: readonly string[]): readonly Manifest[] {
  const image = { repository: 'registry.example/lakebase-credential-sidecar' };
  const command = ['template', 'rel', CHART, '--kube-version', '1.36.1', '--values', '-', ...flags];
  const input = JSON.stringify({ image, ...values });
  const { status, stderr, stdout } = spawnSync(helm, command, { encoding: 'utf8', input });
  assert.equal(status, 0, stderr);
  const all = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest | null);
  return all.filter((one): one is Manifest => one !== null && isOfMonitoring(one));
}

function isOfMonitoring({ kind, metadata }: Manifest): boolean {
  return ['PodMonitor', 'PrometheusRule'].includes(kind) || metadata.name.endsWith('-dashboard');
}

test(
  'the chart installs rules, monitor and dashboard where there is an operator, or where it is told to',
  { skip },
  () => {
    const kinds = (values: object, flags: readonly string[] = []) => render(values, flags).map(({ kind }) => kind);
    const all = ['ConfigMap', 'PodMonitor', 'PrometheusRule'];
    assert.deepEqual(kinds({}), []);
    assert.deepEqual(kinds({}, OPERATOR).toSorted(), all);
    assert.deepEqual(kinds({ monitoring: { enabled: false } }, OPERATOR), []);
    assert.deepEqual(kinds({ monitoring: { podMonitor: { enabled: true } } }), ['PodMonitor']);
    assert.deepEqual(kinds({ monitoring: { podMonitor: { enabled: false } } }, OPERATOR).toSorted(), [all[0], all[2]]);
  },
);

test('the PrometheusRule has the rules of the file and nothing else', { skip }, () => {
  const rule = render({}, OPERATOR).find(({ kind }) => kind === 'PrometheusRule');
  assert.deepEqual(rule?.spec.groups, ruleFile().groups);
});

test('alerts lead to their pages where it is said where those are, and can be left out', { skip }, () => {
  const exclude = ['LakebaseCredentialSidecarAbsent'];
  const pages = alerts()
    .filter(({ alert }) => !exclude.includes(alert))
    .map(({ alert }) => `https://runbooks.example/docs/runbooks/${alert}.md`);
  for (const path of ['', '/', '/docs/runbooks', '/docs/runbooks/']) {
    const monitoring = { prometheusRule: { runbookBaseUrl: `https://runbooks.example${path}`, exclude } };
    const rule = render({ monitoring }, OPERATOR).find(({ kind }) => kind === 'PrometheusRule')!;
    const [group] = rule.spec.groups as { rules: { alert?: string; annotations?: Record<string, string> }[] }[];
    assert.deepEqual(
      group?.rules.flatMap(({ alert, annotations }) => (alert === undefined ? [] : [annotations?.['runbook_url']])),
      pages,
      path,
    );
  }
});

test('the dashboard comes unchanged, with the label that the loader looks for', { skip }, () => {
  const map = render({}, OPERATOR).find(({ kind }) => kind === 'ConfigMap');
  assert.deepEqual(JSON.parse(map?.data['lakebase-credential-sidecar.json'] ?? ''), dashboard());
  assert.equal(map?.metadata.labels['grafana_dashboard'], '1');
});

test(
  'every pod with the named port is scraped, by one monitor and as one job, and sends Prometheus nowhere else',
  { skip },
  () => {
    const monitoring = { podMonitor: { interval: '15s', labels: { release: 'prometheus' } } };
    const monitors = render({ monitoring, secretSync: SECRET_SYNC }, OPERATOR).filter(
      ({ kind }) => kind === 'PodMonitor',
    );
    assert.equal(monitors.length, 1);
    const [{ metadata, spec }] = monitors as [Manifest];
    assert.equal(metadata.labels['release'], 'prometheus');
    const relabelings = [{ action: 'replace', targetLabel: 'job', replacement: 'lakebase-credential-sidecar' }];
    assert.deepEqual(spec, {
      namespaceSelector: { any: true },
      selector: {},
      podMetricsEndpoints: [
        { port: 'lakebase-http', path: '/metrics', followRedirects: false, interval: '15s', relabelings },
      ],
    });
  },
);

test('a label of theirs that the chart sets, too, stands once: theirs', { skip }, () => {
  const labels = { 'app.kubernetes.io/instance': 'prometheus' };
  const monitoring = { podMonitor: { labels }, prometheusRule: { labels }, dashboard: { labels } };
  const all = render({ monitoring }, OPERATOR);
  assert.deepEqual(
    all.map(({ metadata }) => metadata.labels['app.kubernetes.io/instance']),
    ['prometheus', 'prometheus', 'prometheus'],
  );
});
