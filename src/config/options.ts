import * as z from 'zod/mini';
import { FORMATS } from '../credential/formats.ts';
import { CONTROL } from './control.ts';
import {
  allow,
  connectionHost,
  described,
  duration,
  durationWithin,
  integer,
  listenHost,
  number,
  object,
  oneOf,
  optional,
  sinkPath,
  text,
  wholeCharacters,
  withDefault,
} from './values.ts';

/** libpq's list: node-postgres' own `no-verify` is unknown to every other reader of the same file. */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;

/** pino's, without `silent`: a sidecar that says nothing cannot be operated. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

const RESOURCE_ID = '[A-Za-z0-9][A-Za-z0-9._-]{0,127}';
const ENDPOINT = new RegExp(`^projects/${RESOURCE_ID}/branches/${RESOURCE_ID}/endpoints/${RESOURCE_ID}$`);
const INSTANCE = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const DATA_KEY = /^(?!\.{1,2}$)(?!\.\.)[-._a-zA-Z0-9]{1,253}$/;
const SECRET_TYPE = /^[A-Za-z0-9][A-Za-z0-9./_-]{0,252}$/;
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** Goes into lines, URIs and shell assignments that many programs read: none of them agrees on escaped white space. */
const WORD = new RegExp(String.raw`^[^\s${CONTROL}]{1,255}$`, 'u');
/** Owner reads and writes, others do not write, nothing above the nine permission bits. */
const MODE = /^0?[67][0-7][0145]$/;
/** The child runs in `/`, so a relative path would not mean what it says. */
const COMMAND = /^(\/.*[^/\s]|[^\s/-][^\s/]*)$/;

function word(what: string) {
  return text(WORD, `${what} of at most 255 characters without white space`, wholeCharacters);
}

const fileSink = object({
  path: described(
    sinkPath,
    'Path of the file: absolute, normalised, and not used by another sink. The directory is created (0750) if it does not exist.',
  ),
  format: described(oneOf(FORMATS), 'Format of the file; docs/configuration.md says what each format needs.'),
  mode: withDefault(
    z.pipe(
      text(
        MODE,
        'an octal mode in quotes such as "0640": read and write for the owner, no write for others, no setuid, setgid or sticky bit',
      ),
      z.transform((octal: string) => Number.parseInt(octal, 8)),
    ),
    '0600',
    'Permission bits of the file, octal, in quotes. `pgpass` allows 0600 only: libpq and node-postgres ignore a password file that group or others can access.',
  ),
});

const secretSink = object({
  namespace: described(
    text(DNS_LABEL, 'a namespace: at most 63 of a-z, 0-9 and -, with no - at either end'),
    'Namespace of the Secret.',
  ),
  name: described(
    text(
      DNS_SUBDOMAIN,
      'the name of a Secret: at most 253 of a-z, 0-9, - and ., each part beginning and ending with a letter or digit',
    ),
    'Name of the Secret. It can hold only this one credential. It is created if it does not exist.',
  ),
  data: described(
    z.record(z.string().check(z.regex(DATA_KEY)), oneOf(FORMATS), {
      error: (issue) =>
        issue.code === 'invalid_key'
          ? 'must be a key of at most 253 letters, digits, -, _ and ., which is not . and does not begin with ..'
          : allow('a mapping of keys to formats such as {password: token}').error(issue),
    }),
    'The keys to write, each with the format of its value. One key must have the format `token`, `json` or `pgpass`, so that the sidecar can read the token back. Other keys of the Secret are left alone.',
  ),
  type: withDefault(
    text(SECRET_TYPE, 'a type of Secret such as Opaque'),
    'Opaque',
    'Type of the Secret. It cannot be changed later.',
  ),
  force: withDefault(
    z.boolean({ error: 'must be true or false' }),
    false,
    'Whether to take over keys that another field manager owns. If false, nothing is written in that case, and the error names that manager.',
  ),
});

/** A mapping with one key that names the kind, so that another kind of sink is another key. */
const sink = object({
  file: optional(fileSink, 'A file on a volume that the containers share.'),
  secret: optional(secretSink, 'A Kubernetes Secret.'),
}).register(z.globalRegistry, { oneOf: [{ required: ['file'] }, { required: ['secret'] }] });

const connection = object({
  host: optional(
    connectionHost,
    "The endpoint's own host name; a `-pooler` host is refused, because Lakebase's pooler does not accept OAuth tokens. Needed by `pgpass`, `env` and `uri`. For `pgpass` it may be `'*'`: the client then sends the token to any server.",
  ),
  port: optional(integer(1, 65_535), 'If not set, `pgpass` has `*` and the other formats have 5432.'),
  database: optional(word('a database name'), 'Needed by `env` and `uri`; `pgpass` always has `*`.'),
  user: optional(
    word('a role name'),
    'The Postgres role. Default: `DATABRICKS_CLIENT_ID`, if that identity mints. Needed by `pgpass`, `env` and `uri`.',
  ),
  sslmode: withDefault(
    oneOf(SSL_MODES),
    'require',
    'As in libpq. Lakebase accepts only encrypted connections; below `require`, a client may send the token unencrypted.',
  ),
});

const credential = object({
  name: described(
    text(DNS_LABEL, 'a DNS label: at most 63 of a-z, 0-9 and -, with no - at either end'),
    'Label in logs and metrics, and part of the name of the state file. A DNS label, unique.',
  ),
  endpoint: optional(
    text(
      ENDPOINT,
      'of the form projects/PROJECT/branches/BRANCH/endpoints/ENDPOINT; for a Provisioned instance, set instance (LAKEBASE_INSTANCE) instead',
    ),
    'A Lakebase Autoscaling endpoint, `projects/…/branches/…/endpoints/…`. Set exactly one of `endpoint` and `instance`.',
  ),
  instance: optional(
    text(
      INSTANCE,
      'the name of a database instance: at most 63 letters, digits, - and _; for an Autoscaling endpoint, set endpoint (LAKEBASE_ENDPOINT) instead',
    ),
    'Name of a Lakebase Provisioned instance. Set exactly one of `endpoint` and `instance`.',
  ),
  ttl: optional(
    durationWithin('5m', '1h'),
    'Requested lifetime, 5m to 1h. By default, the service sets it: one hour. Not allowed for an instance. Needs Databricks CLI 1.7.0 or newer.',
  ),
  connection: withDefault(connection, {}, 'What the files contain besides the token.'),
  sinks: described(
    z
      .array(sink, allow('a list of sinks such as - file: {path: /run/lakebase/token, format: token}'))
      .check(z.minLength(1, { error: 'must have at least one sink' })),
    'Where the credential is written.',
  ),
}).register(z.globalRegistry, {
  anyOf: [{ required: ['endpoint'] }, { required: ['instance'] }],
  // Of `oneOf` Helm says only how many schemas have matched, but it quotes a constant. No instance and no ttl can be like these.
  allOf: [
    {
      if: { not: { required: ['endpoint', 'instance'] } },
      else: { properties: { instance: { const: 'left out, because endpoint is set' } } },
    },
    { if: { required: ['endpoint'] }, else: { properties: { ttl: { const: 'left out, because instance is set' } } } },
  ],
});

const cli = object({
  command: withDefault(
    text(COMMAND, 'a program name without white space, found on the PATH, or an absolute path'),
    'databricks',
    'The Databricks CLI: a name on the `PATH`, or an absolute path.',
  ),
  timeout: duration(
    '1s',
    '5m',
    '30s',
    'How long one run of the CLI may take. It gets less time when a credential is about to expire.',
  ),
  concurrency: withDefault(integer(1, 64), 4, 'How many CLI processes may run at the same time.'),
});

const minter = object({ cli: withDefault(cli, {}, 'Mints with the Databricks CLI.') });

const refresh = object({
  at: withDefault(number(0.01, 0.95), 0.667, 'When a refresh is due, as a fraction of the lifetime.'),
  jitter: withDefault(
    number(0, 0.94),
    0.1,
    'How much earlier than `at` a refresh may come, as a fraction of the lifetime. The actual value is random each time.',
  ),
  floor: duration(
    '0s',
    '57m',
    '10s',
    'A refresh is never due sooner than this after the credential was issued. At most `at` times the shortest lifetime.',
  ),
});

const backoff = object({
  initial: duration('1s', '1h', '1s', 'The delay after the first failure. It doubles with each further failure.'),
  max: duration(
    '1s',
    '1h',
    '1m',
    'The longest delay; at least `initial`. A delay is never longer than a quarter of the remaining life, or 15 s without a valid credential, unless the API server asks for more time.',
  ),
});

const http = object({
  host: withDefault(
    listenHost,
    '::',
    'Address to listen on; `::` means all addresses, including IPv4. A change needs a restart.',
  ),
  port: withDefault(
    integer(0, 65_535),
    9467,
    'Port of health, metrics and status; 0 chooses any free port. A change needs a restart.',
  ),
});

const log = object({
  level: withDefault(oneOf(LOG_LEVELS), 'info', 'The lowest level that is logged.'),
});

/** Every option by itself; what must hold between them is in rules.ts. */
export const options = object({
  credentials: described(
    z
      .array(credential, allow('a list of credentials, each with name, endpoint or instance, and sinks'))
      .check(z.minLength(1, { error: 'must have at least one credential' })),
    'The credentials to keep fresh. A credential that fails never delays another.',
  ),
  minter: withDefault(minter, {}, 'How credentials are minted.'),
  refresh: withDefault(
    refresh,
    {},
    'When a valid credential is replaced. The first refresh after a mint at the start, or after an expiry, comes at a random time up to `at`; the first refresh after other failures comes in the second half of that time. So sidecars that start or fail together do not stay in step.',
  ),
  backoff: withDefault(
    backoff,
    {},
    'When a failed mint or write is retried. Each delay is shortened at random, by up to half.',
  ),
  http: withDefault(http, {}, 'Health, metrics and status.'),
  log: withDefault(log, {}, 'Logging, as JSON lines on standard output.'),
});

/** With every default filled in. Durations are milliseconds here, under the key that holds a string in the file. */
export type Options = z.output<typeof options>;
