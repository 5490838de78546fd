import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credential, load, problems } from './loading.ts';

const connection = { host: 'ep-1.example', database: 'db', user: 'me' };

function files(...paths: string[]) {
  return paths.map((path) => ({ file: { path, format: 'token' } }));
}

function secret(changes: object) {
  return { secret: { namespace: 'apps', name: 'lakebase', data: { password: 'token' }, ...changes } };
}

const CASES: readonly { readonly title: string; readonly file: object; readonly expected: readonly RegExp[] }[] = [
  {
    title: 'neither endpoint nor instance',
    file: { credentials: [credential({ endpoint: undefined })] },
    expected: [/^credentials\[0\]\.endpoint: is missing: set exactly one/],
  },
  {
    title: 'both endpoint and instance',
    file: { credentials: [credential({ instance: 'i' })] },
    expected: [/^credentials\[0\]\.instance: cannot be used together with an endpoint/],
  },
  {
    title: 'neither endpoint nor instance, and not for its ttl',
    file: { credentials: [credential({ endpoint: undefined, ttl: '10m' })] },
    expected: [/^credentials\[0\]\.endpoint: is missing: set exactly one/],
  },
  {
    title: 'both endpoint and instance, and not for its ttl',
    file: { credentials: [credential({ instance: 'i', ttl: '10m' })] },
    expected: [/^credentials\[0\]\.instance: cannot be used together with an endpoint/],
  },
  {
    title: 'sections in which everything is commented out',
    file: { credentials: [credential()], minter: null, refresh: null, backoff: null, http: null, log: null },
    expected: ['minter', 'refresh', 'backoff', 'http', 'log'].map((key) => new RegExp(`^${key}: must be a mapping; `)),
  },
  {
    title: 'a list where a credential should be, and not what it lacks',
    file: { credentials: [[]] },
    expected: [/^credentials\[0\]: must be a mapping; /],
  },
  {
    title: 'a list where a connection should be, and not what it lacks',
    file: { credentials: [credential({ connection: [], sinks: [{ file: { path: '/a', format: 'env' } }] })] },
    expected: [/^credentials\[0\]\.connection: must be a mapping; /],
  },
  {
    title: 'a ttl for an instance',
    file: { credentials: [credential({ endpoint: undefined, instance: 'i', ttl: '10m' })] },
    expected: [/^credentials\[0\]\.ttl: cannot be used with an instance, which does not support a ttl: remove it$/],
  },
  {
    title: 'a name that is used twice',
    file: { credentials: [credential(), credential({ sinks: files('/a') })] },
    expected: [/^credentials\[1\]\.name: must be unique: credentials\[0\] has it too$/],
  },
  {
    title: 'a path that two sinks of a credential share',
    file: { credentials: [credential({ sinks: files('/a', '/a') })] },
    expected: [/^credentials\[0\]\.sinks\[1\]\.file\.path: must be unique: credentials\[0\]\.sinks\[0\] has it too$/],
  },
  {
    title: 'a sink that is both a file and a Secret',
    file: { credentials: [credential({ sinks: [{ ...files('/a')[0], ...secret({}) }] })] },
    expected: [/^credentials\[0\]\.sinks\[0\]: must have exactly one of file and secret$/],
  },
  {
    title: 'a sink that is neither',
    file: { credentials: [credential({ sinks: [{}] })] },
    expected: [/^credentials\[0\]\.sinks\[0\]: must have exactly one of file and secret$/],
  },
  {
    title: 'a Secret that two credentials share',
    file: { credentials: [credential({ sinks: [secret({})] }), credential({ name: 'other', sinks: [secret({})] })] },
    expected: [
      /^credentials\[1\]\.sinks\[0\]\.secret\.name: must be unique: credentials\[0\]\.sinks\[0\] writes this Secret too, and one Secret holds one credential$/,
    ],
  },
  {
    title: 'a Secret that two sinks of a credential share',
    file: { credentials: [credential({ sinks: [secret({}), secret({ data: { b: 'token' } })] })] },
    expected: [/^credentials\[0\]\.sinks\[1\]\.secret\.name: must be unique/],
  },
  {
    title: 'a Secret in which the token could not be found again',
    file: { credentials: [credential({ connection, sinks: [secret({ data: { u: 'uri', e: 'env' } })] })] },
    expected: [/^credentials\[0\]\.sinks\[0\]\.secret\.data: must have a key with the format token, json or pgpass/],
  },
  {
    title: 'a misspelled format, and not that the token would be missing',
    file: { credentials: [credential({ sinks: [secret({ data: { password: 'Token' } })] })] },
    expected: [/^credentials\[0\]\.sinks\[0\]\.secret\.data\.password: must be one of /],
  },
  {
    title: 'a key that no Secret can have, and not that the token would be missing',
    file: { credentials: [credential({ sinks: [secret({ data: { 'my password': 'token' } })] })] },
    expected: [/^credentials\[0\]\.sinks\[0\]\.secret\.data\.\(key\): must be a key /],
  },
  {
    title: 'a Secret without any key',
    file: { credentials: [credential({ sinks: [secret({ data: {} })] })] },
    expected: [/^credentials\[0\]\.sinks\[0\]\.secret\.data: must have a key with the format token, json or pgpass/],
  },
  {
    title: 'a Secret whose format needs more of the connection',
    file: { credentials: [credential({ connection: {}, sinks: [secret({ data: { t: 'token', u: 'uri' } })] })] },
    expected: [
      /^credentials\[0\]\.connection\.host: is missing: needed by uri$/,
      /^credentials\[0\]\.connection\.database: is missing: needed by uri$/,
    ],
  },
  {
    title: 'a path that two credentials share',
    file: {
      credentials: [credential({ sinks: files('/a', '/b') }), credential({ name: 'other', sinks: files('/b') })],
    },
    expected: [/^credentials\[1\]\.sinks\[0\]\.file\.path: must be unique: credentials\[0\]\.sinks\[1\]/],
  },
  {
    title: 'a path that is the state file of another credential in the directory',
    file: {
      credentials: [
        credential({ sinks: files('/run/a') }),
        credential({ name: 'other', sinks: files('/run/.backstage.state.json') }),
      ],
    },
    expected: [/^credentials\[1\]\.sinks\[0\]\.file\.path: must not be the state file/],
  },
  {
    title: 'the state file in the root directory',
    file: { credentials: [credential({ sinks: files('/.backstage.state.json') })] },
    expected: [/must not be the state file/],
  },
  {
    title: 'a path below another file',
    file: { credentials: [credential({ sinks: files('/a', '/a/b') })] },
    expected: [
      /^credentials\[0\]\.sinks\[1\]\.file\.path: must not lie below the file of another sink: credentials\[0\]\.sinks\[0\]/,
    ],
  },
  {
    title: 'a pgpass file that its readers would ignore',
    file: {
      credentials: [credential({ connection, sinks: [{ file: { path: '/a', format: 'pgpass', mode: '0640' } }] })],
    },
    expected: [/^credentials\[0\]\.sinks\[0\]\.file\.mode: must be "0600" for pgpass: libpq and node-postgres ignore/],
  },
  {
    title: 'a pgpass file without a host',
    file: { credentials: [credential({ sinks: [{ file: { path: '/a', format: 'pgpass' } }] })] },
    expected: [/^credentials\[0\]\.connection\.host: is missing: needed by pgpass$/],
  },
  {
    title: 'env and uri files without what they say',
    file: {
      credentials: [
        credential({ sinks: [{ file: { path: '/a', format: 'env' } }, { file: { path: '/b', format: 'uri' } }] }),
      ],
    },
    expected: [
      /\.connection\.host: is missing: needed by env and uri$/,
      /\.connection\.database: is missing: needed by env and uri$/,
    ],
  },
  ...['json', 'env', 'uri'].map((format) => ({
    title: `any host where a client needs one, as in ${format}`,
    file: {
      credentials: [
        credential({ connection: { ...connection, host: '*' }, sinks: [{ file: { path: '/a', format } }] }),
      ],
    },
    expected: [
      new RegExp(
        `^credentials\\[0\\]\\.connection\\.host: must be a real host for the format ${format}; only pgpass accepts \\*$`,
      ),
    ],
  })),
  {
    title: 'jitter that would make a refresh due at once',
    file: { credentials: [credential()], refresh: { at: 0.1 } },
    expected: [/^refresh\.jitter: must be below refresh\.at, which is 0\.1$/],
  },
  {
    title: 'a floor that outlives the credential',
    file: { credentials: [credential({ ttl: '5m' })], refresh: { at: 0.5, floor: '3m' } },
    expected: [/^refresh\.floor: must be at most refresh\.at times the shortest lifetime, which is 150s$/],
  },
  {
    title: 'a longest delay below the first',
    file: { credentials: [credential()], backoff: { initial: '2m' } },
    expected: [/^backoff\.max: must be at least backoff\.initial, which is 2m$/],
  },
];

test('the longest floor that a refusal names is accepted', async (t) => {
  for (const [at, ttl, longest] of [
    [0.333, '5m', '99s'],
    [0.57, '5m', '171s'],
  ] as const) {
    const withFloor = (floor: string) => ({ credentials: [credential({ ttl })], refresh: { at, floor } });
    const [problem = ''] = await problems(load(t, withFloor('4m')));
    assert.match(problem, new RegExp(`, which is ${longest}$`));
    assert.deepEqual(await problems(load(t, withFloor(longest))), []);
  }
});

for (const { title, file, expected } of CASES) {
  test(`the configuration is refused for ${title}`, async (t) => {
    const found = await problems(load(t, file));
    assert.equal(found.length, expected.length, found.join('\n'));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? '', pattern);
  });
}

test('pgpass takes any host when it is written out', async (t) => {
  const sinks = [{ file: { path: '/a', format: 'pgpass' } }];
  const config = await load(t, { credentials: [credential({ connection: { host: '*' }, sinks })] });
  assert.equal(config.credentials[0]?.connection.host, '*');
});

test('credentials may share a directory', async (t) => {
  const other = credential({ name: 'other', sinks: files('/run/lakebase/other') });
  assert.deepEqual(await problems(load(t, { credentials: [credential(), other] })), []);
});

test('what is wrong by itself hides no problem between options', async (t) => {
  const found = await problems(
    load(t, {
      credentials: [credential({ name: 'A', ttl: '5', typo: 1 }), credential({ name: 'A', instance: 'i' }), null],
      refresh: { at: 0.5, jitter: 0.6, floor: 'x' },
      http: { port: 1.5 },
      log: null,
    }),
  );
  assert.deepEqual(
    found.map((line) => line.slice(0, line.indexOf(': '))),
    [
      'credentials[0].name',
      'credentials[0].ttl',
      'credentials[0].typo',
      'credentials[1].name',
      'credentials[2]',
      'refresh.floor',
      'http.port',
      'log',
      'refresh.jitter',
      'credentials[1].instance',
      'credentials[1].sinks[0].file.path',
    ],
  );
});

test('with a number that is wrong by itself, as one without its unit is, nothing is compared', async (t) => {
  const [withoutUnit, credentials] = [[credential({ ttl: 900 })], [credential()]];
  for (const [file, expected] of [
    [{ credentials: withoutUnit }, ['credentials[0].ttl']],
    [{ credentials, refresh: { at: 0 }, backoff: { initial: 90_000 } }, ['refresh.at', 'backoff.initial']],
  ] as const) {
    const found = await problems(load(t, file));
    assert.deepEqual(
      found.map((line) => line.slice(0, line.indexOf(': '))),
      expected,
    );
  }
});
