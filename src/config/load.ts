import { resolve } from 'node:path';
import type { Auth } from '../credential/auth.ts';
import { isInQuotes } from '../credential/display.ts';
import { ConfigError, type ConfigIssue } from '../credential/errors.ts';
import type { Format } from '../credential/formats.ts';
import type { Connection } from '../credential/ports.ts';
import {
  childEnvironment,
  fromHere,
  read,
  unknownVariables,
  VARIABLES,
  type Environment,
  type Flags,
} from './environment.ts';
import { resolveIdentity } from './identity.ts';
import { credentialFromEnvironment, sourceOf, withDefaultUser, withSettings, type Input } from './layers.ts';
import type { Options } from './options.ts';
import { configSchema } from './schema.ts';

/** Durations are milliseconds. */
export interface Config extends Pick<Options, 'minter' | 'refresh' | 'backoff' | 'http' | 'log'> {
  readonly credentials: readonly CredentialConfig[];
  readonly auth: Auth;
  /** What a child process gets of our environment, without the identity. */
  readonly childEnvironment: Readonly<Record<string, string>>;
  /** Absolute; undefined where the environment says it all. */
  readonly configFile: string | undefined;
  /** Absolute; undefined for the service account of the pod. */
  readonly kubeconfig: string | undefined;
  /** They count for nothing; see `unknownVariables`. */
  readonly unknownVariables: readonly string[];
}

export interface CredentialConfig {
  readonly name: string;
  readonly resource: { readonly kind: 'endpoint' | 'instance'; readonly name: string };
  /** Undefined: the service's own default. */
  readonly ttl: number | undefined;
  readonly connection: Connection;
  readonly sinks: readonly SinkConfig[];
}

export type SinkConfig = FileSinkConfig | SecretSinkConfig;

export interface FileSinkConfig {
  readonly kind: 'file';
  readonly path: string;
  readonly format: Format;
  readonly mode: number;
}

export interface SecretSinkConfig {
  readonly kind: 'secret';
  readonly namespace: string;
  readonly name: string;
  /** What each key holds. */
  readonly data: Readonly<Record<string, Format>>;
  readonly type: string;
  readonly force: boolean;
}

export interface LoadOptions {
  readonly env: Environment;
  readonly flags?: Flags;
}

/** Everything that was configured, checked and with defaults. @throws ConfigError that lists every problem */
export async function loadConfig({ env, flags = {} }: LoadOptions): Promise<Config> {
  const { auth, issues } = resolveIdentity(env);
  issues.push(...ignoredProxies(env));
  const file = flags.config ?? read(env, 'LAKEBASE_CREDENTIAL_CONFIG');
  const configFile = file === undefined ? undefined : resolve(fromHere(file));
  const base = await readBase(configFile, env, issues);
  if (base === undefined) throw problems(issues, env);

  // Defaults (in the schema) < file < environment < flags.
  const input = withDefaultUser(withSettings(base, env, flags), defaultUser(env, auth, issues));
  const { data, error } = configSchema.safeParse(input.value);
  issues.push(...(error === undefined ? [] : toIssues(error.issues, input)));
  if (data === undefined || auth === undefined || issues.length > 0) throw problems(issues, env);

  const { credentials, ...rest } = data;
  const kubeconfig = read(env, 'KUBECONFIG');
  return {
    ...rest,
    credentials: credentials.map(toCredential),
    auth,
    childEnvironment: childEnvironment(env),
    configFile,
    kubeconfig: kubeconfig === undefined ? undefined : resolve(fromHere(kubeconfig)),
    unknownVariables: unknownVariables(env),
  };
}

/** The file, or what stands for it; adds to `issues`, and is undefined where nothing is left to check. */
async function readBase(
  configFile: string | undefined,
  env: Environment,
  issues: ConfigIssue[],
): Promise<Input | undefined> {
  if (configFile === undefined) {
    if (read(env, 'LAKEBASE_ENDPOINT') ?? read(env, 'LAKEBASE_INSTANCE')) {
      issues.push(...quotedNames(env));
      return credentialFromEnvironment(env);
    }
    issues.push({
      path: '',
      message:
        'no credential is configured: set --config or LAKEBASE_CREDENTIAL_CONFIG to a configuration file, or set LAKEBASE_ENDPOINT or LAKEBASE_INSTANCE',
    });
    return undefined;
  }
  for (const { name, group } of VARIABLES) {
    // PG* is for every Postgres client in the container, so it is no sign of a mistake.
    if (group === 'credential' && !name.startsWith('PG') && read(env, name) !== undefined) {
      issues.push({
        path: name,
        message: 'cannot be used together with a configuration file: describe the credential there',
      });
    }
  }
  try {
    // Loaded here because a sidecar without a file needs no parser.
    const { readConfigFile } = await import('./file.ts');
    return { value: readConfigFile(configFile), sources: new Map() };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    issues.push(...error.issues);
    return undefined;
  }
}

/** Go connects without a proxy where it cannot read the address, and says nothing; of other mistakes in one it complains. */
function ignoredProxies(env: Environment): ConfigIssue[] {
  return (['HTTPS_PROXY', 'https_proxy'] as const)
    .filter((name) => /%(?![0-9A-Fa-f]{2})/.test(read(env, name) ?? ''))
    .map((path) => ({
      path,
      message: 'must have %25 in the place of a % in user or password: the CLI would connect without the proxy',
    }));
}

/** Postgres takes quotes for a part of a name; in any other variable the option that it sets refuses them. */
function quotedNames(env: Environment): ConfigIssue[] {
  return (['PGDATABASE', 'PGUSER'] as const)
    .filter((name) => isInQuotes(read(env, name) ?? ''))
    .map((path) => ({ path, message: 'must not be in quotes' }));
}

/**
 * Not with a profile or a personal access token: a client id that lies around is not who mints then. Where the client id or
 * the whole identity is reported as missing, any name will do, so that the user is not reported as well.
 */
function defaultUser(env: Environment, auth: Auth | undefined, issues: readonly ConfigIssue[]): string | undefined {
  const isTold = issues.some(({ path }) => path === '' || path === 'DATABRICKS_CLIENT_ID');
  if (auth === undefined) return read(env, 'DATABRICKS_CLIENT_ID') ?? (isTold ? 'unknown' : undefined);
  return 'clientId' in auth ? auth.clientId : undefined;
}

type SchemaIssue = NonNullable<ReturnType<typeof configSchema.safeParse>['error']>['issues'][number];

function toIssues(found: readonly SchemaIssue[], { sources }: Input): ConfigIssue[] {
  return found.flatMap((issue) => {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return keys.map((key) => ({
      path: sourceOf(dotted(key === undefined ? issue.path : [...issue.path, key]), sources),
      message: issue.message,
    }));
  });
}

/** What is misspelled counts for nothing, but is often why something else is a problem. */
function problems(issues: readonly ConfigIssue[], env: Environment): ConfigError {
  const unknown = unknownVariables(env).map((path) => ({ path, message: 'is unknown, perhaps misspelled' }));
  return new ConfigError([...firstPerPath(issues).map((issue) => pointAtEnds(issue, env)), ...unknown]);
}

/** White space that `echo`, a file or Windows has added cannot be seen in a manifest, and a line break moves the cursor. */
function pointAtEnds({ path, message }: ConfigIssue, env: Environment): ConfigIssue {
  const isVariable = Object.hasOwn(env, path);
  const value = (isVariable ? env[path] : path) ?? ''; // the path may be that of the configuration file
  if (isVariable && isInQuotes(value))
    return { path, message: `${message}; the quotes are part of the value: remove them` };
  if (value === value.trim()) return { path, message };
  const what = isVariable ? 'it' : 'its name';
  return {
    path: path.trim(),
    message: `${message}; ${what} begins or ends with white space, such as a line break`,
  };
}

/** A value that is wrong by itself is often wrong in relation to others too; the first problem is the plain one. */
function firstPerPath(issues: readonly ConfigIssue[]): ConfigIssue[] {
  const seen = new Set<string>();
  return issues.filter(({ path }) => path === '' || (!seen.has(path) && seen.add(path)));
}

function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${printable(String(key))}`))
    .join('')
    .replace(/^\./, '');
}

/** A key may be anything, even a secret that slipped out of its place. Dots are for the keys of a Secret, such as `tls.crt`. */
function printable(key: string): string {
  return /^[\w$.-]{1,30}$/.test(key) ? key : '(key)';
}

function toCredential({
  name,
  endpoint,
  instance,
  ttl,
  connection,
  sinks,
}: Options['credentials'][number]): CredentialConfig {
  return {
    name,
    resource:
      endpoint === undefined ? { kind: 'instance', name: instance ?? '' } : { kind: 'endpoint', name: endpoint },
    ttl,
    connection,
    sinks: sinks.flatMap(toSinks),
  };
}

/** The rules have made sure that there is exactly one of them. */
function toSinks({ file, secret }: Options['credentials'][number]['sinks'][number]): SinkConfig[] {
  if (file !== undefined) return [{ kind: 'file', ...file }];
  return secret === undefined ? [] : [{ kind: 'secret', ...secret }];
}
