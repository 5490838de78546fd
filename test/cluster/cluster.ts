import { execa } from 'execa';
import { undoAfter, type Cleanup } from '../support/cleanup.ts';
import { ClusterError } from './failure.ts';
import { closeHostPort, openHostPort } from './host-network.ts';
import { loadImage } from './images.ts';
import { down, status, up, type UpOptions } from './lifecycle.ts';
import { files, network } from './layout.ts';
import { locatePrograms, whyNotBuilt } from './programs.ts';
import { findProgram, requireTools, whatIsMissing } from './requirements.ts';

/** A cluster that tests work with. */
export interface Cluster {
  readonly kubeconfig: string;
  readonly kubectlPath: string;
  /** This machine's address as pods see it. */
  readonly hostAddress: string;
  /** Runs kubectl and returns what it prints; `input` is its standard input, JSON unless it is a text. */
  kubectl(args: readonly string[], options?: { readonly input?: unknown }): Promise<string>;
  /** Makes the image in an archive available to pods. */
  loadImage(archive: string): Promise<void>;
  /** Lets pods reach a port of this machine's loopback address at `hostAddress`, until the test is over. */
  expose(t: Cleanup, port: number): Promise<void>;
}

export const existingKubeconfig =
  process.env['KUBECONFIG'] === files.kubeconfig ? undefined : process.env['KUBECONFIG'];
/** Address of this machine as pods of a cluster that is not ours see it. */
const hostOfExisting = process.env['TEST_CLUSTER_HOST'];
/** The command that gives the nodes of such a cluster the image in an archive, which is its last argument. */
const loaderOfExisting = process.env['TEST_CLUSTER_LOAD'];

/** Whoever runs many files has started the cluster for all of them, and has loaded the images. */
export const isPrepared = process.env['TEST_CLUSTER_LOADED'] !== undefined;

/** Why tests that need a cluster are skipped, with what to do about it. */
export async function whyNoCluster(): Promise<string | undefined> {
  if (existingKubeconfig === undefined) return (await whatIsMissing()) ?? whyNotBuilt();
  if ((await findProgram('kubectl')) !== undefined) return undefined;
  return 'KUBECONFIG is set, and kubectl is not on the PATH: install it, or unset KUBECONFIG';
}

/** Why tests are skipped whose pods run images of ours, and call servers on this machine. */
export async function whyNoPods(): Promise<string | undefined> {
  const why = await whyNoCluster();
  if (why !== undefined || existingKubeconfig === undefined) return why;
  const missing = Object.entries({ TEST_CLUSTER_HOST: hostOfExisting, TEST_CLUSTER_LOAD: loaderOfExisting })
    .filter(([, value]) => value === undefined)
    .map(([name]) => name);
  if (missing.length === 0) return undefined;
  return `for the cluster of KUBECONFIG, ${missing.join(' and ')} must be set, too (docs/images.md says to what)`;
}

/** Why tests are skipped whose pods log in to a workspace over TLS, as the chart wants it. */
export async function whyNoTrustedPods(): Promise<string | undefined> {
  if (process.env['TEST_CLUSTER_IMAGE'] === undefined) return whyNoPods();
  return 'the image of TEST_CLUSTER_IMAGE does not trust the stand-in workspace: leave it out, and one is built that does';
}

/** Why tests are skipped that look at the node from outside of its pods. */
export const whyNotOwn =
  existingKubeconfig === undefined
    ? undefined
    : 'looks at processes or files of the node, which is only this machine in a cluster of its own: unset KUBECONFIG';

/** The cluster of KUBECONFIG, or one that is started, and stopped after the test if it was not up before. */
export async function useCluster(t: Cleanup, options: UpOptions = {}): Promise<Cluster> {
  if (existingKubeconfig !== undefined) return existingCluster(existingKubeconfig);
  // Then it is not asked whether it is up: an answer that takes too long would have it stopped after this test, for all others, too.
  if (!isPrepared && (await status()) !== 'up') {
    t.after(() => down());
    await up(options);
  }
  return ownCluster();
}

export async function existingCluster(kubeconfig: string): Promise<Cluster> {
  const kubectlPath = await findProgram('kubectl');
  if (kubectlPath === undefined) throw new ClusterError('kubectl is not on the PATH, and KUBECONFIG is set');
  return {
    kubeconfig,
    kubectlPath,
    hostAddress: hostOfExisting ?? '',
    kubectl: (args, options) => kubectl(kubectlPath, kubeconfig, args, options?.input),
    loadImage: loadIntoExisting,
    expose: async () => {}, // TEST_CLUSTER_HOST is said to reach every port
  };
}

async function loadIntoExisting(archive: string): Promise<void> {
  const [program = '', ...args] = loaderOfExisting?.split(' ') ?? [];
  await execa(program, [...args, archive]);
}

/** The one of `up`. */
export async function ownCluster(): Promise<Cluster> {
  const programs = await locatePrograms();
  const tools = await requireTools({ installs: false });
  const kubectlPath = programs['kubectl']!;
  const { kubeconfig } = files;
  return {
    kubeconfig,
    kubectlPath,
    hostAddress: network.nodeAddress,
    kubectl: (args, options) => kubectl(kubectlPath, kubeconfig, args, options?.input),
    loadImage: (archive) => loadImage(programs, archive),
    expose: async (t, port) => {
      await openHostPort(tools, port);
      undoAfter(t, () => closeHostPort(tools, port));
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
