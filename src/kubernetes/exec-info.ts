import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Cluster } from '@kubernetes/client-node/dist/config_types.js';

/** How the user of a kubeconfig logs in with a program. */
export interface Exec {
  readonly apiVersion?: unknown;
  command?: unknown;
  readonly provideClusterInfo?: unknown;
  env?: readonly { readonly name: string; readonly value: string }[] | null;
}

/**
 * The library starts the program from wherever this process was started, and tells it nothing. kubectl looks for `./login`
 * beside the kubeconfig, and says in a variable which version of an answer is asked for and, if that is wanted, by which
 * cluster; some programs fail without it. `config` is what the kubeconfig has for the program in its cluster.
 */
export function completeExec(exec: Exec, cluster: Cluster, directory: string, config: unknown): void {
  const { apiVersion, command, env, provideClusterInfo } = exec;
  if (typeof command === 'string' && command.includes('/')) exec.command = resolve(directory, command);
  const spec = { ...(provideClusterInfo === true && { cluster: infoOf(cluster, config) }), interactive: false };
  const value = JSON.stringify({ kind: 'ExecCredential', apiVersion, spec });
  exec.env = [...(Array.isArray(env) ? env : []), { name: 'KUBERNETES_EXEC_INFO', value }];
}

function infoOf(cluster: Cluster, config: unknown): object {
  return {
    server: cluster.server,
    'tls-server-name': cluster.tlsServerName,
    'insecure-skip-tls-verify': cluster.skipTLSVerify || undefined,
    'certificate-authority-data': cluster.caData ?? readAuthority(cluster.caFile),
    config,
  };
}

function readAuthority(path: string | undefined): string | undefined {
  try {
    return path === undefined ? undefined : readFileSync(path, 'base64');
  } catch {
    return undefined; // the next request needs it, too, and says what is wrong
  }
}
