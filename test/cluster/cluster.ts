import { after } from 'node:test';
import { execa } from 'execa';
import { ClusterError } from './failure.ts';
import { loadImage } from './images.ts';
import { down, readRecord, setHostPorts, status, up, type UpOptions } from './lifecycle.ts';
import { files, network } from './layout.ts';
import { locatePrograms, whyNotBuilt } from './programs.ts';
import { findProgram, requireTools, whatIsMissing } from './requirements.ts';

/** A cluster that tests work with. */
export interface Cluster {
  readonly kubeconfig: string;
  readonly kubectlPath: string;
  /** It was started here, on this machine; otherwise it came with KUBECONFIG. */
  readonly isOwn: boolean;
  /** Runs kubectl and returns what it prints; `input` is its standard input, JSON unless it is a text. */
  kubectl(args: readonly string[], options?: { readonly input?: unknown }): Promise<string>;
  /** Makes the image in an archive available to pods. */
  loadImage(archive: string): Promise<void>;
  /** Lets pods reach a port of this machine's loopback address; returns `address:port` for them. */
  expose(port: number): Promise<string>;
}

export const existingKubeconfig =
  process.env['KUBECONFIG'] === files.kubeconfig ? undefined : process.env['KUBECONFIG'];
/** Address of this machine as pods of a cluster that is not ours see it. */
const hostOfExisting = process.env['TEST_CLUSTER_HOST'];
/** The command that gives the nodes of such a cluster the image in an archive, which is its last argument. */
const loaderOfExisting = process.env['TEST_CLUSTER_LOAD'];

/** Why tests that need a cluster are skipped, with what to do about it. */
export async function whyNoCluster(): Promise<string | undefined> {
  return existingKubeconfig === undefined ? ((await whatIsMissing()) ?? whyNotBuilt()) : undefined;
}

/** The cluster of KUBECONFIG, or one that is started, and stopped after the tests of the file if it was not up before. */
export async function useCluster(options: UpOptions = {}): Promise<Cluster> {
  if (existingKubeconfig !== undefined) return existingCluster(existingKubeconfig);
  const wasUp = (await status()) === 'up';
  if (!wasUp) after(() => down());
  await up(options);
  return ownCluster();
}

export async function existingCluster(kubeconfig: string): Promise<Cluster> {
  const kubectlPath = await findProgram('kubectl');
  if (kubectlPath === undefined) throw new ClusterError('kubectl is not on the PATH, and KUBECONFIG is set');
  return {
    kubeconfig,
    kubectlPath,
    isOwn: false,
    kubectl: (args, options) => kubectl(kubectlPath, kubeconfig, args, options?.input),
    loadImage: loadIntoExisting,
    expose: async (port) => {
      if (hostOfExisting !== undefined) return `${hostOfExisting}:${port}`;
      throw new ClusterError('set TEST_CLUSTER_HOST to the address under which pods reach this machine');
    },
  };
}

async function loadIntoExisting(archive: string): Promise<void> {
  const [program, ...args] = loaderOfExisting?.split(' ') ?? [];
  if (program === undefined) {
    throw new ClusterError(
      'set TEST_CLUSTER_LOAD to the command that loads an archive, such as "kind load image-archive"',
    );
  }
  await execa(program, [...args, archive]);
}

/** The one of `up`. */
export async function ownCluster(): Promise<Cluster> {
  const programs = await locatePrograms();
  const kubectlPath = programs['kubectl']!;
  const { kubeconfig } = files;
  return {
    kubeconfig,
    kubectlPath,
    isOwn: true,
    kubectl: (args, options) => kubectl(kubectlPath, kubeconfig, args, options?.input),
    loadImage: (archive) => loadImage(programs, archive),
    expose: async (port) => {
      const { hostPorts } = await readRecord();
      await setHostPorts(await requireTools({ installs: false }), [...new Set([...hostPorts, port])]);
      return `${network.nodeAddress}:${port}`;
    },
  };
}

async function kubectl(path: string, kubeconfig: string, args: readonly string[], input: unknown): Promise<string> {
  const text = input === undefined || typeof input === 'string' ? input : JSON.stringify(input);
  const { stdout } = await execa(path, args, {
    env: { KUBECONFIG: kubeconfig },
    ...(text === undefined ? { stdin: 'ignore' } : { input: text }),
  });
  return stdout;
}
