import assert from 'node:assert/strict';
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { ENDPOINT, IDENTITY, problems } from './loading.ts';

const ENVIRONMENT = { ...IDENTITY, LAKEBASE_ENDPOINT: ENDPOINT, PGHOST: 'ep-1.example' };

test('the environment is enough for one credential', async () => {
  const config = await loadConfig({ env: ENVIRONMENT });
  assert.deepEqual(config.credentials, [
    {
      name: 'lakebase',
      resource: { kind: 'endpoint', name: ENDPOINT },
      ttl: undefined,
      connection: { host: 'ep-1.example', user: 'client-1', sslmode: 'require' },
      sinks: [{ kind: 'file', path: '/run/lakebase/pgpass', format: 'pgpass', mode: 0o600 }],
    },
  ]);
  assert.equal(config.configFile, undefined);
});

test('every variable of a credential counts without a file', async () => {
  const config = await loadConfig({
    env: {
      ...IDENTITY,
      LAKEBASE_ENDPOINT: ENDPOINT,
      LAKEBASE_TTL: '15m',
      LAKEBASE_CREDENTIAL_NAME: 'orders',
      LAKEBASE_CREDENTIAL_DIR: '/creds/',
      LAKEBASE_CREDENTIAL_FILES: 'pgpass, token env,,uri\njson token',
      PGHOST: 'ep-1.example',
      PGPORT: '65535',
      PGDATABASE: 'orders',
      PGUSER: 'orders-reader',
      PGSSLMODE: 'verify-full',
    },
  });
  const [orders] = config.credentials;
  assert.equal(orders?.name, 'orders');
  assert.equal(orders.ttl, 900_000);
  assert.deepEqual(orders.connection, {
    host: 'ep-1.example',
    port: 65_535,
    database: 'orders',
    user: 'orders-reader',
    sslmode: 'verify-full',
  });
  assert.deepEqual(
    orders.sinks.map((sink) => sink.kind === 'file' && `${sink.path} ${sink.format}`),
    ['/creds/pgpass pgpass', '/creds/token token', '/creds/env env', '/creds/uri uri', '/creds/json json'],
  );
});

test('an instance can be named instead of an endpoint', async () => {
  const { LAKEBASE_ENDPOINT: _, ...env } = ENVIRONMENT;
  const config = await loadConfig({ env: { ...env, LAKEBASE_INSTANCE: 'mine' } });
  assert.deepEqual(config.credentials[0]?.resource, { kind: 'instance', name: 'mine' });
});

test('problems of the environment carry the names of variables and flags, all at once', async () => {
  const found = await problems(
    loadConfig({
      env: {
        LAKEBASE_ENDPOINT: 'primary',
        LAKEBASE_INSTANCE: 'a b',
        LAKEBASE_TTL: '5',
        LAKEBASE_CREDENTIAL_NAME: 'A',
        LAKEBASE_CREDENTIAL_DIR: 'run',
        LAKEBASE_CREDENTIAL_FILES: 'env,dotenv',
        PGHOST: 'ep-1-pooler.example',
        PGPORT: 'x',
        PGUSER: 'a b',
        PGSSLMODE: 'no-verify',
        LAKEBASE_CREDENTIAL_HTTP_HOST: 'http://x',
        LAKEBASE_CREDENTIAL_HTTP_PORT: '1',
        DATABRICKS_AUTH_TYPE: 'azure-cli',
      },
      flags: { 'http-port': '-1', 'log-level': '' },
    }),
  );
  assert.deepEqual(
    found.map((line) => line.slice(0, line.indexOf(': '))),
    [
      'DATABRICKS_AUTH_TYPE',
      'DATABRICKS_HOST',
      'LAKEBASE_CREDENTIAL_NAME',
      'LAKEBASE_ENDPOINT',
      'LAKEBASE_INSTANCE',
      'LAKEBASE_TTL',
      'PGHOST',
      'PGPORT',
      'PGUSER',
      'PGSSLMODE',
      'LAKEBASE_CREDENTIAL_DIR',
      'LAKEBASE_CREDENTIAL_FILES',
      'LAKEBASE_CREDENTIAL_HTTP_HOST',
      '--http-port',
      '--log-level',
      'PGDATABASE',
    ],
  );
});

test('an empty list of files is a problem of its variable', async () => {
  const found = await problems(loadConfig({ env: { ...ENVIRONMENT, LAKEBASE_CREDENTIAL_FILES: ',' } }));
  assert.deepEqual(found, ['LAKEBASE_CREDENTIAL_FILES: must have at least one sink']);
});

test('paths in the place of formats are a problem of their variable, and not of the directory', async () => {
  const files = '/run/lakebase/pgpass,./token';
  const found = await problems(loadConfig({ env: { ...ENVIRONMENT, LAKEBASE_CREDENTIAL_FILES: files } }));
  assert.deepEqual(found, ['LAKEBASE_CREDENTIAL_FILES: must be one of pgpass, token, json, env, uri']);
});

test('an empty variable counts as one that is not set', async () => {
  const empty = { LAKEBASE_INSTANCE: '', LAKEBASE_TTL: '', PGPORT: '' };
  const settings = { LAKEBASE_CREDENTIAL_CONFIG: '', LAKEBASE_CREDENTIAL_HTTP_PORT: '' };
  const config = await loadConfig({ env: { ...ENVIRONMENT, ...empty, ...settings } });
  assert.equal(config.credentials[0]?.ttl, undefined);
  assert.equal(config.http.port, 9467);
});

test('nothing to keep fresh and nobody to mint are named together', async () => {
  const found = await problems(loadConfig({ env: {} }));
  assert.equal(found.length, 3);
  assert.match(
    found.join('\n'),
    /^no identity to mint with.*\nDATABRICKS_HOST: is missing.*\nno credential is configured: set --config or LAKEBASE_CREDENTIAL_CONFIG to a configuration file/,
  );
});

test('a format that needs a user says so where no client id mints, and what would fill it', async () => {
  const { DATABRICKS_OIDC_TOKEN_FILEPATH: _, ...env } = ENVIRONMENT;
  const found = await problems(loadConfig({ env: { ...env, DATABRICKS_AUTH_TYPE: 'pat', DATABRICKS_TOKEN: 'x' } }));
  assert.deepEqual(found, [
    'PGUSER: is missing: needed by pgpass; by default it is DATABRICKS_CLIENT_ID, if that identity mints',
  ]);
});

test('a client id that is missing is not also told as a missing user, and neither is a missing identity or host', async () => {
  const { DATABRICKS_CLIENT_ID: _, ...nobody } = ENVIRONMENT;
  const { DATABRICKS_OIDC_TOKEN_FILEPATH: __, ...nothing } = nobody;
  const pat = { ...nothing, DATABRICKS_AUTH_TYPE: 'pat' };
  for (const [env, places] of [
    [nobody, ['DATABRICKS_CLIENT_ID']],
    [nothing, ['no identity to mint with']],
    [{ ...nothing, DATABRICKS_HOST: '' }, ['no identity to mint with', 'DATABRICKS_HOST']],
    [{ ...ENVIRONMENT, DATABRICKS_HOST: '' }, ['DATABRICKS_HOST']],
    [pat, ['DATABRICKS_TOKEN', 'PGUSER']],
  ] as const) {
    const found = await problems(loadConfig({ env }));
    assert.deepEqual(
      found.map((line) => line.slice(0, line.indexOf(':'))),
      places,
    );
  }
});

test('a variable that looks like ours and is none is named, and those that Kubernetes injects for Services are not', async () => {
  const ofServices = Object.fromEntries(
    ['SERVICE_HOST', 'SERVICE_PORT', 'SERVICE_PORT_HTTP', 'PORT', 'PORT_9467_TCP', 'PORT_9467_TCP_ADDR'].map((end) => [
      `LAKEBASE_CREDENTIAL_${end}`,
      '10.0.0.1',
    ]),
  );
  const misspelled = { LAKEBASE_CREDENTIAL_FILE: 'token', LAKEBASE_TLL: '15m', LAKEBASE_CREDENTIAL_PORTS: '1' };
  // The last could not be shown in a terminal as it is.
  const others = { LAKEBASE_EMPTY: '', OTHER_LAKEBASE: 'x', APP_LAKEBASE_TTL: '15m', 'LAKEBASE_A\u001b[2J': 'x' };
  const env = { ...ENVIRONMENT, ...ofServices, ...others };
  assert.deepEqual((await loadConfig({ env })).unknownVariables, []);
  assert.deepEqual((await loadConfig({ env: { ...env, ...misspelled } })).unknownVariables, Object.keys(misspelled));

  const unknown = 'LAKEBASE_ENDPIONT: is unknown, perhaps misspelled';
  const found = await problems(loadConfig({ env: { ...IDENTITY, LAKEBASE_ENDPIONT: ENDPOINT } }));
  assert.match(found.join('\n'), new RegExp(`^no credential is configured: .* LAKEBASE_INSTANCE\n${unknown}$`));
  // Whoever thinks that other files are asked for wonders why a host is needed.
  const other = await problems(loadConfig({ env: { ...ENVIRONMENT, PGHOST: '', LAKEBASE_FILES: 'token' } }));
  assert.match(other.join('\n'), /^PGHOST: .*\nLAKEBASE_FILES: is unknown, perhaps misspelled$/);
});

test('white space that nobody sees at the end of a variable is pointed at', async () => {
  const env = { ...ENVIRONMENT, LAKEBASE_ENDPOINT: `${ENDPOINT}\r`, PGPORT: '5432\n', PGSSLMODE: 'on' };
  const client = { DATABRICKS_HOST: `${IDENTITY.DATABRICKS_HOST}\n`, DATABRICKS_CLIENT_ID: 'client 1' };
  const found = await problems(loadConfig({ env: { ...env, ...client } }));
  const isPointedAt = (line: string): boolean =>
    line.endsWith('; it begins or ends with white space, such as a line break');
  assert.deepEqual(
    found.map((line) => [line.slice(0, line.indexOf(':')), isPointedAt(line)]),
    [
      ['DATABRICKS_HOST', true],
      ['DATABRICKS_CLIENT_ID', false],
      ['LAKEBASE_ENDPOINT', true],
      ['PGPORT', true],
      ['PGSSLMODE', false],
    ],
  );
});

test('quotes that an env file of Docker has left in a variable are pointed at', async () => {
  const env = {
    ...ENVIRONMENT,
    LAKEBASE_ENDPOINT: `"${ENDPOINT}"`,
    PGHOST: "'ep-1.example'",
    PGPORT: '"',
    PGDATABASE: '"db"',
    PGUSER: "'client-1'",
    PGSSLMODE: 'on',
  };
  const found = await problems(loadConfig({ env: { ...env, DATABRICKS_HOST: `"${IDENTITY.DATABRICKS_HOST}"` } }));
  assert.deepEqual(
    found.map((line) => [
      line.slice(0, line.indexOf(':')),
      line.endsWith('; the quotes are part of the value: remove them'),
    ]),
    [
      ['DATABRICKS_HOST', true],
      ['PGDATABASE', true],
      ['PGUSER', true],
      ['LAKEBASE_ENDPOINT', true],
      ['PGHOST', true],
      ['PGPORT', false],
      ['PGSSLMODE', false],
    ],
  );
});

test('an endpoint in the place of an instance, and the other way round, are told where they belong', async () => {
  const { LAKEBASE_ENDPOINT: _, ...env } = ENVIRONMENT;
  const [endpoint = ''] = await problems(loadConfig({ env: { ...env, LAKEBASE_ENDPOINT: 'my-instance' } }));
  assert.match(
    endpoint,
    /^LAKEBASE_ENDPOINT: must be of the form projects\/.*; for a Provisioned instance, set .*LAKEBASE_INSTANCE/,
  );
  const [instance = ''] = await problems(loadConfig({ env: { ...env, LAKEBASE_INSTANCE: ENDPOINT } }));
  assert.match(
    instance,
    /^LAKEBASE_INSTANCE: must be the name of .*; for an Autoscaling endpoint, set .*LAKEBASE_ENDPOINT/,
  );
});

test('a relative path is a mistake, and no bug, where the directory in which this process was started is gone', async (t) => {
  const [here, gone] = [process.cwd(), join(await temporaryDirectory(t), 'gone')];
  await mkdir(gone);
  process.chdir(gone);
  try {
    await rmdir(gone);
    for (const relative of [
      { LAKEBASE_CREDENTIAL_CONFIG: 'config.yaml' },
      { KUBECONFIG: 'k' },
      { SSL_CERT_FILE: 'ca' },
    ])
      assert.match(
        (await problems(loadConfig({ env: { ...ENVIRONMENT, ...relative } }))).join(),
        /^the working directory was/,
      );
    assert.deepEqual(await problems(loadConfig({ env: { ...ENVIRONMENT, SSL_CERT_FILE: '/ca' } })), []);
  } finally {
    process.chdir(here);
  }
});
