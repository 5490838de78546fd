import { readFileSync, statSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Cluster, User } from '@kubernetes/client-node/dist/config_types.js';
import { load } from 'js-yaml';
import { SinkError } from '../credential/errors.ts';
import { quotable } from './api-errors.ts';
import { completeExec, type Exec } from './exec-info.ts';
import { type Impersonation, type ImpersonationHeaders, impersonationHeaders } from './impersonation.ts';
import { startLogin } from './login-program.ts';
import { serverNameOptions } from './server-name.ts';

/** How to reach the API server for one request. Certificates and tokens are rotated on disk: those are read each time, these once a minute. */
export interface Access {
  readonly server: string;
  /** TLS and headers. */
  readonly options: RequestOptions;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Of the library: what runs a program has `execFn` and keeps what that printed, what reads a file keeps a `token`. */
interface Authenticator {
  execFn?: unknown;
  tokenCache?: object;
  token?: string | null;
}

/** As much of a kubeconfig as the library leaves out. */
interface Rest {
  readonly clusters?:
    | readonly {
        readonly name: string;
        readonly cluster?: {
          readonly extensions?: readonly { readonly name: string; readonly extension: unknown }[] | null;
        } | null;
      }[]
    | null;
  readonly users?:
    | readonly { readonly name: string; readonly user?: (Impersonation & { readonly tokenFile?: string }) | null }[]
    | null;
}

export type Connect = () => Promise<Access>;

/** What the library can log in with and the bundle keeps; kubectl has dropped the others, too. */
const AUTH_PROVIDERS = new Set(['tokenFile', 'exec']);

/**
 * The service account of the pod, or the current context of a kubeconfig file. Of the client library only this part is
 * loaded: its models of everything that Kubernetes knows would double the process. @throws SinkError
 */
export async function openConnection(kubeconfig: string | undefined): Promise<Connect> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  const { authenticators } = config as unknown as { readonly authenticators: readonly Authenticator[] };
  for (const authenticator of authenticators) if ('execFn' in authenticator) authenticator.execFn = startLogin;
  let impersonation: ImpersonationHeaders = {};
  if (kubeconfig === undefined) loadServiceAccount(config);
  else impersonation = loadFile(config, kubeconfig);
  const connect = async (): Promise<Access> => {
    const options: RequestOptions = {};
    // It keeps what it has read for a minute, which would be without a login where the file was about to be written.
    for (const one of authenticators) if (one.token?.trim() === '') one.token = null;
    try {
      await config.applyToHTTPSOptions(options);
      if (config.getCurrentUser()?.exec && !hasLogin(options)) throw new TypeError('neither a token nor a certificate');
    } catch (error) {
      // It keeps also what is no login, and until when it is one stands in what is missing: that would be for ever.
      for (const one of authenticators) if (one.tokenCache !== undefined) one.tokenCache = {};
      throw inWords(error);
    }
    // The line break at the end of a token's file may stand in no header.
    const headers = Object.entries(options.headers ?? {}).map(([name, value]) => [name, String(value).trim()]);
    return {
      server: config.getCurrentCluster()?.server ?? '',
      options: {
        ...options,
        ...serverNameOptions(options.servername),
        headers: { ...Object.fromEntries(headers), ...impersonation },
      },
    };
  };
  await tryOut(connect, kubeconfig);
  let running: Promise<Access> | undefined;
  // Whoever asks meanwhile shares it: when a login expires, its program runs once, and not for each Secret that is watched.
  return async () => await (running ??= connect().finally(() => (running = undefined)));
}

/** Tells a kubeconfig from what it was before; undefined where there is none, or none any more. */
export function stateOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const { ino, mtimeMs } = statSync(path);
    return `${ino} ${mtimeMs}`;
  } catch {
    return undefined;
  }
}

/** Without one the API server takes us for nobody, and says that this nobody may not do it (403). */
function hasLogin({ cert, headers = {} }: RequestOptions): boolean {
  return cert !== undefined || 'Authorization' in headers;
}

function loadServiceAccount(config: KubeConfig): void {
  config.loadFromCluster();
  // The library makes the address of the two variables without a look at them: https://undefined:undefined.
  if (config.getCurrentCluster()?.server.includes('undefined')) {
    throw refusePod('this is no pod (KUBERNETES_SERVICE_HOST is not set), and KUBECONFIG is not set either');
  }
}

/** Returns the headers that say as whom it asks. */
function loadFile(config: KubeConfig, path: string): ImpersonationHeaders {
  const text = readFile(path);
  const directory = dirname(path);
  let rest: ReturnType<typeof readRest>;
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(directory);
    rest = readRest(text, directory);
  } catch {
    // The parser's words would quote the file, which may hold keys.
    const remedy = 'put one there, such as `kubectl config view --minify --flatten` prints where kubectl works';
    throw refuseFile(path, text.trim() === '' ? 'is empty' : 'does not parse', remedy);
  }
  const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()];
  if (cluster === null || user === null) {
    const remedy = 'let its current-context name one of its contexts, and that a cluster and a user of the same file';
    throw refuseFile(path, 'has no current-context, or one without its cluster and user', remedy);
  }
  const tokenFile = rest.tokenFiles.get(user.name);
  // The library knows this key by another name than kubectl, and would read the file once only.
  if (tokenFile !== undefined) {
    (user as Writable<User>).authProvider = { name: 'tokenFile', config: { tokenFile } };
    delete (user as Writable<User>).token; // of both the file counts, as with kubectl: what stands here is never renewed
  }
  refuseUnsupported(path, cluster, user);
  if (user.exec) completeExec(user.exec as Exec, cluster, directory, rest.configs.get(cluster.name));
  const impersonation = rest.impersonations.get(user.name) ?? {};
  if (Object.keys(impersonation).length > 0 && !('Impersonate-User' in impersonation)) {
    const remedy = 'let its user have `as`, too, or none of as-uid, as-groups and as-user-extra';
    throw refuseFile(path, 'says as which uid or groups to ask, and not as whom', remedy);
  }
  return impersonation;
}

function readFile(path: string): string {
  const remedy = 'let KUBECONFIG name one file, not a list of them, that this process may read';
  try {
    if (!statSync(path).isFIFO()) return readFileSync(path, 'utf8');
  } catch (error) {
    throw refuseFile(path, `cannot be read (${codeOf(error)})`, remedy, error);
  }
  // Nobody may ever write to it.
  throw refuseFile(path, 'is a pipe, not a file', remedy);
}

function refuseUnsupported(path: string, cluster: Cluster, user: User): void {
  if (cluster.proxyUrl !== undefined) {
    const remedy = 'remove proxy-url from its cluster, and let the API server be reached from here without a proxy';
    throw refuseFile(path, 'asks for a proxy, which is not supported', remedy);
  }
  // What is no URL, such as a host and a port alone, would be found at the first request only, and not by its name.
  const { protocol } = URL.parse(cluster.server) ?? {};
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw refuseFile(path, 'names a server that is no https URL', 'let its server be of the form https://host:port');
  }
  if (protocol === 'http:' && !cluster.skipTLSVerify) {
    const remedy =
      'let its server begin with https://, or set insecure-skip-tls-verify: true where nobody else listens';
    throw refuseFile(path, 'names a server without TLS', remedy);
  }
  const provider = (user.authProvider as { readonly name?: string } | null)?.name;
  if (provider !== undefined && !AUTH_PROVIDERS.has(provider)) {
    const remedy = 'let its user log in with exec, tokenFile, token or a client certificate instead of auth-provider';
    throw refuseFile(path, `logs in with the provider ${provider}, which is not supported`, remedy);
  }
}

/** What the library does not take from the file. @throws TypeError where that is not what a kubeconfig has */
function readRest(text: string, directory: string) {
  const { clusters, users } = load(text) as Rest;
  return {
    /** By the names of the users. */
    tokenFiles: new Map(
      (users ?? []).flatMap(({ name, user }) => (user?.tokenFile ? [[name, resolve(directory, user.tokenFile)]] : [])),
    ),
    /** By the names of the users: the headers that say as whom they ask. */
    impersonations: new Map((users ?? []).map(({ name, user }) => [name, impersonationHeaders(user ?? {})])),
    /** By the names of the clusters: what each has for the program that logs in. */
    configs: new Map(
      (clusters ?? []).map(({ name, cluster }) => [name, cluster?.extensions?.find(isForExec)?.extension]),
    ),
  };
}

function isForExec({ name }: { readonly name: string }): boolean {
  return name === 'client.authentication.k8s.io/exec';
}

/** What is missing on disk is better known at the start than at the first write. */
async function tryOut(connect: Connect, kubeconfig: string | undefined): Promise<void> {
  try {
    await connect();
  } catch (error) {
    const problem = `${(error as NodeJS.ErrnoException).path ?? ''} ${codeOf(error)}`.trim();
    if (kubeconfig === undefined) throw refusePod(`no service account is mounted in this pod (${problem})`, error);
    const remedy =
      'mend what it names: files that this process may read, or a program that it can run and that succeeds';
    throw refuseFile(kubeconfig, `cannot be used: ${problem}`, remedy, error);
  }
}

/** With a kubeconfig the service account of the pod is never used, so each remedy names that way out. */
function refuseFile(path: string, problem: string, remedy: string, cause?: unknown): SinkError {
  const all = `${remedy}; or unset KUBECONFIG to use the service account of the pod`;
  return refusal(`the kubeconfig ${path} ${problem}`, all, cause);
}

function refusePod(reason: string, cause?: unknown): SinkError {
  const remedy =
    'let the pod mount the token of its service account (automountServiceAccountToken: true), or set KUBECONFIG';
  return refusal(reason, remedy, cause);
}

function refusal(reason: string, remedy: string, cause: unknown): SinkError {
  return new SinkError('refused', `the API server cannot be found: ${reason}`, { remedy, cause });
}

/**
 * A parser of JSON quotes what the program printed, which may be the token, so its error is replaced. The words of all
 * other errors are kept, scrubbed.
 */
function inWords(error: unknown): unknown {
  if (error instanceof SyntaxError || error instanceof TypeError) {
    return new Error('the program that logs in printed no ExecCredential');
  }
  if (!(error instanceof Error) || 'code' in error) return error;
  const words = quotable(error.message);
  return new Error(words === '' ? 'the program that logs in failed without a word' : words);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : 'failed');
}
