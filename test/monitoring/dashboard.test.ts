import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { dashboard, missing, panelQueries, type Panel } from '../support/monitoring.ts';
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
