import { homedir } from 'node:os';
import { join } from 'node:path';

export const cacheDirectory =
  process.env['TEST_CLUSTER_CACHE'] ?? join(userCache(), 'lakebase-credential-sidecar', 'cluster');

/** The user's cache folder; everything that the cluster writes is below it, except for what Linux itself holds. */
function userCache(): string {
  return process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
}

/** What is built once and kept. */
export const programsDirectory = join(cacheDirectory, 'programs');
/** Archives of the images of applications, and what the sidecar's image for tests trusts. */
export const appsDirectory = join(cacheDirectory, 'apps');
/** Layers of images, so that the next build is quick. */
export const imageStoreDirectory = join(cacheDirectory, 'images');
/** What a running cluster writes; gone once it is down. */
export const stateDirectory = join(cacheDirectory, 'state');
/** Sockets, whose paths may not be long, and what containerd mounts. */
export const runtimeDirectory = '/run/lakebase-test';
/** Held while a cluster starts or stops. */
export const lockFile = join(cacheDirectory, 'lock');
/** Held while a release of the chart may inject every pod that has the label. */
export const injectionLockFile = join(cacheDirectory, 'injection.lock');
/** Held while an image is built. */
export const imageLockFile = join(cacheDirectory, 'images.lock');

export function state(...path: readonly string[]): string {
  return join(stateDirectory, ...path);
}

export function auditLog(root = stateDirectory): string {
  return join(root, 'audit.log');
}

export const files = {
  kubeconfig: state('admin.kubeconfig'),
  record: state('cluster.json'),
  kernelSettings: state('kernel-settings.json'),
  auditLog: auditLog(),
  containerdSocket: join(runtimeDirectory, 'containerd.sock'),
} as const;

export function logFile(daemon: string): string {
  return state('logs', `${daemon}.log`);
}

/** The pods' network: a bridge whose own address is the node's, because a node may not have a loopback address. */
export const network = {
  name: 'lakebase-test',
  nodeAddress: '10.244.77.1',
  podSubnet: '10.244.77.0/24',
  serviceSubnet: '10.96.0.0/16',
  /** Where pods find the API server. */
  apiServiceAddress: '10.96.0.1',
} as const;

/** A name that resolves to a loopback address, so that the API server finds the kubelet there. */
export const nodeName = 'localhost';
