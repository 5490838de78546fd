import { statSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { SinkError } from '../credential/errors.ts';
import { OPEN_FILES_REMEDIES } from '../credential/failures.ts';
import { SECRET_SHAPES } from '../credential/redact.ts';
import { noApiServer, quotable } from './api-errors.ts';
import { loadKubeconfig, refuseKubeconfig } from './kubeconfig.ts';
import { startLogin } from './login-program.ts';
import { serverNameOptions } from './server-name.ts';

/** How to reach the API server for one request. Certificates and tokens are rotated on disk: those are read each time, these once a minute. */
export interface Access {
  readonly server: string;
  /** TLS and headers. */
  readonly options: RequestOptions;
}

/** Of the library: the one that runs a program has `execFn` and caches what that printed, the one that reads a file a `token`. */
interface Authenticator {
  execFn?: unknown;
  tokenCache?: object;
  token?: string | null;
}

/** Also whatever has a digit after `token:`, and what is long: a program may log in with what looks like none of the CLI's secrets. */
const LOGINS: readonly RegExp[] = [
  ...SECRET_SHAPES,
  /((?:secret|token|password|assertion)["']?\s*[:=]\s*["']?)(?=\S*\d)[^\s"',&}]+/gi,
  /(?=[\w+=-]*[A-Za-z])(?=[\w+=-]*\d)[\w+=-]{64,}/g,
];

export type Connect = () => Promise<Access>;

/**
 * The service account of the pod, or the current context of a kubeconfig file. Of the client library only this part is
 * loaded: its models of everything that Kubernetes knows would double the process. @throws SinkError
 */
export async function openConnection(kubeconfig: string | undefined): Promise<Connect> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  const { authenticators } = config as unknown as { readonly authenticators: readonly Authenticator[] };
  for (const authenticator of authenticators) if ('execFn' in authenticator) authenticator.execFn = startLogin;
  if (kubeconfig === undefined) loadServiceAccount(config);
  const impersonation = kubeconfig === undefined ? {} : loadKubeconfig(config, kubeconfig);
  const connect = async (): Promise<Access> => {
    const options: RequestOptions = {};
    // The library caches what it has read for a minute: an empty file, just about to be written, would be no login for as long.
    for (const one of authenticators) if (one.token?.trim() === '') one.token = null;
    try {
      await config.applyToHTTPSOptions(options);
      if (config.getCurrentUser()?.exec && !hasLogin(options)) throw new TypeError('neither a token nor a certificate');
    } catch (error) {
      // The library also caches what is no login, until the instant that a login would name: without one, for ever.
      for (const one of authenticators) if (one.tokenCache !== undefined) one.tokenCache = {};
      throw inWords(error);
    }
    // The file of a token may end with a line break, which no header may contain.
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

/** Differs when the kubeconfig was replaced or written; undefined where there is none, or none any more. */
export function stateOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const { ino, mtimeMs } = statSync(path);
    return `${ino} ${mtimeMs}`;
  } catch {
    return undefined;
  }
}

/** Without one the API server takes the request for anonymous, and its 403 would only speak of missing permissions. */
function hasLogin({ cert, headers = {} }: RequestOptions): boolean {
  return cert !== undefined || 'Authorization' in headers;
}

function loadServiceAccount(config: KubeConfig): void {
  config.loadFromCluster();
  // The library makes the address of the two variables without a look at them: https://undefined:undefined.
  if (config.getCurrentCluster()?.server.includes('undefined')) {
    throw refusePod('this is not a pod (KUBERNETES_SERVICE_HOST is not set), and KUBECONFIG is not set either');
  }
}

const READABLE = 'files that this process can read, or a login program that it can run and that succeeds';
const MOUNT =
  'mount the token of the service account in the pod (automountServiceAccountToken: true), or set KUBECONFIG';
/** A program needs files for its pipes. */
const REMEDIES: Readonly<Record<string, string>> = OPEN_FILES_REMEDIES;

/** At a later request, which has not been sent. `reason` is given where the error itself does not tell it. */
export function noLogin(kubeconfig: string | undefined, error: Error, reason = problemOf(error)): SinkError {
  const whose = kubeconfig === undefined ? 'the service account of the pod' : `the kubeconfig ${kubeconfig}`;
  const remedy = kubeconfig === undefined ? MOUNT : `fix what the kubeconfig refers to: ${READABLE}`;
  return new SinkError('unreachable', `cannot log in to the API server with ${whose}: ${reason}`, {
    cause: error,
    remedy: REMEDIES[codeOf(error)] ?? remedy,
  });
}

/** What is missing on disk is better known at the start than at the first write. */
async function tryOut(connect: Connect, kubeconfig: string | undefined): Promise<void> {
  try {
    await connect();
  } catch (error) {
    const problem = problemOf(error);
    if (kubeconfig === undefined) throw refusePod(`no service account is mounted in this pod (${problem})`, error);
    throw refuseKubeconfig(kubeconfig, `cannot be used: ${problem}`, `fix what it refers to: ${READABLE}`, error);
  }
}

function refusePod(reason: string, cause?: unknown): SinkError {
  return noApiServer(reason, MOUNT, cause);
}

/**
 * A parser of JSON quotes what the program printed, which may be the token, so its error is replaced. The words of all
 * other errors are kept, scrubbed.
 */
function inWords(error: unknown): unknown {
  if (error instanceof SyntaxError || error instanceof TypeError) {
    return new Error('the login program did not print an ExecCredential');
  }
  if (!(error instanceof Error) || 'code' in error) return error;
  const words = quotable(error.message, [], LOGINS);
  return new Error(words === '' ? 'the login program failed without output' : words);
}

function problemOf(error: unknown): string {
  return `${(error as NodeJS.ErrnoException).path ?? ''} ${codeOf(error)}`.trim();
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : 'failed');
}
