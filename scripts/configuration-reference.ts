import { DEFAULT_TIMEOUT } from '../src/commands/once.ts';
import { type Format, FORMATS } from '../src/credential/formats.ts';
import { VARIABLES, type Environment } from '../src/config/environment.ts';
import { configJsonSchema, type JsonSchema } from '../src/config/json-schema.ts';
import { NEEDS } from '../src/config/rules.ts';

/** docs/configuration.md, but for its layout. */
export function configurationReference(): string {
  return [
    INTRODUCTION,
    '## Examples',
    ...EXAMPLES.map(({ title, yaml }) => `### ${title}\n\n\`\`\`yaml\n${yaml.trim()}\n\`\`\``),
    '## The file',
    FILE,
    ...Object.entries(configJsonSchema().properties ?? {}).map(([name, schema]) => section(name, schema as JsonSchema)),
    '## File formats',
    table(
      ['format', 'content', 'needs'],
      FORMATS.map((format) => [code(format), CONTENTS[format], NEEDS[format].map(code).join(', ')]),
    ),
    '[files.md](files.md) says which client reads which format. Beside the files of a credential, the sidecar writes a record `.NAME.state.json`, which never contains the token.',
    '## Flags',
    table(
      ['flag', 'meaning', 'sets'],
      VARIABLES.flatMap(({ flag, meaning, option }) =>
        flag === undefined ? [] : [[code(`--${flag}`), meaning, option === undefined ? '' : code(option)]],
      ),
    ),
    `The command \`once\` also has \`--timeout\`, its time limit (default \`${DEFAULT_TIMEOUT}\`). \`--help\` (or \`-h\`) and \`--version\` do the same as the commands \`help\` and \`version\`.`,
    '## Environment',
    ENVIRONMENT,
    '### Settings',
    'These variables apply with and without a file.',
    variables('setting'),
    '### A credential without a file',
    WITHOUT_FILE,
    variables('credential'),
    '### Identity',
    IDENTITY,
    variables('identity'),
    '### What the CLI gets to see',
    'The Databricks CLI gets the variables of the identity in use, its own home and cache directory, and the following variables. Nothing else from the environment reaches it.',
    variables('child'),
  ].join('\n\n');
}

interface Example {
  readonly title: string;
  /** A configuration file, or the `env` of a container where it begins with that. */
  readonly yaml: string;
  /** What the environment must hold besides. */
  readonly env?: Environment;
}

/** Tests load each one. */
export const EXAMPLES: readonly Example[] = [
  {
    title: 'A sidecar without a file',
    yaml: `
env:
  - { name: LAKEBASE_ENDPOINT, value: projects/backstage/branches/production/endpoints/primary }
  - { name: LAKEBASE_CREDENTIAL_FILES, value: 'pgpass,token' }
  - { name: PGHOST, value: ep-calm-river-a1b2c3.database.us-east-1.cloud.databricks.com }
  - { name: DATABRICKS_HOST, value: https://my-workspace.cloud.databricks.com }
  - { name: DATABRICKS_CLIENT_ID, value: 0f1e2d3c-0000-4000-8000-000000000001 }
  - { name: DATABRICKS_OIDC_TOKEN_FILEPATH, value: /var/run/secrets/databricks/token }
`,
  },
  {
    title: 'One credential, three readers',
    yaml: `
credentials:
  - name: backstage
    endpoint: projects/backstage/branches/production/endpoints/primary
    ttl: 30m
    connection:
      host: ep-calm-river-a1b2c3.database.us-east-1.cloud.databricks.com
      database: databricks_postgres
    sinks:
      - file: { path: /run/lakebase/pgpass, format: pgpass }
      - file: { path: /run/lakebase/token, format: token, mode: '0640' }
      - file: { path: /run/lakebase/backstage.env, format: env }
`,
    env: {
      DATABRICKS_HOST: 'https://my-workspace.cloud.databricks.com',
      DATABRICKS_CLIENT_ID: '0f1e2d3c-0000-4000-8000-000000000001',
      DATABRICKS_CLIENT_SECRET_FILE: '/var/run/secrets/databricks/client-secret',
    },
  },
  {
    title: 'A Secret, and a file beside it',
    yaml: `
credentials:
  - name: backstage
    endpoint: projects/backstage/branches/production/endpoints/primary
    connection:
      host: ep-calm-river-a1b2c3.database.us-east-1.cloud.databricks.com
      database: databricks_postgres
    sinks:
      - file: { path: /run/lakebase/pgpass, format: pgpass }
      - secret:
          namespace: backstage
          name: backstage-lakebase
          data: { password: token, uri: uri }
          type: Opaque
          force: false
`,
    env: {
      DATABRICKS_HOST: 'https://my-workspace.cloud.databricks.com',
      DATABRICKS_CLIENT_ID: '0f1e2d3c-0000-4000-8000-000000000001',
      DATABRICKS_OIDC_TOKEN_FILEPATH: '/var/run/secrets/databricks/token',
    },
  },
  {
    title: 'Several credentials, every other option',
    yaml: `
credentials:
  - name: orders
    endpoint: projects/orders/branches/production/endpoints/primary
    connection:
      host: ep-bold-hill-d4e5f6.database.us-east-1.cloud.databricks.com
      port: 5432
      database: orders
      user: orders-reader
      sslmode: verify-full
    sinks:
      - file: { path: /run/lakebase/orders/uri, format: uri, mode: '0660' }
  - name: reports
    instance: reports
    sinks:
      - file: { path: /run/lakebase/reports/credential.json, format: json }
minter:
  cli: { command: /usr/local/bin/databricks, timeout: 45s, concurrency: 2 }
refresh: { at: 0.5, jitter: 0.2, floor: 30s }
backoff: { initial: 2s, max: 5m }
http: { host: 127.0.0.1, port: 9000 }
log: { level: debug }
`,
    env: { DATABRICKS_CONFIG_FILE: '/etc/databricks/databrickscfg', DATABRICKS_CONFIG_PROFILE: 'lakebase' },
  },
];

const INTRODUCTION = `# Configuration

<!-- Generated by \`npm run generate\` from src/config. -->

The reference of every option, variable and flag. For one credential, [environment variables](#a-credential-without-a-file) are enough; for several credentials, or anything unusual, write [a file](#the-file).

The file overrides defaults, the environment overrides the file, and flags override the environment. The program reports all problems at once, each with the path of the option or the name of the variable, and exits with 78 (\`check\` with 69). Unknown keys are problems, too.

[configuration.schema.json](configuration.schema.json) is the JSON Schema of the file, for editors. The command \`schema\` also prints it.`;

const FILE = `The file is one YAML (or JSON) document in UTF-8, at most 1 MiB; anchors, aliases and merge keys (\`<<\`) work. Durations are a whole number and one unit: \`90s\`, \`15m\`, \`1h\`.

The program notices a change of the file within five seconds, also in a ConfigMap volume. A change takes effect as a whole:

- If the new file is invalid, or the file is missing for five seconds, nothing changes. The log says why, and \`lakebase_credential_config_last_reload_successful\` is 0.
- If a write of a changed credential hangs, as on a network volume whose server is down, the new settings of that credential wait for that write, and so does every later change of the file. After 20 s, the log and the same metric say so.
- Valid tokens are kept, and written at once to the files and Secrets that are now configured. Only credentials that are new, or have another \`name\`, \`endpoint\` or \`instance\`, are minted.
- A changed \`ttl\` applies from the next refresh on.
- Files and Secrets that are no longer configured are left as they are.
- A change of \`http\` or of the environment needs a restart.`;

const CONTENTS: Readonly<Record<Format, string>> = {
  pgpass: 'one line `host:port:*:user:token`, `:` and `\\` escaped, port `*` if not set; mode 0600 only',
  token: 'the token, without a line break',
  json: '`token`, `issuedAt`, `expiresAt` (RFC 3339), `host`, `port`, `database`, `user`',
  env: '`PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`, quoted for `sh`',
  uri: '`postgresql://user:token@host:port/database?sslmode=…`, percent-encoded',
};

const ENVIRONMENT = `An empty variable counts as unset. Variables that are not listed here are ignored, but \`check\`, the log and configuration errors name unknown ones that begin with \`LAKEBASE_\`, because they may be misspelled. Variables that Kubernetes injects for a Service are ignored silently, including a \`LAKEBASE_CREDENTIAL_HTTP_PORT\` of the form \`tcp://…\`. In a pod, the address of the API server comes from \`KUBERNETES_SERVICE_HOST\` and \`KUBERNETES_SERVICE_PORT\`. Node.js has its own variables, such as \`UV_THREADPOOL_SIZE\`; by default, the number of threads depends on the number of files.`;

const WITHOUT_FILE = `Without a file, \`LAKEBASE_ENDPOINT\` or \`LAKEBASE_INSTANCE\` describes the one credential. With a file, the \`LAKEBASE_…\` variables of this table are refused, and \`PG*\` variables are ignored.`;

const IDENTITY = `The sidecar mints with one of these identities, configured as for the Databricks CLI:

- **workload identity**, preferred because no static secret is stored: \`DATABRICKS_HOST\`, \`DATABRICKS_CLIENT_ID\` and \`DATABRICKS_OIDC_TOKEN_FILEPATH\`;
- **a client secret**: \`DATABRICKS_HOST\`, \`DATABRICKS_CLIENT_ID\` and either \`DATABRICKS_CLIENT_SECRET\` or \`DATABRICKS_CLIENT_SECRET_FILE\`;
- **a profile**: \`DATABRICKS_CONFIG_PROFILE\`, and \`DATABRICKS_CONFIG_FILE\` if it is not in the home directory. Of the other variables, only \`DATABRICKS_HOST\` and \`DATABRICKS_WORKSPACE_ID\` are used; they take precedence over the profile, as in the CLI. The profile must contain what a service principal logs in with (client id and secret, client id and OIDC token file, or a token): the sidecar cannot use a person's login from \`databricks auth login\`. Set \`auth_type\` in the profile (\`oauth-m2m\`, \`file-oidc\` or \`pat\`): without it, the CLI does not say why a login failed, such as a revoked secret or a host name that does not resolve;
- **a personal access token**, only with \`DATABRICKS_AUTH_TYPE=pat\`: \`DATABRICKS_HOST\` and \`DATABRICKS_TOKEN\`.

If more than one of the first three is set, the configuration is refused, unless \`DATABRICKS_AUTH_TYPE\` chooses workload identity or the client secret. Paths must be absolute, because the CLI runs in \`/\`. White space around secrets and tokens is removed, except in the file of the OIDC token: the CLI itself reads that file and would send a trailing line break, which the service refuses.`;

function section(name: string, schema: JsonSchema): string {
  return [
    `### ${code(name)}`,
    schema.description,
    table(['option', 'type', 'default', 'meaning'], rows(name, schema)),
  ].join('\n\n');
}

function rows(path: string, schema: JsonSchema): string[][] {
  if (schema.type === 'array') return rows(`${path}[]`, schema.items as JsonSchema);
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const option = value as JsonSchema;
    const own = `${path}.${key}`;
    const byDefault = schema.required?.includes(key) ? '**required**' : leafDefault(option);
    return [[code(own), typeOf(option), byDefault, option.description ?? ''], ...rows(own, option)];
  });
}

function leafDefault({ type, default: byDefault }: JsonSchema): string {
  return byDefault === undefined || type === 'object'
    ? ''
    : code(typeof byDefault === 'string' ? byDefault : JSON.stringify(byDefault));
}

function typeOf({ type, enum: values, pattern, minimum, maximum }: JsonSchema): string {
  if (values !== undefined) return values.map((value) => code(String(value))).join(', ');
  if (type === 'integer' || type === 'number') return `${type}, ${minimum} to ${maximum}`;
  if (type === 'object') return 'mapping';
  if (type === 'array') return 'list';
  if (type === 'boolean') return '`true` or `false`';
  return pattern?.endsWith('(s|m|h)$') ? 'duration' : 'string';
}

function variables(group: string): string {
  return table(
    ['variable', 'default', 'meaning', 'sets'],
    VARIABLES.filter((variable) => variable.group === group).map(({ name, default: byDefault, meaning, option }) => [
      code(name),
      byDefault === undefined ? '' : code(byDefault),
      meaning,
      option === undefined ? '' : code(option),
    ]),
  );
}

/** Leaves out columns in which nothing stands. */
function table(head: string[], body: string[][]): string {
  const columns = [...head.keys()].filter((column) => body.some((cells) => cells[column] !== ''));
  const line = (cells: string[]) => `| ${columns.map((column) => cells[column]?.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}
