import { ConfigError } from '../credential/errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

interface Variable {
  readonly name: string;
  /** `setting` counts always, `credential` stands for a file, `identity` says who mints, `child` is passed on. */
  readonly group: 'setting' | 'credential' | 'identity' | 'child';
  readonly meaning: string;
  readonly default?: string;
  /** The option that it sets. */
  readonly option?: string;
  /** The flag that beats it. */
  readonly flag?: string;
  /** Relative paths in it are made absolute, because the CLI runs in another directory. */
  readonly holds?: 'a path' | 'paths';
  /** Of several settings in it, separated by commas, those that begin like this; the others may print secrets. */
  readonly only?: string;
}

const DECLARED = [
  { name: 'LAKEBASE_CREDENTIAL_CONFIG', group: 'setting', flag: 'config', meaning: 'The configuration file.' },
  {
    name: 'LAKEBASE_CREDENTIAL_HTTP_HOST',
    group: 'setting',
    flag: 'http-host',
    option: 'http.host',
    meaning: 'Address to listen on.',
  },
  {
    name: 'LAKEBASE_CREDENTIAL_HTTP_PORT',
    group: 'setting',
    flag: 'http-port',
    option: 'http.port',
    meaning: 'Port to listen on.',
  },
  {
    name: 'LAKEBASE_CREDENTIAL_LOG_LEVEL',
    group: 'setting',
    flag: 'log-level',
    option: 'log.level',
    meaning: 'The lowest level that is logged.',
  },
  {
    name: 'KUBECONFIG',
    group: 'setting',
    meaning: 'One kubeconfig file, for Secret sinks only. Default: the service account of the pod.',
  },
  {
    name: 'TMPDIR',
    group: 'setting',
    default: '/tmp',
    meaning: 'Directory for the private home and cache of the CLI.',
  },

  {
    name: 'LAKEBASE_ENDPOINT',
    group: 'credential',
    option: 'credentials[0].endpoint',
    meaning: 'Lakebase Autoscaling endpoint.',
  },
  {
    name: 'LAKEBASE_INSTANCE',
    group: 'credential',
    option: 'credentials[0].instance',
    meaning: 'Lakebase Provisioned instance.',
  },
  {
    name: 'LAKEBASE_TTL',
    group: 'credential',
    option: 'credentials[0].ttl',
    meaning: 'Requested lifetime.',
  },
  {
    name: 'LAKEBASE_CREDENTIAL_NAME',
    group: 'credential',
    option: 'credentials[0].name',
    default: 'lakebase',
    meaning: 'Name of the credential.',
  },
  {
    name: 'LAKEBASE_CREDENTIAL_DIR',
    group: 'credential',
    default: '/run/lakebase',
    meaning: 'Directory of the files.',
  },
  {
    name: 'LAKEBASE_CREDENTIAL_FILES',
    group: 'credential',
    option: 'credentials[0].sinks',
    default: 'pgpass',
    meaning: 'Formats to write, separated by commas or spaces; each file is named after its format.',
  },
  { name: 'PGHOST', group: 'credential', option: 'credentials[0].connection.host', meaning: 'Host in the files.' },
  { name: 'PGPORT', group: 'credential', option: 'credentials[0].connection.port', meaning: 'Port in the files.' },
  {
    name: 'PGDATABASE',
    group: 'credential',
    option: 'credentials[0].connection.database',
    meaning: 'Database in the files.',
  },
  {
    name: 'PGUSER',
    group: 'credential',
    option: 'credentials[0].connection.user',
    meaning: 'Postgres role in the files. Default: `DATABRICKS_CLIENT_ID`, if that identity mints.',
  },
  {
    name: 'PGSSLMODE',
    group: 'credential',
    option: 'credentials[0].connection.sslmode',
    meaning: 'The `sslmode` in the files.',
  },

  {
    name: 'DATABRICKS_HOST',
    group: 'identity',
    meaning:
      'The workspace: an https URL or a bare host name. With a profile, it takes precedence over the host of the profile.',
  },
  {
    name: 'DATABRICKS_WORKSPACE_ID',
    group: 'identity',
    meaning:
      'Number of the workspace, if its host serves several workspaces. Alternatively, append `/?o=` and the number to `DATABRICKS_HOST`.',
  },
  {
    name: 'DATABRICKS_AUTH_TYPE',
    group: 'identity',
    meaning: 'Chooses among several identities: `file-oidc`, `oauth-m2m` or `pat`. Not used with a profile.',
  },
  { name: 'DATABRICKS_CLIENT_ID', group: 'identity', meaning: 'Application id of the service principal.' },
  {
    name: 'DATABRICKS_OIDC_TOKEN_FILEPATH',
    group: 'identity',
    meaning: 'Absolute path of the projected service-account token.',
  },
  { name: 'DATABRICKS_CLIENT_SECRET', group: 'identity', meaning: 'OAuth secret of the service principal.' },
  {
    name: 'DATABRICKS_CLIENT_SECRET_FILE',
    group: 'identity',
    meaning: 'Absolute path of a file with that secret. It is read at each mint, so a rotated secret needs no restart.',
  },
  {
    name: 'DATABRICKS_CONFIG_PROFILE',
    group: 'identity',
    meaning: 'Name of the profile; must also be set for `DEFAULT`.',
  },
  {
    name: 'DATABRICKS_CONFIG_FILE',
    group: 'identity',
    default: '~/.databrickscfg',
    meaning: 'File that contains the profile: an absolute path, or one that begins with `~/`.',
  },
  {
    name: 'DATABRICKS_TOKEN',
    group: 'identity',
    meaning: 'Personal access token; ignored without `DATABRICKS_AUTH_TYPE=pat`.',
  },
  { name: 'HOME', group: 'identity', meaning: 'The directory that `~` in `DATABRICKS_CONFIG_FILE` stands for.' },

  { name: 'PATH', group: 'child', meaning: 'Directories in which to look for the CLI.' },
  { name: 'HTTPS_PROXY', group: 'child', meaning: 'Proxy for https.' },
  { name: 'https_proxy', group: 'child', meaning: 'The same.' },
  { name: 'HTTP_PROXY', group: 'child', meaning: 'Proxy for http.' },
  { name: 'http_proxy', group: 'child', meaning: 'The same.' },
  { name: 'NO_PROXY', group: 'child', meaning: 'Hosts to reach without a proxy.' },
  { name: 'no_proxy', group: 'child', meaning: 'The same.' },
  { name: 'SSL_CERT_FILE', group: 'child', holds: 'a path', meaning: 'File with certificate authorities.' },
  { name: 'SSL_CERT_DIR', group: 'child', holds: 'paths', meaning: 'Directories with certificate authorities.' },
  {
    name: 'GODEBUG',
    group: 'child',
    only: 'fips140=',
    meaning:
      'Only its setting `fips140` is passed on. With `fips140=off`, the CLI (1.13.0 and newer) accepts TLS that FIPS 140-3 does not approve.',
  },
] as const satisfies readonly Variable[];

type Declared = (typeof DECLARED)[number];
export type VariableName = Declared['name'];
export type FlagName = Extract<Declared, { flag: string }>['flag'];

/** Every variable that counts, but for those of Node.js itself. The reference is generated from this table. */
export const VARIABLES: readonly (Variable & { readonly name: VariableName; readonly flag?: FlagName })[] = DECLARED;

/** As `parseArgs` of node:util gives them. */
export type Flags = Readonly<Partial<Record<FlagName, string | undefined>>>;

/** An empty variable counts as one that is not set: manifests often cannot leave one out. */
export function read(env: Environment, name: VariableName): string | undefined {
  const value = env[name];
  return value === '' ? undefined : value;
}

/** What Kubernetes injects for a Service, whose name may begin like ours. */
const OF_A_SERVICE = /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_\w+)?)$/;

/** Names that look like ours and are none: somebody may have misspelled one. */
export function unknownVariables(env: Environment): string[] {
  const known = new Set<string>(VARIABLES.map(({ name }) => name));
  return Object.keys(env).filter(
    (name) => /^LAKEBASE_\w{1,60}$/.test(name) && env[name] !== '' && !known.has(name) && !OF_A_SERVICE.test(name),
  );
}

export function readOrDefault(env: Environment, name: VariableName): string | undefined {
  return read(env, name) ?? VARIABLES.find((variable) => variable.name === name)?.default;
}

/** All that a child process gets to see of our environment; whoever starts it adds the identity. */
export function childEnvironment(env: Environment): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const variable of VARIABLES) {
    const given = read(env, variable.name);
    if (variable.group !== 'child' || given === undefined) continue;
    const value = asPassedOn(given.trim(), variable); // Go ignores a proxy that ends in a line break
    if (value !== '') passed[variable.name] = value;
  }
  return passed;
}

function asPassedOn(value: string, { holds, only }: Variable): string {
  if (only !== undefined) {
    const settings = value.split(',').filter((setting) => setting.startsWith(only));
    return settings.join(',');
  }
  if (holds === 'a path') return fromHere(value);
  return holds === 'paths' ? value.split(':').map(fromHere).join(':') : value;
}

/**
 * Relative to our working directory. `..` is left in it: to resolve that could change where a link leads.
 *
 * @throws ConfigError where that directory was removed, as by an installation of another version
 */
export function fromHere(path: string): string {
  return path === '' || path.startsWith('/') ? path : `${workingDirectory()}/${path}`;
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    const message = 'the working directory was removed: change to one that exists, or give absolute paths';
    throw new ConfigError([{ path: '', message }]);
  }
}
