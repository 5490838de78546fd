import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { chartValues } from '../../../scripts/chart-readme.ts';
import { whyNoHelm } from '../programs.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { injection, secretSync } from './ci-values.ts';
import { HELMS, HelmClient } from './helm.ts';

interface Values {
  readonly [key: string]: unknown;
}

const isOn = { enabled: true };
/** With all that the chart has. */
const EVERYTHING = {
  ...secretSync,
  ...injection,
  monitoring: { podMonitor: isOn, prometheusRule: isOn, dashboard: isOn },
};
const WORKSPACE = /secretSync\.identity\.workspaceHost: set it to https:\/\//;
const REPOSITORY = /image\.repository: set it to where your clusters pull/;
const NAMESPACES = /injection\.namespaceSelector: .*every namespace.*: keep the default, or write/;
const CREDENTIALS = /secretSync\.config\.credentials: list what is to be kept fresh/;
/** What cannot be without, and what is said then; of those that have no default, null is a value of the wrong type. */
const NEEDED: Readonly<Record<string, RegExp>> = {
  image: REPOSITORY,
  'image.repository': REPOSITORY,
  'injection.namespaceSelector': NAMESPACES,
  'secretSync.identity': WORKSPACE,
  'secretSync.identity.workspaceHost': WORKSPACE,
  'secretSync.identity.clientId': /secretSync\.identity\.clientId: set it to the application id/,
  'secretSync.identity.audience': /secretSync\.identity: set audience, or clientSecretName/,
  'secretSync.config': CREDENTIALS,
  'secretSync.networkPolicy.egressPorts': /secretSync\.networkPolicy\.egressPorts: list the ports of the API server/,
};
/** The kinds of what is gone with them. */
const SWITCHED_OFF: Readonly<Record<string, RegExp>> = {
  injection: /AdmissionPolicy/,
  secretSync: /Deployment|ServiceAccount|Role|Secret|NetworkPolicy|Pod$/,
  'secretSync.networkPolicy': /NetworkPolicy/,
  monitoring: /PodMonitor|PrometheusRule/,
  'monitoring.podMonitor': /PodMonitor/,
};

const skip = await whyNoHelm();

describe('a value that is null', { skip }, () => {
  const shared = cleanupOfSuite();
  let client: HelmClient;

  before(async () => {
    client = await HelmClient.of(shared, '');
  });

  for (const helm of HELMS) {
    test(`${helm}: is one without its default, or the refusal says what to write: never an error of the templates' own`, async () => {
      for (const { path } of chartValues()) {
        const said = client.template(helm, without(EVERYTHING, path.split('.')));
        if (NEEDED[path] === undefined) await said.catch((error: unknown) => assert.fail(`${path}: ${String(error)}`));
        else await assert.rejects(said, NEEDED[path], path);
      }
    });

    test(`${helm}: switches off the part that it is of`, async () => {
      const all = kindsOf(await client.template(helm, EVERYTHING));
      for (const [path, gone] of Object.entries(SWITCHED_OFF)) {
        const kinds = kindsOf(await client.template(helm, without(EVERYTHING, path.split('.'))));
        assert.deepEqual(kinds, new Set([...all].filter((kind) => !gone.test(kind))), path);
      }
    });

    test(`${helm}: takes away a setting of injection that other values have given`, async () => {
      const gone = 'injection.defaults.ttl=null,injection.namespaceDefaults.orders=null';
      const policies = await client.template(helm, EVERYTHING, ['--set', gone]);
      const [, defaults = '', ofNamespace = ''] =
        /name: defaults\s+expression: (.*)\s+- name: ofNamespace\s+expression: (.*)/.exec(policies)!;
      assert.match(defaults, /client-id/);
      assert.doesNotMatch(`${defaults} ${ofNamespace}`, /ttl|endpoint/);
    });

    test(`${helm}: selects no namespace that the default leaves out, unless it is said that all are meant`, async () => {
      const select = (namespaceSelector: object): Promise<string> =>
        client.template(helm, { ...EVERYTHING, injection: { enabled: true, namespaceSelector } });
      await assert.rejects(select({ matchExpressions: null }), NAMESPACES);
      assert.match(await select({ matchExpressions: [] }), /namespaceSelector:\s+matchExpressions: \[\]/);
    });
  }
});

function without(values: Values, [key, ...rest]: readonly string[]): Values {
  return { ...values, [key!]: rest.length === 0 ? null : without((values[key!] ?? {}) as Values, rest) };
}

function kindsOf(manifests: string): ReadonlySet<string> {
  return new Set([...manifests.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind!));
}
