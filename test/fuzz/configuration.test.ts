import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { stringify } from 'yaml';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';
import { VARIABLES } from '../../src/config/environment.ts';
import { loadConfig, type Config, type LoadOptions } from '../../src/config/load.ts';
import { ConfigError } from '../../src/credential/errors.ts';
import { IDENTITY } from '../config/loading.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { damaged, everythingOf, printableToken, property } from '../support/fuzz.ts';

let file = '';

async function before(t: TestContext): Promise<void> {
  file = join(await temporaryDirectory(t), 'config.yaml');
}

async function load(text: string): Promise<Config | ConfigError> {
  await writeFile(file, text);
  return await outcome({ env: IDENTITY, flags: { config: file } });
}

/** Nothing else is ever thrown. */
async function outcome(options: LoadOptions): Promise<Config | ConfigError> {
  try {
    return await loadConfig(options);
  } catch (error) {
    assert.ok(error instanceof ConfigError, everythingOf(error));
    assert.ok(error.issues.length > 0);
    return error;
  }
}

const word = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const segment = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/);
const seconds = (from: number, to: number) =>
  fc.integer({ min: from, max: to }).map((count) => formatDuration(count * 1_000));
const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().filter((address) => !address.includes('.')),
);
const connection = fc.record(
  {
    host: host.filter((name) => !/-pooler(\.|$)/i.test(name)),
    port: fc.integer({ min: 1, max: 65_535 }),
    database: word,
    user: fc.stringMatching(/^[!-~äöü]{1,40}$/),
    sslmode: fc.constantFrom('require', 'verify-ca', 'verify-full'),
  },
  { requiredKeys: ['host', 'database', 'user'] },
);
const formats = fc.uniqueArray(fc.constantFrom('pgpass', 'token', 'json', 'env', 'uri'), { minLength: 1 });

/** Everything that it says is allowed, and all of it is to be found in what is loaded. */
const valid = fc.record({
  credentials: fc.uniqueArray(
    fc
      .record({
        name: word,
        where: fc.oneof(
          fc.tuple(segment, segment, segment).map(([project, branch, endpoint]) => ({
            endpoint: `projects/${project}/branches/${branch}/endpoints/${endpoint}`,
          })),
          segment.map((instance) => ({ instance })),
        ),
        ttl: fc.option(seconds(300, 3_600), { nil: undefined }),
        connection,
        formats,
      })
      .map(({ name, where, ttl, connection, formats }) => ({
        name,
        ...where,
        ...(ttl === undefined || 'instance' in where ? {} : { ttl }),
        connection,
        sinks: formats.map((format) => ({ file: { path: `/run/${name}/${format}`, format } })),
      })),
    { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
  ),
  refresh: fc.record({
    at: fc.double({ min: 0.5, max: 0.95, noNaN: true }),
    jitter: fc.double({ min: 0, max: 0.4, noNaN: true }),
    floor: seconds(0, 100),
  }),
  backoff: fc.record({ initial: seconds(1, 60), max: seconds(60, 3_600) }),
  http: fc.record({ host, port: fc.integer({ min: 0, max: 65_535 }) }),
  log: fc.record({ level: fc.constantFrom('trace', 'debug', 'info', 'warn', 'error') }),
});

property(
  'what is allowed is loaded as it was written, in JSON and in YAML of any style',
  fc.tuple(valid, fc.constantFrom('json', 'block', 'flow')),
  async ([given, style]) => {
    const wanted = JSON.parse(JSON.stringify(given)) as typeof given; // what fast-check makes has no prototype
    const text =
      style === 'json'
        ? JSON.stringify(wanted)
        : stringify(wanted, { collectionStyle: style === 'flow' ? 'flow' : 'block' });
    const config = await load(text);
    assert.ok(!(config instanceof ConfigError), everythingOf(config));
    const { credentials, refresh, backoff, http, log } = config;
    assert.deepEqual(
      {
        credentials: credentials.map(asWritten),
        refresh: { ...refresh, floor: formatDuration(refresh.floor) },
        http,
        log,
      },
      {
        credentials: wanted.credentials.map(withDefaults),
        refresh: wanted.refresh,
        http: wanted.http,
        log: wanted.log,
      },
    );
    assert.deepEqual(backoff, {
      initial: parseDuration(wanted.backoff.initial),
      max: parseDuration(wanted.backoff.max),
    });
  },
  { before, costs: 10 },
);

function asWritten({ name, resource, ttl, connection, sinks }: Config['credentials'][number]): unknown {
  const ttlWritten = ttl === undefined ? {} : { ttl: formatDuration(ttl) };
  return { name, [resource.kind]: resource.name, ...ttlWritten, connection, sinks };
}

function withDefaults({ connection, sinks, ...rest }: Record<string, unknown>): unknown {
  return {
    ...rest,
    connection: { sslmode: 'require', ...(connection as object) },
    sinks: (sinks as { file: object }[]).map(({ file }) => ({ kind: 'file', mode: 0o600, ...file })),
  };
}

/** Of an object, all its places: `credentials[0].ttl`. */
function placesIn(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  return [
    ...(path.length === 0 ? [] : [path]),
    ...keys.flatMap((key) => placesIn((value as never)[key], [...path, key])),
  ];
}

function dotted(path: readonly (string | number)[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`))
    .join('')
    .slice(1);
}

function replaced(value: unknown, [key, ...rest]: readonly (string | number)[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

const CANARY = 'canary-5f2d9c';
const nonsense = fc.oneof(
  fc.constant(CANARY),
  fc.constant([CANARY]),
  fc.constant({ [`a${CANARY}b c`]: CANARY }),
  fc.jsonValue({ maxDepth: 2 }),
  fc.double(),
  fc.string().map((text) => `${text}${CANARY}`),
);

property(
  'one wrong value is refused with the key that it stands at, or with one that must agree with it, and is never quoted',
  fc.tuple(valid, fc.nat(), nonsense),
  async ([good, choice, bad]) => {
    const places = placesIn(good);
    const place = places[choice % places.length]!;
    const config = await load(JSON.stringify(replaced(good, place, bad)));
    if (!(config instanceof ConfigError)) return; // it happens to be allowed there
    assert.ok(!config.message.includes(CANARY), config.message);
    const section = /^[a-z]+/.exec(dotted(place))![0];
    const isNamed = config.issues.some(({ path }) => path.startsWith(section));
    assert.ok(isNamed, `${dotted(place)}: ${config.message}`);
  },
  { before, costs: 10 },
);

property(
  'a key that is not known is refused by its place, and what is allowed there is listed',
  fc.tuple(valid, fc.nat(), fc.stringMatching(/^[a-z]{3,12}X$/)),
  async ([good, choice, key]) => {
    const mappings = placesIn(good).filter((path) =>
      isMapping(path.reduce((at: unknown, part) => (at as never)[part], good)),
    );
    const place = mappings[choice % mappings.length]!;
    const config = await load(JSON.stringify(replaced(good, [...place, key], CANARY)));
    assert.ok(config instanceof ConfigError);
    assert.deepEqual(
      config.issues.map(({ path }) => path),
      [`${dotted(place)}.${key}`],
    );
    assert.match(config.message, /allowed here: /);
    assert.ok(!config.message.includes(CANARY));
  },
  { before, costs: 10 },
);

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

property(
  'any text in the file is a configuration or a problem, and no value is quoted',
  fc.oneof(
    damaged(valid.map((value) => stringify(value).replaceAll('/run/', `/run/${CANARY}/`))),
    damaged(valid.map((value) => JSON.stringify(value).replaceAll('/run/', `/run/${CANARY}/`))),
    fc.jsonValue().map((value) => stringify(value)),
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.constantFrom(
        '&a',
        '*a',
        '- ',
        ': ',
        '\n',
        ' ',
        '{',
        '}',
        '[',
        ']',
        '!!',
        '|',
        '>',
        '%',
        '---',
        '"',
        "'",
        '#',
        'credentials',
      ),
    }),
  ),
  async (text) => {
    const config = await load(text);
    if (config instanceof ConfigError) assert.ok(!config.message.includes(CANARY), config.message);
  },
  { before, costs: 10 },
);

const names = VARIABLES.map(({ name }) => name);
const likely = fc.constantFrom(
  'file-oidc',
  'oauth-m2m',
  'pat',
  'pgpass,token',
  'pgpass json',
  '/run/x',
  'tcp://10.0.0.1:80',
  '9467',
  '5m',
  'info',
  'https://w.example',
  'client-1',
  '/var/run/token',
  'projects/a1/branches/b1/endpoints/c1',
  'my-instance',
  'ep.example',
  '~/.cfg',
);
const value = fc.oneof({ weight: 3, arbitrary: likely }, fc.string({ unit: 'grapheme' }), fc.webUrl(), fc.constant(''));
const environment = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...names), value), { selector: ([name]) => name, maxLength: 12 })
  .map((pairs) => Object.fromEntries(pairs));

property(
  'any environment is a configuration or a list of problems with the names of variables, and no secret shows',
  fc.tuple(environment, fc.boolean(), printableToken),
  async ([env, hasIdentity, secret]) => {
    const { LAKEBASE_CREDENTIAL_CONFIG: _, ...rest } = env;
    const secrets = { DATABRICKS_CLIENT_SECRET: secret, DATABRICKS_TOKEN: secret };
    const config = await outcome({
      env: {
        LAKEBASE_ENDPOINT: 'projects/a1/branches/b1/endpoints/c1',
        ...(hasIdentity ? IDENTITY : {}),
        ...rest,
        ...secrets,
      },
    });
    if (config instanceof ConfigError) {
      const known = [...names, ''];
      for (const { path } of config.issues)
        assert.ok(
          known.some((name) => name === path),
          `${path} in ${config.message}`,
        );
      assert.ok(!config.message.includes(secret));
    } else {
      assert.ok(!everythingOf({ ...config, childEnvironment: {} }).includes(secret));
      assert.ok(!JSON.stringify(config).includes(JSON.stringify(secret).slice(1, -1)));
    }
  },
);

property(
  'a duration is read as it is shown, and no other text is one',
  fc.tuple(fc.nat(999_999), fc.string()),
  ([count, text]) => {
    assert.equal(parseDuration(formatDuration(count * 1_000)), count * 1_000);
    const ms = parseDuration(text);
    assert.ok(ms === undefined || (Number.isSafeInteger(ms) && ms >= 0 && /^\d+[smh]$/.test(text)));
  },
);
