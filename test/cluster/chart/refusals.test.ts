import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { whyNoHelm } from '../programs.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import {
  ChartWorld,
  containerOf,
  DEFAULTS,
  ENDPOINT,
  podOf,
  variablesOf,
  type Container,
  type PodSpec,
} from './world.ts';

interface Refusal {
  readonly title: string;
  /** Besides a good endpoint, unless it says one. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Partial<PodSpec>;
  readonly container?: Partial<Container>;
  readonly says: RegExp;
}

const good = { endpoint: ENDPOINT };
const nobody = { securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } } };
const asUser = (runAsUser: number): Partial<Container> => ({ securityContext: { runAsUser } });
const withVariable = (name: string, value: string): Partial<Container> => ({ env: [{ name, value }] });
const bad = (name: string, value: string, says: RegExp, more = good as object): Refusal => ({
  title: `${name}: ${value === '' ? 'nothing' : value.replaceAll('\n', String.raw`\n`)}`,
  annotations: { ...more, [name]: value },
  says,
});

const REFUSALS: readonly Refusal[] = [
  {
    title: 'neither endpoint nor instance',
    annotations: {},
    says: /^set the annotation .*\/endpoint to projects\/PROJ/,
  },
  bad('instance', 'orders', /^endpoint and instance cannot be used together: remove one of the annotations/),
  bad('endpoint', 'projects/orders', /^endpoint is projects\/orders: write projects\/PROJECT\/branches\/BRANCH\//, {}),
  bad('instance', '-x', /^instance is -x: write the name of a Lakebase Provisioned instance/, {}),
  bad('workspace-host', 'my-workspace', /^workspace-host is my-workspace: write https:\/\/ and the host of the work/),
  bad(
    'workspace-host',
    'https://w.example.com:65536',
    /^workspace-host is https:\/\/w\.example\.com:65536: write https/,
  ),
  bad('workspace-host', '', /^workspace-host is not set: write https:\/\//),
  bad('client-id', '', /^client-id is not set: write the application id of the service principal into the annotation/),
  bad('audience', '', /^audience is empty: write the audience of the federation policy/),
  bad('client-secret-name', 'My_Secret', /^client-secret-name is My_Secret: write the name of a Secret with the key/),
  bad('ttl', '4m', /^ttl is 4m: write 5m to 1h, such as 300s, 15m or 1h, into the annotation .*\/ttl/),
  bad('ttl', '61m', /^ttl is 61m: write 5m to 1h/),
  bad('ttl', '1000000h', /^ttl is 1000000h: write 5m to 1h/),
  bad('ttl', '9999999h', /^ttl is 9999999h: write 5m to 1h/),
  bad('ttl', 'an hour', /^ttl is an hour: write 5m to 1h/),
  bad('ttl', '1h', /^an instance does not support a ttl: remove the annotation .*\/ttl/, { instance: 'orders' }),
  bad('files', 'pgpass,password', /^files is pgpass,password: write one or more of pgpass, token, json, env and uri/),
  bad('files', '', /^files is empty: write one or more of/),
  bad('files', 'token,token', /^files is token,token: .* each once/),
  bad('directory', 'run/lakebase', /^directory is run\/lakebase: write an absolute path, such as \/run\/lakebase/),
  bad('directory', '/run/../etc', /^directory is \/run\/\.\.\/etc: write an absolute path/),
  bad('directory', '/tmp/lakebase', /^directory is \/tmp\/lakebase: .*not in \/tmp/),
  bad('directory', '/', /^directory is \/: write an absolute path/),
  bad('directory', '/app', /^directory is \/app: .*and not \/app or \/etc itself/),
  bad('directory', '/etc', /^directory is \/etc: write an absolute path/),
  bad('directory', '/etc/ssl/certs', /^directory is \/etc\/ssl\/certs: write an absolute path/),
  bad('directory', '/usr', /^directory is \/usr: write an absolute path/),
  bad('directory', '/usr/local/bin', /^directory is \/usr\/local\/bin: .*not in .* or a directory of programs/),
  bad('directory', '/lib64/lakebase', /^directory is \/lib64\/lakebase: write an absolute path/),
  bad('directory', '/nodejs/bin', /^directory is \/nodejs\/bin: write an absolute path/),
  bad('directory', '/run:1', /^directory is \/run:1: write an absolute path/),
  bad('containers', 'orders,worker', /^containers names worker, but the pod has orders: correct the annotation/),
  bad('pg-host', '', /^pg-host is not set: write the host of the endpoint, or \*/),
  bad('pg-host', '10.0.0.1:5432', /^pg-host is 10\.0\.0\.1:5432: write a host name without port/),
  bad('pg-host', 'a b', /^pg-host is a b: write a host name without port/),
  ...['pgpass,json', 'env', 'uri'].map((files) => ({
    title: `pg-host: * for the files ${files}`,
    annotations: { ...good, files, 'pg-host': '*' },
    says: /^pg-host is \*: write a host name without port into the annotation .*; only a pgpass line may be valid/,
  })),
  bad(
    'pg-host',
    'ep-1-pooler.example.com',
    /^pg-host is ep-1-pooler.*: a pooler does not accept OAuth tokens; write the host/,
  ),
  bad('pg-host', 'ep.eu-POOLER.example.com', /^pg-host is ep.eu-POOLER.*: a pooler does not accept OAuth tokens/),
  bad(
    'pg-database',
    'a b',
    /^pg-database is not set, or has a space or a control character in it: write the name of the database/,
  ),
  bad('pg-database', '', /^pg-database is not set/, { ...good, files: 'uri' }),
  bad('pg-user', 'a b', /^pg-user has a space or a control character in it: write the Postgres role/),
  bad('pg-user', 'a\u007Fb', /^pg-user has a space or a control character in it/),
  bad('pg-user', 'a\u00A0b', /^pg-user has a space or a control character in it/),
  bad(
    'endpoint',
    'projects/\norders\n',
    /^endpoint is projects\/ orders: write projects\/PROJECT\/branches\/BRANCH\//,
    {},
  ),
  bad('pg-host', 'ep-1\nexample.com', /^pg-host is ep-1 example\.com: write a host name without port/),
  bad('containers', 'orders,\nwork\ner', /^containers names work er, but the pod has orders: correct the annotation/),
  bad(
    'run-as-user',
    'no\nde\n',
    /^run-as-user is no de: write the number of a user into the annotation .*\/run-as-user/,
  ),
  bad(
    'cpu-request',
    'much',
    /^cpu-request: write a quantity, such as 50m of cpu or 64Mi of memory, into the annotation/,
  ),
  bad('cpu-limit', 'much', /^cpu-limit: write a quantity, such as 50m of cpu or 64Mi of memory, into the annotation/),
  bad('cpu-limit', '0.009', /^cpu-request is 10m, above cpu-limit, which is 0\.009: .*-request, or raise/),
  bad('memory-limit', '1 Gi', /^memory-limit: write a quantity/),
  bad('cpu-request', '-1', /^cpu-request: write a quantity/),
  bad('memory-request', '-64Mi', /^memory-request: write a quantity/),
  bad('memory-limit', '.', /^memory-limit: write a quantity/),
  bad('memory-request', '300Mi', /^memory-request is 300Mi, above memory-limit, which is 256Mi: lower the annotation/),
  bad('memory-limit', '0.05Gi', /^memory-request is 64Mi, above memory-limit, which is 0\.05Gi: .*-request, or raise/),
  bad('run-as-user', '2147483648', /^run-as-user is 2147483648: write .*\/run-as-user, at most 2147483647$/),
  bad('run-as-user', 'node', /^run-as-user is node: write the number of a user into the annotation .*\/run-as-user/),
  bad(
    'run-as-user',
    '2000',
    /^the sidecar runs as 2000 and only that user can read the files, but orders runs as 1000/,
  ),
  bad('allow-pgpassword', 'yes', /^write "true" or "false" into the annotation .*\/allow-pgpassword/),
  bad(
    'end-point',
    'x',
    /^unknown annotation: lakebase-credential-sidecar\/end-point; the annotations are endpoint, instance, run-/,
  ),
  {
    title: 'no user that is known',
    spec: nobody,
    says: /^the user of the application is not known, .*: set securityContext\.runAsUser of the pod, or write the number/,
  },
  {
    title: 'one container whose user is not known',
    spec: { ...nobody, containers: [containerOf('orders', asUser(1000)), containerOf('web')] },
    says: /^the user of web is not known, and only the user 1000 can read the files/,
  },
  {
    title: 'a container of another user',
    spec: { initContainers: [containerOf('migrate', asUser(2000))] },
    says: /^the sidecar runs as 1000 and .*, but migrate runs as 2000: use the same user for all, or name the containers/,
  },
  {
    title: 'PGPASSWORD',
    container: withVariable('PGPASSWORD', 'hunter2'),
    says: /^PGPASSWORD is set in orders, and clients then ignore the file, even if the variable is empty: remove the variable, or set the/,
  },
  { title: 'an empty PGPASSWORD', container: withVariable('PGPASSWORD', ''), says: /^PGPASSWORD is set in orders/ },
  {
    title: 'PGPASSFILE of their own',
    container: withVariable('PGPASSFILE', '/etc/pgpass'),
    says: /^PGPASSFILE names another file in orders: remove the variable/,
  },
  {
    title: 'something at the directory',
    spec: { volumes: [{ name: 'own', emptyDir: {} }] },
    container: { volumeMounts: [{ name: 'own', mountPath: '/run/lakebase' }] },
    says: /^something is mounted at \/run\/lakebase already, in orders: write another path into the annotation .*\/direct/,
  },
  {
    title: 'something at the directory, written with a slash at its end',
    spec: { volumes: [{ name: 'own', emptyDir: {} }] },
    container: { volumeMounts: [{ name: 'own', mountPath: '/run/lakebase/' }] },
    says: /^something is mounted at \/run\/lakebase already, in orders: write another path into the annotation .*\/direct/,
  },
  {
    title: 'something below the directory',
    spec: { volumes: [{ name: 'own', emptyDir: {} }] },
    container: { volumeMounts: [{ name: 'own', mountPath: '/run/lakebase/certs' }] },
    says: /^something is mounted below \/run\/lakebase, in orders, where its mount point cannot be created.*: write another path into the annotation/,
  },
  {
    title: 'the port of the sidecar',
    container: { ports: [{ containerPort: 9467 }] },
    says: /^the sidecar listens on port 9467, which is also a port of orders: use another port there/,
  },
  {
    title: 'volumes by the names of those of the sidecar',
    spec: { volumes: ['own', 'lakebase-tmp', 'lakebase-credential'].map((name) => ({ name, emptyDir: {} })) },
    says: /^the pod has volumes with the same names as those .*, lakebase-tmp, lakebase-credential: remove them, or give them other names/,
  },
];

const skip = await whyNoHelm();

describe('what injection refuses', { skip }, () => {
  const shared = cleanupOfSuite();
  let world: ChartWorld;

  before(async () => {
    world = await ChartWorld.start(shared);
    await world.namespace('apps');
    await world.install({
      image: { repository: 'registry.example.com/lakebase-credential-sidecar' },
      injection: { defaults: DEFAULTS },
    });
  });

  test('root: the refusal says what to change, where Pod Security lets root through at all', async () => {
    await world.api.kubectl(['create', 'namespace', 'lenient']);
    await world.api.kubectl(['create', 'serviceaccount', 'default', '--namespace', 'lenient']);
    for (const root of [
      podOf(good, { securityContext: { runAsUser: 0 } }),
      podOf(good, {}, asUser(0)),
      podOf({ ...good, 'run-as-user': '0' }),
    ]) {
      assert.match(
        await world.refusal(root, 'lenient'),
        /^the application runs as root, .*: set .*runAsUser of the pod, or of the container that .* own, .*; or correct .*\/run-as-user if it is 0/,
      );
    }
  });

  for (const { title, annotations = good, spec, container, says } of REFUSALS) {
    test(`${title}: the refusal says what to write`, async (t) => {
      const refusal = await world.refusal(podOf(annotations, spec, container));
      assert.match(refusal, says);
      t.diagnostic(refusal);
    });
  }

  test('a label that is neither "true" nor "false": the refusal says what to write', async () => {
    for (const value of ['True', 'yes', 'enabled', '']) {
      const { metadata, spec } = podOf();
      const labels = { 'lakebase-credential-sidecar/inject': value };
      assert.match(
        await world.refusal({ metadata: { ...metadata, labels }, spec }),
        new RegExp(
          `^the label lakebase-credential-sidecar/inject is ${value === '' ? 'empty' : value}: write "true", or "false" for a pod`,
        ),
      );
    }
  });

  test('no containers: the refusal is that of the API server, in its own words', async () => {
    for (const containers of [[], null]) {
      assert.match(
        await world.refusal(podOf(good, { containers: containers as [] })),
        /spec\.containers: Required value/,
      );
    }
  });

  test('what is known and meant is not refused', async () => {
    const allowed = { ...good, 'allow-pgpassword': 'true' };
    await world.create(podOf(allowed, {}, withVariable('PGPASSWORD', '')));
    await world.create(podOf({ ...good, 'run-as-user': '1000' }, nobody));
    await world.create(podOf({ ...good, 'run-as-user': '2147483647' }, nobody));
    await world.create(podOf({ ...good, 'memory-request': '.25Gi', 'memory-limit': '268435456' }));
    await world.create(podOf({ ...good, 'cpu-request': '0.01', 'cpu-limit': '10m' }));
    await world.create(podOf({ ...good, containers: 'orders' }, { initContainers: [containerOf('other', asUser(7))] }));
    await world.create(podOf(good, {}, withVariable('PGPASSFILE', '/run/lakebase/pgpass')));
    await world.create(podOf({ ...good, files: 'token', 'pg-host': '' }));
    for (const directory of ['/app/lakebase', '/etc/lakebase', '/usr/src/app/run']) {
      await world.create(podOf({ ...good, directory }));
    }
    await world.create(podOf({ ...good, 'pg-host': '*', ttl: '300s' }));
  });

  test('white space around a setting, such as the line break that YAML has left there, is none of it', async () => {
    const { spec } = await world.create(podOf({ endpoint: `${ENDPOINT}\n`, ttl: ' 15m\n', 'run-as-user': '1000\n' }));
    const { LAKEBASE_ENDPOINT, LAKEBASE_TTL } = variablesOf(spec.initContainers![0]!);
    assert.deepEqual([LAKEBASE_ENDPOINT, LAKEBASE_TTL], [ENDPOINT, '15m']);
  });
});
