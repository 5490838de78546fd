import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { stringify } from 'yaml';
import { dashboard, missing, panelQueries, withVariables, type Panel } from '../support/monitoring.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

const COLUMNS = 24;

function cells({ gridPos: { h, w, x, y } }: Panel): string[] {
  return Array.from({ length: w * h }, (_, index) => `${x + (index % w)}:${y + Math.floor(index / w)}`);
}

test('every query of the dashboard is one that Prometheus understands', { skip: missing.promtool }, async (t) => {
  const file = join(await temporaryDirectory(t), 'queries.yaml');
  const rules = panelQueries().map(({ expr }, index) => ({ record: `query:${index}`, expr }));
  await writeFile(file, stringify({ groups: [{ name: 'queries', rules }] }));
  const { status, stderr, stdout } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, new RegExp(`SUCCESS: ${rules.length} rules`));
});

interface Scene {
  /** A series with its values, one each half minute, as promtool writes them. */
  readonly series: Readonly<Record<string, string>>;
  readonly at: string;
}

/** What the query of a panel answers, by its letter. */
async function assertAnswer(
  t: TestContext,
  [title, letter]: readonly [string, string],
  { at, series }: Scene,
  answer: Readonly<Record<string, number>>,
): Promise<void> {
  // A row may have the title of a panel in it.
  const targets = dashboard().panels.flatMap((panel) => (panel.title === title ? (panel.targets ?? []) : []));
  const { expr } = targets.find(({ refId }) => refId === letter)!;
  const asked = {
    expr: withVariables(expr, { rate: '2m', range: '2m' }),
    eval_time: at,
    exp_samples: Object.entries(answer).map(([labels, value]) => ({ labels, value })),
  };
  const input = Object.entries(series).map(([name, values]) => ({ series: name, values }));
  const file = join(await temporaryDirectory(t), 'test.yaml');
  await writeFile(file, stringify({ tests: [{ interval: '30s', input_series: input, promql_expr_test: [asked] }] }));
  const { status, stderr, stdout } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

test(
  'versions are shown beside the configurations that are not in force where two of Prometheus scrape the same, too',
  { skip: missing.promtool },
  async (t) => {
    const versions = 'version="0.2.0", cli_version="1.13.0", node_version="26.10.0"';
    const series = Object.fromEntries(
      ['a', 'b'].flatMap((replica) => {
        const target = `namespace="shop", pod="shop-0", instance="10.0.0.1:9467", prometheus_replica="${replica}"`;
        return [
          [`lakebase_credential_build_info{${target}, ${versions}}`, '1x4'],
          [`lakebase_credential_config_last_reload_successful{${target}}`, '0x4'],
        ];
      }),
    );
    for (const letter of ['A', 'B'])
      await assertAnswer(t, ['Versions and configuration', letter], { series, at: '1m' }, { [`{${versions}}`]: 2 });
  },
);

test(
  'a node whose clock is slow by ten minutes makes no time in the tables negative or too long',
  { skip: missing.promtool },
  async (t) => {
    const pod = 'namespace="shop", pod="shop-0"';
    const skew = { [`lakebase_credential_clock_skew_seconds{${pod}}`]: '600x20' };
    const byCredential = `{${pod}, credential="orders"}`;
    const bySink = `{${pod}, credential="orders", sink="file:/run/lakebase/pgpass"}`;
    const of = (metric: string, labels: string, at: number) => ({
      [`lakebase_credential_${metric}${labels}`]: `${at}x20`,
    });
    const due = of('next_refresh_timestamp_seconds', byCredential, 120);
    const minted = of('last_success_timestamp_seconds', byCredential, -480);
    const written = of('sink_last_write_timestamp_seconds', bySink, -480);
    const table = 'Credentials by life left';
    // At five minutes of the clock of Prometheus: due in seven minutes, minted and written three minutes ago.
    await assertAnswer(t, [table, 'F'], { series: { ...due, ...skew }, at: '5m' }, { [byCredential]: 420 });
    await assertAnswer(t, [table, 'E'], { series: { ...minted, ...skew }, at: '5m' }, { [byCredential]: 180 });
    await assertAnswer(t, ['Sinks', 'C'], { series: { ...written, ...skew }, at: '5m' }, { [bySink]: 180 });
    // Before the first mint nothing is known of the clock.
    await assertAnswer(t, [table, 'F'], { series: due, at: '5m' }, { [byCredential]: -180 });
  },
);

test(
  'a token that has expired is not shown as valid on a node whose slow clock has not been measured yet',
  { skip: missing.promtool },
  async (t) => {
    const of = (credential: string) => `{namespace="shop", pod="shop-0", credential="${credential}"}`;
    const series = {
      ...Object.fromEntries(['expired', 'good'].map((name) => [`lakebase_credential_valid${of(name)}`, '1x20'])),
      [`lakebase_credential_valid${of('none')}`]: '0x20',
      [`lakebase_credential_expiry_timestamp_seconds${of('expired')}`]: '240x20',
      [`lakebase_credential_expiry_timestamp_seconds${of('good')}`]: '3600x20',
    };
    await assertAnswer(t, ['Not valid', 'A'], { series, at: '5m' }, { '{}': 2 });
    await assertAnswer(
      t,
      ['Credentials by life left', 'B'],
      { series, at: '5m' },
      { [of('expired')]: 0, [of('good')]: 1, [of('none')]: 0 },
    );
  },
);

test(
  'while no mint succeeds, none is shown as a success, not even in the first minutes of an outage',
  { skip: missing.promtool },
  async (t) => {
    const of = (metric: string, labels = '') =>
      `lakebase_credential_${metric}{namespace="shop", pod="shop-0", credential="orders"${labels}}`;
    // Four of them lie between samples, which are extrapolated to a third more. An increase from 0 is extrapolated less.
    const attempts = { [of('refresh_duration_seconds_count')]: '10x20 13+1x8' };
    const failed = {
      ...attempts,
      [of('refresh_failures_total', ', reason="auth"')]: '0x20 3+1x8',
      [of('consecutive_failures')]: '0x20 3+1x8',
    };
    const succeeded = {
      ...attempts,
      [of('refresh_failures_total', ', reason="auth"')]: '0x28',
      [of('consecutive_failures')]: '0x28',
    };
    const at = '11m15s';
    await assertAnswer(t, ['Refreshes by outcome', 'A'], { series: failed, at }, {});
    await assertAnswer(t, ['Refreshes by outcome', 'A'], { series: succeeded, at }, { '{}': 16 / 3 });
  },
);

test('no variable is left over in a query, and none is without a query that heeds it', () => {
  const { templating } = dashboard();
  const all = dashboard().panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  for (const { name } of templating.list.filter(({ type }) => type === 'query'))
    assert.ok(
      all.some((expr) => expr.includes(`$${name}"`)),
      name,
    );
  for (const { expr, panel } of panelQueries()) assert.ok(!expr.includes('$'), `${panel}: ${expr}`);
});

test('the variables choose data source, cluster, namespace and credential, and all of them is what is shown at first', () => {
  const { list } = dashboard().templating;
  assert.deepEqual(
    list.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['cluster', 'query'],
      ['namespace', 'query'],
      ['credential', 'query'],
    ],
  );
  // Not the list of what there is: series without such a label, as outside of a cluster, belong to it.
  for (const { allValue, name, type } of list) if (type === 'query') assert.equal(allValue, '.*', name);
});

test('each query asks the chosen data source and heeds cluster and namespace', () => {
  for (const { targets = [], title } of dashboard().panels) {
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (const { datasource, expr } of targets) {
      assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
      const selectors = expr.match(/\{[^}]*\}/g) ?? [];
      assert.ok(selectors.length > 0, title);
      for (const selector of selectors)
        assert.match(selector, /cluster=~"\$cluster", namespace=~"\$namespace"/, `${title}: ${selector}`);
    }
  }
});

test('panels have an id of their own, a title and a sentence, lie within the grid and not on each other', () => {
  const { panels } = dashboard();
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = panels.flatMap(cells);
  assert.equal(new Set(taken).size, taken.length, 'two panels at one place');
  for (const { description, gridPos, title, type } of panels) {
    assert.ok(gridPos.x + gridPos.w <= COLUMNS, title);
    assert.ok(title.length > 0);
    if (type !== 'row') assert.match(description ?? '', /\.$/, title);
  }
});
