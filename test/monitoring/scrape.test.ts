import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { dashboard, metricsIn, panelQueries, rules, scrapedLabels } from '../support/monitoring.ts';
import { recordings } from './recording.ts';
import { startSidecar } from '../support/sidecar.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { cleanupOfSuite } from '../support/suite.ts';

/** What Prometheus adds to the series of a target. */
const TARGET_LABELS = ['cluster', 'namespace', 'pod', 'job', 'instance'];

describe('in a scrape of the real program', () => {
  const shared = cleanupOfSuite();
  let scraped: ReadonlyMap<string, ReadonlySet<string>>;

  before(async () => {
    const sidecar = await (await startSidecar(shared, { workspace: await workspaceFor(shared) })).ready();
    scraped = scrapedLabels((await sidecar.metrics()).text);
  });

  test('there is every metric that a rule asks for', () => {
    for (const { expr } of rules())
      for (const name of metricsIn(expr)) assert.ok(scraped.has(name), `${name} of: ${expr}`);
    const asked = new Set(rules().flatMap(({ expr }) => metricsIn(expr)));
    assert.ok(asked.size > 10, [...asked].join(', '));
  });

  test('there is every metric that a panel, a variable or an annotation of the dashboard asks for', () => {
    const { annotations, templating } = dashboard();
    const variables = templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query));
    const all = [...panelQueries().map(({ expr }) => expr), ...variables, ...annotations.list.map(({ expr }) => expr)];
    for (const expr of all) for (const name of metricsIn(expr)) assert.ok(scraped.has(name), `${name} of: ${expr}`);
  });

  test('series have the names and labels with which the rules are tested', () => {
    const { tests } = parse(readFileSync(join(import.meta.dirname, 'rules-test.yaml'), 'utf8')) as {
      tests: { input_series: { series: string }[] }[];
    };
    const recorded = recordings().flatMap(({ series }) => series);
    for (const { series } of [...tests.flatMap(({ input_series: all }) => all), ...recorded]) {
      const [, name = '', labels = ''] = /^(\w+)\{(.*)\}$/.exec(series) ?? [];
      if (name === 'up') continue;
      assert.ok(scraped.has(name), series);
      const own = [...labels.matchAll(/(\w+)="/g)]
        .map(([, label = '']) => label)
        .filter((label) => !TARGET_LABELS.includes(label));
      assert.deepEqual(new Set(own), scraped.get(name), series);
    }
  });

  test('panels group by labels that there are', () => {
    const known = new Set([...TARGET_LABELS, 'le', ...[...scraped.values()].flatMap((labels) => [...labels])]);
    for (const { expr, panel } of panelQueries())
      for (const [, list = ''] of expr.matchAll(/\b(?:by|without|on|ignoring) \(([^)]*)\)/g))
        for (const label of list.split(', ')) assert.ok(known.has(label), `${panel}: ${label}`);
  });
});
