import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { loadConfig } from '../../src/config/load.ts';
import { configFile, credential, ENDPOINT, IDENTITY, load, problems } from './loading.ts';

const ENVIRONMENT = { ...IDENTITY, LAKEBASE_ENDPOINT: ENDPOINT, PGHOST: 'ep-1.example' };

test('flags beat the environment, which beats the file, which beats the defaults', async (t) => {
  const file = { credentials: [credential()], http: { host: '127.0.0.1', port: 1 }, log: { level: 'warn' } };
  const env = { ...IDENTITY, LAKEBASE_CREDENTIAL_HTTP_PORT: '2', LAKEBASE_CREDENTIAL_LOG_LEVEL: 'error' };
  const layers = [
    await load(t, { credentials: [credential()] }),
    await load(t, file),
    await load(t, file, { env }),
    await load(t, file, { env, flags: { 'http-port': '3', 'http-host': '::1', 'log-level': 'debug' } }),
  ];
  assert.deepEqual(
    layers.map(({ http, log }) => [http.host, http.port, log.level]),
    [
      ['::', 9467, 'info'],
      ['127.0.0.1', 1, 'warn'],
      ['127.0.0.1', 2, 'error'],
      ['::1', 3, 'debug'],
    ],
  );
});

test('a setting from outside does not hide that the file is wrong there', async (t) => {
  for (const http of ['x', null]) {
    const found = await problems(load(t, { credentials: [credential()], http }, { flags: { 'http-port': '1' } }));
    assert.deepEqual(found, ['http: must be a mapping; allowed here: host, port']);
  }
});

test('where only quotes are missing for a text, that is said', async (t) => {
  const hint = '; put it in quotes: without them, YAML does not read it as text';
  const yaml = (name: string, user: string, ttl = '5m'): string =>
    `credentials: [{name: ${name}, endpoint: ${ENDPOINT}, ttl: ${ttl}, connection: {user: ${user}}, sinks: [{file: {path: /a, format: token}}]}]`;
  const user = 'credentials[0].connection.user: must be a role name of at most 255 characters without white space';
  const name = 'credentials[0].name: must be a DNS label: at most 63 of a-z, 0-9 and -, with no - at either end';
  assert.deepEqual(await problems(load(t, yaml('012', '7'))), [name + hint, user + hint]);
  assert.deepEqual(await problems(load(t, yaml('true', 'false'))), [name + hint, user + hint]);
  assert.deepEqual(await problems(load(t, yaml('"012"', '"7"'))), []);
  assert.deepEqual(await problems(load(t, yaml('-1', 'null'))), [name, user], 'quotes would not help');
  const [ttl = ''] = await problems(load(t, yaml('n', 'u', '300')));
  assert.match(ttl, /^credentials\[0\]\.ttl: must be a duration .* such as 5m or 1h$/);
});

test('where a number has quotes too many, that is said', async (t) => {
  const hint = '; remove the quotes: with them, YAML reads it as text';
  const file = { credentials: [credential({ connection: { port: '5432' } })], refresh: { at: '0.5' } };
  assert.deepEqual(await problems(load(t, file)), [
    `credentials[0].connection.port: must be a whole number from 1 to 65535${hint}`,
    `refresh.at: must be a number from 0.01 to 0.95${hint}`,
  ]);
  const useless = { credentials: [credential({ connection: { port: '65536' } })], refresh: { at: 'half' } };
  assert.doesNotMatch((await problems(load(t, useless))).join('\n'), /quotes/);
  const env = { ...ENVIRONMENT, PGPORT: '123456', LAKEBASE_CREDENTIAL_HTTP_PORT: '80.5' };
  assert.doesNotMatch((await problems(loadConfig({ env }))).join('\n'), /quotes/);
});

test('what looks right and cannot work is refused with its own reason', async (t) => {
  const withPath = (path: string) => ({ sinks: [{ file: { path, format: 'token' } }] });
  const cases: [changes: object, problem: RegExp][] = [
    [{ connection: { host: 'ep-1-pooler.example' } }, /host: must be the endpoint's own host, without -pooler: /],
    [withPath(`/${'x'.repeat(201)}`), /path: must have a file name of at most 200 bytes$/],
    [withPath('/run/.token.tmp'), /path: must not begin with a dot and end in \.tmp: such names are reserved/],
    [withPath('/run/\ud83d'), /path: must not contain an incomplete character: /],
  ];
  for (const [changes, problem] of cases) {
    assert.match((await problems(load(t, { credentials: [credential(changes)] }))).join('\n'), problem);
  }
});

test('credentials that are no list are told as such, whoever mints for them', async (t) => {
  for (const credentials of [5, { backstage: credential() }, 'backstage']) {
    assert.deepEqual(await problems(load(t, { credentials })), [
      'credentials: must be a list of credentials, each with name, endpoint or instance, and sinks',
    ]);
  }
});

test('a list that is missing is told as missing, like any other option', async (t) => {
  const sinks = [{ secret: { namespace: 'apps', name: 'lakebase' } }];
  const found = [
    ...(await problems(load(t, {}))),
    ...(await problems(load(t, { credentials: [credential({ sinks: undefined }), credential({ name: 'b', sinks })] }))),
  ];
  assert.deepEqual(found, [
    'credentials: is missing: it must be a list of credentials, each with name, endpoint or instance, and sinks',
    'credentials[0].sinks: is missing: it must be a list of sinks such as - file: {path: /run/lakebase/token, format: token}',
    'credentials[1].sinks[0].secret.data: is missing: it must be a mapping of keys to formats such as {password: token}',
  ]);
});

test('a file with tens of thousands of mistakes is refused in no time', async (t) => {
  const credentials = Array.from({ length: 30_000 }, () => ({}));
  const start = performance.now();
  const found = await problems(load(t, { credentials }));
  const tookMs = performance.now() - start;
  assert.equal(found.length, 3 * credentials.length);
  assert.ok(tookMs < 8_000, `took ${Math.round(tookMs)} ms`);
});

test('the file is named by a flag, or by a variable', async (t) => {
  const path = await configFile(t, JSON.stringify({ credentials: [credential()] }));
  const byVariable = await loadConfig({ env: { ...IDENTITY, LAKEBASE_CREDENTIAL_CONFIG: path } });
  assert.equal(byVariable.configFile, path);
  const env = { ...IDENTITY, LAKEBASE_CREDENTIAL_CONFIG: '/nowhere' };
  assert.equal((await loadConfig({ env, flags: { config: path } })).configFile, path);
});

test('beside a file, a variable that describes a credential is a problem', async (t) => {
  const names = [
    'LAKEBASE_ENDPOINT',
    'LAKEBASE_INSTANCE',
    'LAKEBASE_TTL',
    'LAKEBASE_CREDENTIAL_NAME',
    'LAKEBASE_CREDENTIAL_DIR',
    'LAKEBASE_CREDENTIAL_FILES',
  ];
  const env = { ...IDENTITY, ...Object.fromEntries(names.map((name) => [name, 'x'])) };
  const found = await problems(load(t, { credentials: [credential()] }, { env }));
  assert.deepEqual(
    found,
    names.map((name) => `${name}: cannot be used together with a configuration file: describe the credential there`),
  );
});

test('beside a file, one such variable is enough to be refused', async (t) => {
  const env = { ...IDENTITY, LAKEBASE_TTL: '15m' };
  const found = await problems(load(t, { credentials: [credential()] }, { env }));
  assert.deepEqual(found, [
    'LAKEBASE_TTL: cannot be used together with a configuration file: describe the credential there',
  ]);
});

test('beside a file, PG variables and what Kubernetes injects for Services are ignored', async (t) => {
  const env = {
    ...IDENTITY,
    PGHOST: 'elsewhere',
    PGPORT: 'x',
    LAKEBASE_PORT: 'tcp://10.0.0.1:80',
    LAKEBASE_CREDENTIAL_PORT: 'tcp://10.0.0.1:9467',
    LAKEBASE_CREDENTIAL_SERVICE_HOST: '10.0.0.1',
    LAKEBASE_CREDENTIAL_HTTP_PORT: 'tcp://10.0.0.1:9467',
  };
  const config = await load(t, { credentials: [credential()] }, { env });
  assert.equal(config.http.port, 9467);
  assert.equal(config.credentials[0]?.connection.host, undefined);
});

test('a port that Kubernetes injects for a Service counts for nothing, whatever its protocol', async () => {
  for (const protocol of ['tcp', 'udp', 'sctp']) {
    const env = { ...ENVIRONMENT, LAKEBASE_CREDENTIAL_HTTP_PORT: `${protocol}://10.0.0.1:53` };
    assert.equal((await loadConfig({ env })).http.port, 9467, protocol);
  }
});

test('the user is the client id that mints, unless it is written out', async (t) => {
  const file = {
    credentials: [
      credential(),
      credential({ name: 'b', connection: { user: 'me' }, sinks: [{ file: { path: '/b', format: 'token' } }] }),
    ],
  };
  const config = await load(t, file);
  assert.deepEqual(
    config.credentials.map(({ connection }) => connection.user),
    ['client-1', 'me'],
  );
  const env = { DATABRICKS_CONFIG_PROFILE: 'p', DATABRICKS_CONFIG_FILE: '/cfg', DATABRICKS_CLIENT_ID: 'client-1' };
  assert.equal((await load(t, file, { env })).credentials[0]?.connection.user, undefined);
});

test('only what is on the list reaches a child process', async () => {
  const passed = {
    PATH: '/bin',
    HTTP_PROXY: 'a',
    http_proxy: 'b',
    HTTPS_PROXY: 'c',
    https_proxy: 'd',
    NO_PROXY: 'e',
    no_proxy: 'f',
    SSL_CERT_FILE: '/g',
    SSL_CERT_DIR: '/h',
    GODEBUG: 'fips140=off',
  };
  const env = {
    ...ENVIRONMENT,
    ...passed,
    GODEBUG: 'http2debug=2,fips140=off,x509sha1=1',
    HOME: '/root',
    DATABRICKS_TOKEN: 'x',
    DATABRICKS_DEBUG_HEADERS: 'true',
    NODE_OPTIONS: 'x',
    LD_PRELOAD: 'x',
  };
  assert.deepEqual((await loadConfig({ env })).childEnvironment, passed);
  const traced = { ...ENVIRONMENT, GODEBUG: 'http2debug=2' };
  assert.deepEqual((await loadConfig({ env: traced })).childEnvironment, {});
});

test('what the CLI gets has no white space around it, because Go takes no notice of a proxy with a line break at its end', async () => {
  const proxy = 'http://user:pass@proxy.example:3128';
  const env = { ...ENVIRONMENT, HTTPS_PROXY: `${proxy}\n`, NO_PROXY: ' ', SSL_CERT_FILE: '/ca.pem\r\n' };
  assert.deepEqual((await loadConfig({ env })).childEnvironment, { HTTPS_PROXY: proxy, SSL_CERT_FILE: '/ca.pem' });
});

test('a proxy whose address has a % that is no escape is refused, because Go would connect without it', async () => {
  const wanted = 'must have %25 in the place of a % in user or password: the CLI would connect without the proxy';
  for (const proxy of ['http://user:p%ss@proxy:3128', 'http://user:100%@proxy:3128']) {
    const given = { ...ENVIRONMENT, HTTPS_PROXY: proxy, https_proxy: proxy };
    const found = await problems(loadConfig({ env: given }));
    assert.deepEqual(found, [`HTTPS_PROXY: ${wanted}`, `https_proxy: ${wanted}`]);
  }
  const escaped = { HTTPS_PROXY: 'http://user:100%25%2f@proxy:3128' };
  assert.deepEqual((await loadConfig({ env: { ...ENVIRONMENT, ...escaped } })).childEnvironment, escaped);
});

test('a relative path that the CLI gets counts from where this process was started, and not from where the CLI runs', async () => {
  const env = { ...IDENTITY, LAKEBASE_ENDPOINT: ENDPOINT, SSL_CERT_FILE: 'a:b.pem', SSL_CERT_DIR: '/c/../d::e' };
  const here = process.cwd();
  const passed = { SSL_CERT_FILE: `${here}/a:b.pem`, SSL_CERT_DIR: `/c/../d::${here}/e` };
  assert.deepEqual((await loadConfig({ env: { ...env, PGHOST: 'h' } })).childEnvironment, passed);
});

test('unknown keys are named with what is allowed there', async (t) => {
  const found = await problems(
    load(
      t,
      `{"credentials": [${JSON.stringify(credential({ conection: {}, connection: { password: 'x' } }))}], "__proto__": {}, "log": {"levle": "x"}}`,
    ),
  );
  assert.deepEqual(found, [
    'credentials[0].connection.password: is not known; allowed here: host, port, database, user, sslmode',
    'credentials[0].conection: is not known; allowed here: name, endpoint, instance, ttl, connection, sinks',
    'log.levle: is not known; allowed here: level',
    '__proto__: is not known; allowed here: credentials, minter, refresh, backoff, http, log',
  ]);
});

test('a key that no Secret can have is told as a key, and shown only where it cannot be a secret or move a cursor', async (t) => {
  const at = 'credentials[0].sinks[0].secret.data';
  const rule = 'must be a key of at most 253 letters, digits, -, _ and ., which is not . and does not begin with ..';
  const long = 'canary'.repeat(7);
  const cases: [key: string, format: string, problem: string][] = [
    ['my password', 'token', `${at}.(key): ${rule}`],
    ['a\n\u001b[2J', 'token', `${at}.(key): ${rule}`],
    ['..data', 'token', `${at}...data: ${rule}`],
    ['tls.crt', 'pem', `${at}.tls.crt: must be one of pgpass, token, json, env, uri`],
    [long, 'pem', `${at}.(key): must be one of pgpass, token, json, env, uri`],
  ];
  for (const [key, format, problem] of cases) {
    const secret = { namespace: 'apps', name: 'lakebase', data: { [key]: format, password: 'token' } };
    assert.deepEqual(await problems(load(t, { credentials: [credential({ sinks: [{ secret }] })] })), [problem]);
  }
});

test('a Secret sink is loaded with its defaults, and KUBECONFIG counts with and without a file', async (t) => {
  const secret = { namespace: 'apps', name: 'lakebase', data: { password: 'token' } };
  const config = await load(
    t,
    { credentials: [credential({ sinks: [{ secret }] })] },
    { env: { ...IDENTITY, KUBECONFIG: '/etc/kubeconfig' } },
  );
  assert.deepEqual(config.credentials[0]?.sinks, [{ kind: 'secret', ...secret, type: 'Opaque', force: false }]);
  assert.equal(config.kubeconfig, '/etc/kubeconfig');
  assert.equal((await load(t, { credentials: [credential()] })).kubeconfig, undefined);
});

test('no problem and no printed configuration shows a secret', async (t) => {
  const canary = `canary-${'s3cret'.repeat(8)}`;
  const inPlace = await load(
    t,
    { credentials: [credential()] },
    { env: { DATABRICKS_HOST: 'h', DATABRICKS_CLIENT_ID: 'c', DATABRICKS_CLIENT_SECRET: canary } },
  );
  assert.doesNotMatch(inspect(inPlace, { depth: 9 }) + JSON.stringify(inPlace), /canary/);

  const everywhere = await configFile(
    t,
    JSON.stringify({
      [canary]: canary,
      credentials: [
        {
          name: canary,
          endpoint: canary,
          ttl: canary,
          connection: { host: `${canary} `, port: canary, sslmode: canary, [canary]: 1 },
          sinks: [{ file: { path: canary, format: canary, mode: canary } }, canary],
        },
      ],
      refresh: canary,
      http: { host: `${canary}:`, port: canary },
      log: { level: canary },
    }),
  );
  const env = Object.fromEntries(
    [
      'HOST',
      'AUTH_TYPE',
      'CLIENT_ID',
      'CLIENT_SECRET',
      'CLIENT_SECRET_FILE',
      'OIDC_TOKEN_FILEPATH',
      'CONFIG_PROFILE',
      'CONFIG_FILE',
      'TOKEN',
    ].map((name) => [`DATABRICKS_${name}`, `${canary} @`]),
  );
  for (const type of [undefined, 'file-oidc', 'oauth-m2m', 'pat', canary]) {
    const error: unknown = await loadConfig({
      env: { ...env, DATABRICKS_AUTH_TYPE: type, LAKEBASE_ENDPOINT: canary },
      flags: { config: everywhere, 'http-port': canary },
    }).catch((reason: unknown) => reason);
    assert.ok(error instanceof Error);
    assert.doesNotMatch(inspect(error, { depth: 9 }), /canary|s3cret/);
  }
});

test('the line ends of an environment from Windows are pointed at, also where they keep the file from being found', async (t) => {
  const config = await configFile(t, JSON.stringify({ credentials: [credential()] }));
  const env = {
    ...IDENTITY,
    DATABRICKS_HOST: 'https://workspace.example\r',
    LAKEBASE_CREDENTIAL_CONFIG: `${config}\r`,
  };
  assert.deepEqual(await problems(loadConfig({ env })), [
    'DATABRICKS_HOST: must be an https URL or a host name, such as https://my.cloud.databricks.com, without user, path and query; only /?o= and the number of the workspace may follow; it begins or ends with white space, such as a line break',
    `${config}: cannot be read: no such file or directory; its name begins or ends with white space, such as a line break`,
  ]);
});
