import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { chartValues } from '../scripts/chart-readme.ts';
import { chartShapes } from '../scripts/chart-shapes.ts';

const root = join(import.meta.dirname, '..');
const chart = join(root, 'charts/lakebase-credential-sidecar');
const read = (path: string): string => readFileSync(join(chart, path), 'utf8');

const secret = { namespace: 'reports', name: 'reports-lakebase', data: { password: 'token' } };
const credential = { name: 'reports', instance: 'reports', sinks: [{ secret }] };
const sync = (changes: object): object => ({
  secretSync: { config: { credentials: [{ ...credential, ...changes }] } },
});
const config = (changes: object): object => ({ secretSync: { config: changes } });
const defaults = (changes: object): object => ({ injection: { defaults: changes } });
const selects = (namespaceSelector: object): object => ({ injection: { namespaceSelector } });

/** Values, and what the message names. */
const REJECTED: readonly (readonly [object, RegExp])[] = [
  [{ enabled: false }, /\/enabled: .*constant/],
  [{ replicas: 2 }, /: .*additional.*replicas/],
  [{ image: 'registry.example.com/image' }, /\/image: .*object/],
  [{ image: { repository: 'Not An Image' } }, /\/image\/repository: .*pattern/],
  [{ image: { tag: 1 } }, /\/image\/tag: .*string/],
  [{ image: { digest: 'abc' } }, /\/image\/digest: .*pattern/],
  [{ image: { pullPolicy: 'Sometimes' } }, /\/image\/pullPolicy: .*allowed values/],
  [{ fullnameOverride: 'With_Underscore' }, /\/fullnameOverride: .*pattern/],
  [{ injection: true }, /\/injection: .*object/],
  [{ injection: { enabled: 'yes' } }, /\/injection\/enabled: .*allowed values/],
  [defaults({ end_point: 'x' }), /\/injection\/defaults: .*additional.*end_point/],
  [defaults({ endpoint: 'projects/orders' }), /\/injection\/defaults\/endpoint: .*pattern/],
  [defaults({ ttl: 'an hour' }), /\/injection\/defaults\/ttl: .*pattern/],
  [defaults({ ttl: '2h' }), /\/injection\/defaults\/ttl: .*pattern/],
  [defaults({ ttl: '299s' }), /\/injection\/defaults\/ttl: .*pattern/],
  [
    defaults({ endpoint: 'projects/a/branches/b/endpoints/c', instance: 'a' }),
    /\/injection\/defaults\/instance: .*left out, because endpoint is set/,
  ],
  [defaults({ files: 'pgpass;token' }), /\/injection\/defaults\/files: .*pattern/],
  [defaults({ directory: 'run/lakebase' }), /\/injection\/defaults\/directory: .*pattern/],
  [defaults({ 'run-as-user': 0 }), /\/injection\/defaults\/run-as-user: .*>= 1/],
  [defaults({ 'run-as-user': 2 ** 31 }), /\/injection\/defaults\/run-as-user: .*<= 2147483647/],
  [defaults({ 'workspace-host': 'my-workspace' }), /\/injection\/defaults\/workspace-host: .*pattern/],
  ...[0, 65_536, 99_999].map(
    (port) =>
      [
        defaults({ 'workspace-host': `https://w.example.com:${port}` }),
        /\/injection\/defaults\/workspace-host: .*pattern/,
      ] as const,
  ),
  [defaults({ 'memory-limit': 'much' }), /\/injection\/defaults\/memory-limit: .*pattern/],
  [{ injection: { namespaceDefaults: { 'my.apps': {} } } }, /\/injection\/namespaceDefaults: .*my\.apps/],
  [{ injection: { namespaceDefaults: { a: { b: 'c' } } } }, /\/injection\/namespaceDefaults\/a: .*additional.*"b"/],
  [
    { injection: { namespaceSelector: { matchLabel: {} } } },
    /\/injection\/namespaceSelector: .*additional.*matchLabel/,
  ],
  [{ injection: { namespaceSelector: { matchExpressions: [{ key: 'a' }] } } }, /\/matchExpressions\/0: .*operator/],
  [{ secretSync: { enabled: 'true' } }, /\/secretSync\/enabled: .*boolean/],
  [{ secretSync: { keepSecrets: 'yes' } }, /\/secretSync\/keepSecrets: .*boolean/],
  [{ secretSync: { replicas: 1.5 } }, /\/secretSync\/replicas: .*integer/],
  [{ secretSync: { identity: { workspaceHost: 'x' } } }, /\/secretSync\/identity\/workspaceHost: .*pattern/],
  [
    { secretSync: { networkPolicy: { egressPorts: ['443'] } } },
    /\/secretSync\/networkPolicy\/egressPorts\/0: .*integer/,
  ],
  [{ secretSync: { networkPolicy: { egressPorts: [] } } }, /\/secretSync\/networkPolicy\/egressPorts: .*fewer than 1/],
  [{ secretSync: { resources: { limits: { memory: 'x' } } } }, /\/secretSync\/resources\/limits\/memory: .*pattern/],
  [{ secretSync: { resources: { limits: { cpu: 'Gi' } } } }, /\/secretSync\/resources\/limits\/cpu: .*pattern/],
  [{ secretSync: { resources: { limits: { cpu: -1 } } } }, /\/secretSync\/resources\/limits\/cpu: .*>= 0/],
  [{ secretSync: { resources: { limits: { disk: '1Gi' } } } }, /\/secretSync\/resources\/limits: .*additional.*disk/],
  [{ monitoring: { podMonitor: { enabled: 'on' } } }, /\/monitoring\/podMonitor\/enabled: .*allowed values/],
  [{ monitoring: { podMonitor: { interval: '15' } } }, /\/monitoring\/podMonitor\/interval: .*pattern/],
  [{ monitoring: { prometheusRule: { exclude: ['All'] } } }, /\/monitoring\/prometheusRule\/exclude\/0: .*allowed/],
  [{ monitoring: { dashboards: {} } }, /\/monitoring: .*additional.*dashboards/],
  [config({ credentials: [] }), /\/secretSync\/config\/credentials: .*fewer than 1/],
  [config({ refresh: { at: 2 } }), /\/secretSync\/config\/refresh\/at: .*<= 0.95/],
  [config({ backoff: { maximum: '1m' } }), /\/secretSync\/config\/backoff: .*additional.*maximum/],
  [config({ log: { level: 'loud' } }), /\/secretSync\/config\/log\/level: .*allowed values/],
  [config({ http: { port: 0 } }), /\/secretSync\/config\/http\/port: .*>= 1/],
  ...['127.0.0.1', 'localhost', '::1', '10.0.0.7'].map(
    (host) =>
      [config({ http: { host } }), /\/secretSync\/config\/http\/host: .*allowed values.*"::","0\.0\.0\.0"/] as const,
  ),
  [config({ minter: { cli: { concurrency: 0 } } }), /\/secretSync\/config\/minter\/cli\/concurrency: .*>= 1/],
  [
    sync({ endpoint: 'projects/a/branches/b/endpoints/c' }),
    /\/credentials\/0\/instance: .*left out, because endpoint is set/,
  ],
  [sync({ instance: undefined }), /\/credentials\/0: .*'endpoint'[^]*\/credentials\/0: .*'instance'/],
  [sync({ instance: undefined, endpoint: 'projects/a/branches/b/endpoints/c', ttl: '61m' }), /\/0\/ttl: .*pattern/],
  [sync({ name: 'Reports' }), /\/credentials\/0\/name: .*pattern/],
  [sync({ ttl: '1h' }), /\/credentials\/0\/ttl: .*left out, because instance is set/],
  [
    sync({ sinks: [{ file: { path: '/run/a', format: 'token' } }] }),
    /\/credentials\/0\/sinks\/0: .*additional.*"file"/,
  ],
  [{ env: { LANG: 'C' } }, /\/env: .*LANG/],
  [{ env: { PATH: '/bin' } }, /\/env: .*PATH/],
  [{ env: { LAKEBASE_CREDENTIAL_LOG_LEVEL: 'loud' } }, /\/env\/LAKEBASE_CREDENTIAL_LOG_LEVEL: .*allowed values/],
  [{ env: { HTTPS_PROXY: 'http://a\nb' } }, /\/env\/HTTPS_PROXY: .*pattern/],
  [{ secretSync: { podLabels: { team: 'web shop' } } }, /\/secretSync\/podLabels\/team: .*pattern/],
  [{ secretSync: { podLabels: { team: 'x'.repeat(64) } } }, /\/secretSync\/podLabels\/team: .*63/],
  [{ secretSync: { nodeSelector: { pool: '-a' } } }, /\/secretSync\/nodeSelector\/pool: .*pattern/],
  [{ monitoring: { podMonitor: { labels: { release: 'a/b' } } } }, /\/podMonitor\/labels\/release: .*pattern/],
  [selects({ matchLabels: { team: 'web shop' } }), /\/namespaceSelector\/matchLabels\/team: .*pattern/],
  [selects({ matchExpressions: [{ key: 'a', operator: 'In' }] }), /\/matchExpressions\/0: .*'values'/],
  [selects({ matchExpressions: [{ key: 'a', operator: 'NotIn', values: [] }] }), /\/0\/values: .*fewer than 1/],
  [selects({ matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }), /\/0\/values: .*more than 0/],
  [{ env: { NO_PROXY: 'a\u0085b' } }, /\/env\/NO_PROXY: .*pattern/],
  [{ secretSync: { identity: { audience: 'a\u007Fb' } } }, /\/secretSync\/identity\/audience: .*pattern/],
  [defaults({ audience: 'a\u0080b' }), /\/injection\/defaults\/audience: .*pattern/],
  [{ secretSync: { podAnnotations: { a: 'b', c: 'd\u009F' } } }, /\/secretSync\/podAnnotations\/c: .*pattern/],
  [{ monitoring: { dashboard: { annotations: { a: '\u0080' } } } }, /\/dashboard\/annotations\/a: .*pattern/],
  [sync({ sinks: [{ secret: { ...secret, name: 'A' } }] }), /\/sinks\/0\/secret\/name: .*pattern/],
  [sync({ sinks: [{ secret: { ...secret, data: { '..a': 'token' } } }] }), /\/sinks\/0\/secret\/data: .*\.\.a/],
  [
    sync({ sinks: [{ secret: { ...secret, data: { a: 'tokens' } } }] }),
    /\/sinks\/0\/secret\/data\/a: .*allowed values/,
  ],
];

const SHAPES = chartShapes();
const validate = new Ajv({ allErrors: true, strict: false }).compile(JSON.parse(read('values.schema.json')) as object);

function problemsOf(values: object): string {
  if (validate(values)) return '';
  return validate
    .errors!.map((e) => `${e.instancePath}: ${e.message} ${e.keyword} ${JSON.stringify(e.params)}`)
    .join('\n');
}

describe('the chart', () => {
  test('has defaults that its schema accepts, and so are the values that continuous integration installs', () => {
    const files = readdirSync(join(chart, 'ci')).map((name) => `ci/${name}`);
    assert.ok(files.length >= 2);
    for (const path of ['values.yaml', ...files]) assert.equal(problemsOf(parse(read(path)) as object), '', path);
  });

  for (const [values, message] of REJECTED) {
    test(`refuses ${JSON.stringify(values)}, and names the key`, () => assert.match(problemsOf(values), message));
  }

  test('takes the addresses at which probes can reach a pod', () => {
    for (const host of ['::', '0.0.0.0']) assert.equal(problemsOf(config({ http: { host } })), '', host);
  });

  test('takes every label that Kubernetes takes', () => {
    for (const value of ['', 'a', '1.10', 'A_b-c.D', 'x'.repeat(63)]) {
      assert.equal(problemsOf({ secretSync: { podLabels: { 'example.com/team': value } } }), '', value);
      assert.equal(problemsOf(selects({ matchLabels: { team: value } })), '', value);
    }
    const expressions = [
      { key: 'a', operator: 'In', values: ['b'] },
      { key: 'a', operator: 'Exists' },
      { key: 'a', operator: 'DoesNotExist', values: [] },
    ];
    assert.equal(problemsOf(selects({ matchExpressions: expressions })), '');
  });

  test('takes every port of a workspace', () => {
    for (const port of [1, 443, 9999, 10_000, 59_999, 64_999, 65_499, 65_529, 65_535])
      assert.equal(problemsOf(defaults({ 'workspace-host': `https://w.example.com:${port}` })), '', `${port}`);
  });

  test('takes the number of a workspace that shares its host with others', () => {
    for (const address of ['https://company.example.com/?o=1234567890', 'https://company.example.com:443?w=a-1_B']) {
      assert.equal(problemsOf(defaults({ 'workspace-host': address })), '', address);
      assert.equal(problemsOf({ secretSync: { identity: { workspaceHost: address } } }), '', address);
    }
    for (const rest of ['/?o=', '/?x=1', '/path?o=1', '/?o=1&a=2'])
      assert.match(problemsOf(defaults({ 'workspace-host': `https://company.example.com${rest}` })), /pattern/, rest);
  });

  test('takes the value by which a chart that has it as a dependency leaves it in', () => {
    assert.equal(problemsOf({ enabled: true }), '');
  });

  test('takes every lifetime from five minutes to an hour', () => {
    for (const ttl of ['5m', '9m', '10m', '59m', '60m', '1h', '300s', '999s', '1000s', '3599s', '3600s'])
      assert.equal(problemsOf(defaults({ ttl })), '', ttl);
    for (const ttl of ['0h', '4m', '61m', '2h', '299s', '3601s', '9999s'])
      assert.notEqual(problemsOf(defaults({ ttl })), '');
  });

  test('has in its templates the patterns of its schema, and where it has defaults there, those of its values', () => {
    const { injection } = parse(read('values.yaml')) as { injection: { defaults: Record<string, string> } };
    const { properties } = (JSON.parse(read('values.schema.json')) as Schema).properties!['injection']!;
    const settings = properties!['defaults']!.properties!;
    const patterns = Object.entries(settings).filter(
      ([name, { pattern }]) => pattern !== undefined && name !== 'containers',
    );
    assert.deepEqual(
      Object.fromEntries(Object.entries(SHAPES).map(([name, { pattern }]) => [name, pattern])),
      Object.fromEntries(patterns.map(([name, { pattern }]) => [name, pattern!.replaceAll('\\/', '/')])),
    );
    for (const [name, { default: value }] of Object.entries(SHAPES))
      if (value !== undefined) assert.equal(value, injection.defaults[name], name);
  });

  test('compares the times of the program’s configuration with the defaults that the program has', () => {
    const { properties } = JSON.parse(readFileSync(join(root, 'docs/configuration.schema.json'), 'utf8')) as Schema;
    const found = [...read('templates/secret-sync/_helpers.tpl').matchAll(/dig "(\w+)" "(\w+)" (\S+) \./g)];
    assert.equal(found.length, 5);
    for (const [, section, option, value] of found)
      assert.equal(JSON.parse(value!), properties![section!]!.properties![option!]!.default, `${section}.${option}`);
  });

  test('takes the same durations as the program', () => {
    const { properties } = JSON.parse(readFileSync(join(root, 'docs/configuration.schema.json'), 'utf8')) as Schema;
    const template = read('templates/secret-sync/_helpers.tpl');
    const found = [...template.matchAll(/checkWithin" \(list "([\w.]+)" "(\w+)" \S+ "(\w+)" "(\w+)"\)/g)];
    assert.deepEqual(
      found.map(([, section, option]) => `${section}.${option}`),
      ['minter.cli.timeout', 'backoff.initial', 'backoff.max'],
    );
    for (const [, section, option, from, to] of found) {
      const schema = section!.split('.').reduce((outer, name) => outer[name]!.properties!, properties!)[option!]!;
      assert.ok(schema.description!.endsWith(` ${from} to ${to}.`), `${section}.${option}`);
    }
  });

  test('has no apostrophe and no quote in what stands in the expressions of its policies', () => {
    for (const shape of Object.values(SHAPES)) assert.doesNotMatch(Object.values(shape).join(), /['"`]/);
  });

  test('has no pattern that Helm cannot read', () => {
    assert.doesNotMatch(read('values.schema.json'), /"\^?\(\?/);
  });

  test('takes nothing that it does not know, anywhere but in what is Kubernetes’ own', () => {
    const open = objectsOf(JSON.parse(read('values.schema.json')) as Schema, '')
      .filter(([, schema]) => schema.type === 'object' && schema.additionalProperties === undefined)
      .map(([path]) => path);
    assert.deepEqual(
      open.map((path) => path.split('/').at(-1)!).toSorted((a, b) => a.localeCompare(b)),
      [
        'global',
        'ipBlock',
        'namespaceSelector',
        'nodeAffinity',
        'podAffinity',
        'podAntiAffinity',
        'podSelector',
        'tolerations',
        'topologySpreadConstraints',
      ],
    );
  });

  test('says what every value is', () => {
    const silent = chartValues()
      .filter(({ comment }) => comment === '')
      .map(({ path }) => path);
    assert.deepEqual(silent, []);
    assert.ok(read('values.yaml').split('\n').length < 200);
  });

  test('tells Artifact Hub its licence and its changes', () => {
    const { annotations, kubeVersion, icon, maintainers } = parse(read('Chart.yaml')) as ChartFile;
    const changes = parse(annotations['artifacthub.io/changes']!) as { kind: string; description: string }[];
    assert.ok(changes.length > 0);
    for (const { kind, description } of changes) {
      assert.ok(['added', 'changed', 'deprecated', 'removed', 'fixed', 'security'].includes(kind), kind);
      assert.ok(description.length > 0);
    }
    assert.deepEqual([annotations['artifacthub.io/license'], kubeVersion], ['Apache-2.0', '>=1.29.0-0']);
    assert.ok(icon.startsWith('data:image/svg+xml;base64,') && maintainers.length > 0);
  });

  test('is the chart of this version of the program', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const { appVersion, version: own } = parse(read('Chart.yaml')) as ChartFile;
    assert.deepEqual([appVersion, own], [version, version]);
    assert.match(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), new RegExp(`^## \\[${version}\\]`, 'm'));
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
    assert.deepEqual([lock.version, lock.packages[''].version], [version, version]);
  });

  test('has every annotation in the documentation, with values there that the schema accepts', () => {
    const text = readFileSync(join(root, 'docs/helm.md'), 'utf8');
    const settings = (JSON.parse(read('values.schema.json')) as Schema).properties!['injection']!.properties![
      'defaults'
    ]!;
    for (const name of Object.keys(settings.properties!)) assert.match(text, new RegExp(`^\\|.*\`${name}\``, 'm'));
    const examples = [...text.matchAll(/```yaml\n([^`]*)```/g)].map(([, yaml = '']) => parse(yaml) as object);
    const values = examples.filter((example) => 'image' in example);
    assert.equal(values.length, 2);
    for (const one of values) assert.equal(problemsOf(one), '');
  });

  test('refuses in a pod what the program would refuse, by the same patterns', () => {
    const schema = JSON.parse(readFileSync(join(root, 'docs/configuration.schema.json'), 'utf8')) as Schema;
    const { endpoint, instance } = schema.properties!['credentials']!.items!.properties!;
    for (const [name, option] of Object.entries({ endpoint, instance })) {
      assert.equal(SHAPES[name]!.pattern, option!.pattern!.replaceAll('\\/', '/'));
      assert.ok(read('templates/injection/validating.yaml').includes(`.matches(r'{{ $shapes.${name}.pattern }}')`));
    }
  });
});

interface Lock {
  readonly version: string;
  readonly packages: { readonly '': { readonly version: string } };
}

interface ChartFile {
  readonly version: string;
  readonly appVersion: string;
  readonly kubeVersion: string;
  readonly icon: string;
  readonly maintainers: readonly object[];
  readonly annotations: Readonly<Record<string, string>>;
}

interface Schema {
  readonly type?: unknown;
  readonly pattern?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: unknown;
}

function objectsOf(schema: Schema, path: string): (readonly [string, Schema])[] {
  const inner = Object.entries(schema.properties ?? {}).flatMap(([key, value]) => objectsOf(value, `${path}/${key}`));
  return [[path, schema], ...inner, ...(schema.items === undefined ? [] : objectsOf(schema.items, path))];
}
