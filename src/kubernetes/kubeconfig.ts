import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Cluster, User } from '@kubernetes/client-node/dist/config_types.js';
import { load } from 'js-yaml';
import type { SinkError } from '../credential/errors.ts';
import { noApiServer } from './api-errors.ts';
import { completeExec, type Exec } from './exec-info.ts';
import { type Impersonation, type ImpersonationHeaders, impersonationHeaders } from './impersonation.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

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

/** What the library can log in with and the bundle keeps; kubectl has dropped the others, too. */
const AUTH_PROVIDERS = new Set(['tokenFile', 'exec']);

/**
 * Loads the file into the library's `config`, with what the library leaves out or understands otherwise than kubectl.
 * Returns the headers that say as whom it asks. @throws SinkError
 */
export function loadKubeconfig(config: KubeConfig, path: string): ImpersonationHeaders {
  const text = readFile(path);
  const directory = dirname(path);
  let rest: ReturnType<typeof readRest>;
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(directory);
    rest = readRest(text, directory);
  } catch {
    // The parser's words would quote the file, which may hold keys.
    const remedy =
      'put a kubeconfig there, such as the output of `kubectl config view --minify --flatten` where kubectl works';
    throw refuseKubeconfig(path, text.trim() === '' ? 'is empty' : 'cannot be parsed', remedy);
  }
  const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()];
  if (cluster === null || user === null) {
    const remedy = 'set its current-context to one of its contexts, which names a cluster and a user of the same file';
    throw refuseKubeconfig(path, 'has no current-context, or one whose cluster or user is missing', remedy);
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
    const remedy = 'set `as` for its user, too, or remove as-uid, as-groups and as-user-extra';
    throw refuseKubeconfig(path, 'impersonates a uid, groups or extra fields, but no user', remedy);
  }
  return impersonation;
}

/** With a kubeconfig the service account of the pod is never used, so each remedy names that way out. */
export function refuseKubeconfig(path: string, problem: string, remedy: string, cause?: unknown): SinkError {
  const all = `${remedy}; or unset KUBECONFIG to use the service account of the pod`;
  return noApiServer(`the kubeconfig ${path} ${problem}`, all, cause);
}

function readFile(path: string): string {
  const remedy = 'set KUBECONFIG to the path of one file, not of several, that this process can read';
  try {
    if (!statSync(path).isFIFO()) return readFileSync(path, 'utf8');
  } catch (error) {
    throw refuseKubeconfig(path, `cannot be read (${(error as NodeJS.ErrnoException).code})`, remedy, error);
  }
  // Nobody may ever write to it.
  throw refuseKubeconfig(path, 'is a pipe, not a file', remedy);
}

function refuseUnsupported(path: string, cluster: Cluster, user: User): void {
  if (cluster.proxyUrl !== undefined) {
    const remedy = 'remove proxy-url from its cluster, and make the API server reachable from here without a proxy';
    throw refuseKubeconfig(path, 'requires a proxy, which is not supported', remedy);
  }
  // What is no URL, such as a host and a port alone, would be found at the first request only, and not by its name.
  const { protocol } = URL.parse(cluster.server) ?? {};
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw refuseKubeconfig(
      path,
      'names a server that is not an https URL',
      'set its server to a URL of the form https://host:port',
    );
  }
  if (protocol === 'http:' && !cluster.skipTLSVerify) {
    const remedy =
      'make its server begin with https://, or set insecure-skip-tls-verify: true if nobody else can read the traffic';
    throw refuseKubeconfig(path, 'names a server without TLS', remedy);
  }
  const provider = (user.authProvider as { readonly name?: string } | null)?.name;
  if (provider !== undefined && !AUTH_PROVIDERS.has(provider)) {
    const remedy = 'configure exec, tokenFile, token or a client certificate for its user instead of auth-provider';
    throw refuseKubeconfig(path, `uses the auth-provider ${provider}, which is not supported`, remedy);
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
