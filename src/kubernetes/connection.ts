import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { User } from '@kubernetes/client-node/dist/config_types.js';
import { load } from 'js-yaml';
import { SinkError } from '../credential/errors.ts';

/** How to reach the API server for one request, read afresh: certificates and tokens are rotated on disk. */
export interface Access {
  readonly server: string;
  /** TLS and headers. */
  readonly options: RequestOptions;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

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
  if (kubeconfig === undefined) loadServiceAccount(config);
  else loadFile(config, kubeconfig);
  const connect = async (): Promise<Access> => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    // The library's agent remembers the first certificates for ever.
    delete options.agent;
    return { server: config.getCurrentCluster()?.server ?? '', options };
  };
  await tryOut(connect, kubeconfig);
  return connect;
}

function loadServiceAccount(config: KubeConfig): void {
  config.loadFromCluster();
  if (config.getCurrentCluster()?.server.includes('undefined')) {
    throw refusePod('this is no pod (KUBERNETES_SERVICE_HOST is not set), and KUBECONFIG is not set either');
  }
}

function loadFile(config: KubeConfig, path: string): void {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw refuseFile(path, `cannot be read (${codeOf(error)})`, error);
  }
  try {
    config.loadFromFile(path);
  } catch {
    // The parser's words would quote the file, which may hold keys.
    throw refuseFile(path, text.trim() === '' ? 'is empty' : 'does not parse');
  }
  const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()];
  if (cluster === null || user === null) {
    throw refuseFile(path, 'has no current-context, or one without its cluster and user');
  }
  const tokenFile = readTokenFile(text, user.name);
  // The library knows this key by another name than kubectl, and would read the file once only.
  if (tokenFile !== undefined) {
    (user as Writable<User>).authProvider = {
      name: 'tokenFile',
      config: { tokenFile: resolve(dirname(path), tokenFile) },
    };
  }
  if (cluster.proxyUrl !== undefined) throw refuseFile(path, 'asks for a proxy, which is not supported');
  const provider = (user.authProvider as { readonly name?: string } | null)?.name;
  if (provider !== undefined && !AUTH_PROVIDERS.has(provider)) {
    throw refuseFile(path, `logs in with the provider ${provider}, which is not supported: use exec`);
  }
}

function readTokenFile(text: string, userName: string): string | undefined {
  const { users } = load(text) as {
    readonly users?: readonly { readonly name: string; readonly user?: { readonly tokenFile?: string } }[];
  };
  return users?.find(({ name }) => name === userName)?.user?.tokenFile;
}

/** What is missing on disk is better known at the start than at the first write. */
async function tryOut(connect: Connect, kubeconfig: string | undefined): Promise<void> {
  try {
    await connect();
  } catch (error) {
    const path = (error as NodeJS.ErrnoException).path ?? '';
    throw kubeconfig === undefined
      ? refusePod(`no service account is mounted in this pod (${path} ${codeOf(error)})`, error)
      : refuseFile(kubeconfig, `cannot be used: ${path} ${codeOf(error)}`, error);
  }
}

/** Where there is a kubeconfig nobody asks the pod, whatever that mounts. */
function refuseFile(path: string, problem: string, cause?: unknown): SinkError {
  const remedy =
    'mend the file that KUBECONFIG names: `kubectl --kubeconfig FILE get secrets` must work from here with nothing else; or unset KUBECONFIG to use the service account of the pod';
  return refusal(`the kubeconfig ${path} ${problem}`, remedy, cause);
}

function refusePod(reason: string, cause?: unknown): SinkError {
  const remedy =
    'let the pod mount the token of its service account (automountServiceAccountToken: true), or set KUBECONFIG';
  return refusal(reason, remedy, cause);
}

function refusal(reason: string, remedy: string, cause: unknown): SinkError {
  const options = cause === undefined ? { remedy } : { remedy, cause };
  return new SinkError('refused', `the API server cannot be found: ${reason}`, options);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : 'failed');
}
