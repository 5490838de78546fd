import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { whyNoHelm } from '../programs.ts';
import { cleanupOfSuite } from '../../support/suite.ts';
import { injection, secretSync, withSync } from './ci-values.ts';
import { HELMS, HelmClient } from './helm.ts';
import { DEFAULTS } from './world.ts';

const both = { ...secretSync, ...injection };
const ORDERS = {
  name: 'orders',
  endpoint: 'projects/orders/branches/production/endpoints/primary',
  sinks: [{ secret: { namespace: 'apps', name: 'orders', data: { password: 'token' } } }],
};
const CONNECTION = { host: 'db.example.com', database: 'orders' };

/** Besides what the schema refuses, which test/chart.test.ts has. */
const REFUSED: readonly (readonly [string, object, RegExp])[] = [
  ['an image without a name', { ...both, image: {} }, /image\.repository: set it to where your clusters pull/],
  [
    'an image whose name has the tag',
    { ...both, image: { repository: 'registry.example.com:5000/sidecar:0.2.0' } },
    /image\.repository: registry\.example\.com:5000\/sidecar:0\.2\.0 has a tag: write it into image\.tag/,
  ],
  ...['https://registry.example.com/sidecar', 'registry.example.com/Team/sidecar', 'registry.example.com/sidecar/'].map(
    (repository) =>
      [
        `an image whose name no registry has: ${repository}`,
        { ...both, image: { repository } },
        new RegExp(
          `image\\.repository: ${repository} is not the name of an image: write registry and name in lower case`,
        ),
      ] as const,
  ),
  ['no workspace', withSync({ identity: {} }), /secretSync\.identity\.workspaceHost: set it to https/],
  ['no credentials', withSync({ config: {} }), /secretSync\.config\.credentials: list what is to be kept fresh/],
  [
    'one Secret for two credentials',
    withSync({ config: { credentials: [0, 0].map((index) => secretSync.secretSync.config.credentials[index]) } }),
    /the Secret backstage\/backstage-lakebase is listed twice, but can hold only one credential: give each credential its own Secret/,
  ],
  [
    'two credentials of one name',
    withCredential({}, {}),
    /credentials: orders is the name of two credentials: give each its own name/,
  ],
  [
    'a space without a break, which the program would refuse',
    withCredential({ connection: { user: 'orders\u00A0role' } }),
    /\/connection\/user'?: .*pattern/,
  ],
  [
    'a pooler',
    withCredential({ connection: { host: 'ep-1-pooler.example.com' } }),
    /credentials: orders: connection\.host is ep-1-pooler\.example\.com: a pooler does not accept OAuth tokens; write the host/,
  ],
  [
    'an address with a port',
    withCredential({ connection: { host: '10.0.0.1:5432' } }),
    /credentials: orders: connection\.host is 10\.0\.0\.1:5432: write a host name without port/,
  ],
  [
    'a Secret in which no token is found again',
    withCredential({ connection: CONNECTION, data: { uri: 'uri' } }),
    /credentials: orders: give apps\/orders-0 a key with the format token, json or pgpass/,
  ],
  [
    'a format without its host',
    withCredential({ data: { pgpass: 'pgpass' } }),
    /credentials: orders: set connection\.host, which the format pgpass needs/,
  ],
  [
    'a format without its database',
    withCredential({ connection: { host: 'db.example.com' }, data: { password: 'token', uri: 'uri' } }),
    /credentials: orders: set connection\.database, which the format uri needs/,
  ],
  ...['json', 'env', 'uri'].map(
    (format) =>
      [
        `any host, in a Secret with the format ${format}`,
        withCredential({ connection: { ...CONNECTION, host: '*' }, data: { pgpass: 'pgpass', other: format } }),
        new RegExp(
          `credentials: orders: connection\\.host is \\*: write a host name, which the format ${format} needs`,
        ),
      ] as const,
  ),
  [
    'a jitter that reaches the time of the refresh',
    withTimes({ refresh: { at: 0.05 } }),
    /secretSync\.config\.refresh: jitter is 0\.1: write less than at, which is 0\.05/,
  ],
  [
    'a back-off that begins above its end',
    withTimes({ backoff: { initial: '2m' } }),
    /secretSync\.config\.backoff: initial is 2m: write no more than max, which is 1m/,
  ],
  [
    'a floor that is later than the refresh',
    withTimes({ refresh: { floor: '4m' } }, '300s'),
    /secretSync\.config\.refresh: floor is 4m: write no more than at times the shortest ttl, 200s/,
  ],
  [
    'a floor, with the longest that would be taken, which is no fraction of a second',
    withTimes({ refresh: { at: 0.333, floor: '4m' } }, '300s'),
    /secretSync\.config\.refresh: floor is 4m: write no more than at times the shortest ttl, 99s/,
  ],
  ...[
    [{ minter: { cli: { timeout: '10m' } } }, 'minter\\.cli: timeout is 10m: write 1s to 5m'],
    [{ minter: { cli: { timeout: '0s' } } }, 'minter\\.cli: timeout is 0s: write 1s to 5m'],
    [{ backoff: { max: '3601s' } }, 'backoff: max is 3601s: write 1s to 1h'],
    [{ backoff: { initial: '0m' } }, 'backoff: initial is 0m: write 1s to 1h'],
  ].map(
    ([changes, says]) =>
      [
        `a duration that the program would refuse: ${JSON.stringify(changes)}`,
        withTimes(changes as object),
        new RegExp(`secretSync\\.config\\.${says as string}`),
      ] as const,
  ),
  [
    'settings of more namespaces than an API server takes in one expression',
    withDefaults({ namespaceDefaults: namespacesOf(600) }),
    /injection\.namespaceDefaults: as an expression it has 1\d{5} characters, but an API server accepts at most 100000: move/,
  ],
  [
    'a default of memory that is above its limit',
    withDefaults({ defaults: { 'memory-request': '0.3e9' } }),
    /injection\.defaults: memory-request is 0\.3e9, above memory-limit, which is 256Mi: lower the request, or raise/,
  ],
  [
    'a limit of memory that is below the default of its request',
    withDefaults({ namespaceDefaults: { orders: { 'memory-limit': '63Mi' } } }),
    /injection\.namespaceDefaults\.orders: memory-request is 64Mi, above memory-limit, which is 63Mi: lower the request/,
  ],
  [
    'a limit of cpu that is below the default of its request, be it the number 0',
    withDefaults({ defaults: { 'cpu-limit': 0 } }),
    /injection\.defaults: cpu-request is 10m, above cpu-limit, which is 0: lower the request, or raise/,
  ],
  [
    "a namespace's limit of 0 where all have another",
    withDefaults({ defaults: { 'cpu-limit': 1 }, namespaceDefaults: { orders: { 'cpu-limit': 0 } } }),
    /injection\.namespaceDefaults\.orders: cpu-request is 10m, above cpu-limit, which is 0: lower the request/,
  ],
  [
    'a default user that Kubernetes has none of',
    withDefaults({ defaults: { 'run-as-user': '2147483648' } }),
    /injection\.defaults: run-as-user is 2147483648: write the number of a user that is not root, at most 2147483647/,
  ],
  ['a value that there is none of', { injection: { on: true } }, /injection.*'?on'?/],
  [
    'a pooler among the defaults of injection',
    withDefaults({ defaults: { 'pg-host': 'ep-1-Pooler.example.com' } }),
    /injection\.defaults: pg-host is ep-1-Pooler\.example\.com: a pooler does not accept OAuth tokens; write the host without/,
  ],
  [
    'an address with a port among the defaults of injection',
    withDefaults({ namespaceDefaults: { orders: { 'pg-host': '10.0.0.1:5432' } } }),
    /injection\.namespaceDefaults\.orders: pg-host is 10\.0\.0\.1:5432: write a host name without port/,
  ],
  [
    'a directory that the sidecar has for itself',
    withDefaults({ namespaceDefaults: { orders: { directory: '/tmp/lakebase' } } }),
    /injection\.namespaceDefaults\.orders: directory is \/tmp\/lakebase: write an absolute path, .* not in \/tmp/,
  ],
  [
    'one file twice',
    withDefaults({ defaults: { files: 'token,pgpass,token' } }),
    /injection\.defaults: files is token,pgpass,token: write one or more .*, each once/,
  ],
];

/** With the port of each. */
const PROXIES: readonly (readonly [string, number])[] = [
  ['http://proxy.example.com:3128', 3128],
  ['http://user:1234@proxy.example.com:3128/', 3128],
  ['http://[fd00::1]:8080', 8080],
  ['http://[fd00::1]', 80],
  ['proxy.example.com:8888', 8888],
  ['proxy.example.com', 80],
  ['https://proxy.example.com/', 443],
  ['socks5://proxy.example.com', 1080],
];

const skip = await whyNoHelm();

describe('values of the chart', { skip }, () => {
  const shared = cleanupOfSuite();
  let client: HelmClient;

  before(async () => {
    client = await HelmClient.of(shared, '');
  });

  for (const helm of HELMS) {
    test(`${helm} takes as much memory as the limit, in whatever unit`, async () => {
      for (const asked of [
        '256Mi',
        '.25Gi',
        '268435456',
        268_435_456,
        '268435456000m',
        '2.68435456E8',
        '2.68435456e+8',
      ])
        await client.template(helm, withDefaults({ defaults: { 'memory-request': asked } }));
      for (const allowed of ['65537Ki', '68M', '.1G', '1T', '1P', '1E', '1Ti', '1Pi', '1Ei', '67108864000000u'])
        await client.template(helm, withDefaults({ namespaceDefaults: { orders: { 'memory-limit': allowed } } }));
    });

    test(`${helm} takes nothing, the number 0, for a namespace's request where all have more`, async () => {
      const defaults = { 'cpu-request': '500m', 'cpu-limit': 1 };
      const orders = { 'cpu-request': 0, 'cpu-limit': '200m' };
      await client.template(helm, withDefaults({ defaults, namespaceDefaults: { orders } }));
    });

    test(`${helm} takes times that are as far apart as they may be`, async () => {
      const refresh = { at: 0.95, jitter: 0, floor: '57m' };
      await client.template(helm, withTimes({ refresh, backoff: { initial: '60s', max: '1m' } }));
      await client.template(helm, withTimes({ refresh: { at: 0.05, jitter: 0.04 } }, '5m'));
      for (const [timeout, initial, max] of [
        ['1s', '1s', '1s'],
        ['5m', '1h', '60m'],
      ])
        await client.template(helm, withTimes({ minter: { cli: { timeout } }, backoff: { initial, max } }));
    });

    test(`${helm} lets those who keep Secrets reach DNS, OpenShift's too, the workspace, and its proxy`, async () => {
      const reached = async (proxies: object, egressPorts = [443, 6443], identity = {}): Promise<string[]> => {
        const values = {
          ...withSync({ identity: { ...secretSync.secretSync.identity, ...identity }, networkPolicy: { egressPorts } }),
          env: proxies,
        };
        return egressOf(await client.template(helm, values));
      };
      const dns = ['UDP 53', 'TCP 53', 'UDP 5353', 'TCP 5353'];
      const usual = [...dns, 'TCP 443', 'TCP 6443'];
      assert.deepEqual(await reached({}), usual);
      for (const [proxy, port] of PROXIES) {
        assert.deepEqual(await reached({ HTTPS_PROXY: proxy }, [6443]), [...dns, 'TCP 6443', `TCP ${port}`], proxy);
        assert.deepEqual(await reached({ https_proxy: proxy }, [port]), [...dns, `TCP ${port}`], proxy);
      }
      assert.deepEqual(await reached({ HTTPS_PROXY: '', HTTP_PROXY: 'http://proxy:3128' }), usual);
      const workspaceHost = 'https://workspace.example.com:8443/?o=123';
      assert.deepEqual(await reached({}, [6443], { workspaceHost }), [...dns, 'TCP 6443', 'TCP 8443'], 'its own port');
    });

    for (const [title, values, message] of REFUSED) {
      test(`${helm} refuses ${title}, and names the key`, async () => {
        await assert.rejects(client.template(helm, values), message);
      });
    }
  }
});

/** Of one credential with a lifetime of its own, and one without. */
function withTimes(changes: object, ttl = '1h'): object {
  const [other] = secretSync.secretSync.config.credentials;
  return withSync({ config: { credentials: [{ ...ORDERS, ttl }, other], ...changes } });
}

function withCredential(...credentials: readonly { readonly connection?: object; readonly data?: object }[]): object {
  return withSync({
    config: {
      credentials: credentials.map(({ connection = {}, data = { password: 'token' } }, index) => ({
        name: 'orders',
        instance: 'orders',
        connection,
        sinks: [{ secret: { namespace: 'apps', name: `orders-${index}`, data } }],
      })),
    },
  });
}

function namespacesOf(count: number): object {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `team-${index}`,
      { ...DEFAULTS, endpoint: `projects/team-${index}/branches/production/endpoints/primary` },
    ]),
  );
}

function withDefaults(changes: object): object {
  return { ...injection, injection: changes };
}

/** To which ports the network policy lets the pods go. */
function egressOf(manifests: string): string[] {
  const objects = parseAllDocuments(manifests).map((document) => document.toJS() as NetworkPolicy | null);
  const policy = objects.find((object) => object?.kind === 'NetworkPolicy');
  return policy!.spec.egress.flatMap(({ ports }) => ports.map(({ protocol, port }) => `${protocol} ${port}`));
}

interface NetworkPolicy {
  readonly kind: string;
  readonly spec: { readonly egress: readonly { readonly ports: readonly { protocol: string; port: number }[] }[] };
}
