import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { writeCertificates } from './certificates.ts';
import {
  apiserver,
  controllerManager,
  etcd,
  scheduler,
  writeAuditPolicy,
  writeKubeconfig,
  type Ports,
} from './control-plane.ts';
import { killAll, processesOf, startDaemon, waitUntil, type Daemon } from './daemons.ts';
import { ClusterError } from './failure.ts';
import { createBridge, redirectPods, removeHostNetwork, setHostPorts } from './host-network.ts';
import { loadPauseImage } from './images.ts';
import { restoreKernelSettings, saveKernelSettings } from './kernel-settings.ts';
import { files, lockFile, nodeName, runtimeDirectory, stateDirectory } from './layout.ts';
import {
  foreignPodProcesses,
  killPods,
  mountsBelow,
  removePodCgroups,
  removeStrayFiles,
  unmountBelow,
} from './leftovers.ts';
import { withLock } from './lock.ts';
import { containerd, kubelet, writeNodeConfig } from './node.ts';
import { choosePorts } from './ports.ts';
import { buildPrograms, locatePrograms, type Programs } from './programs.ts';
import { requireTools, type Tools } from './requirements.ts';

export interface UpOptions {
  /** Ports of this machine's loopback address that pods may reach, at the node's address; left out, they stay. */
  readonly hostPorts?: readonly number[];
  readonly hasAuditLog?: boolean;
  /** Whether missing Debian packages are installed. */
  readonly installs?: boolean;
  readonly report?: (line: string) => void;
}

/** What was decided at the start of the running cluster. */
export interface ClusterRecord {
  readonly ports: Ports;
  readonly hasAuditLog: boolean;
}

export type Condition = 'up' | 'down' | 'broken';

const READY_MS = 90_000;
/** What runs, in the order in which it ends: who would start or mend the others comes first. */
const DAEMONS = ['kubelet', 'kube-controller-manager', 'kube-scheduler'] as const;
const DAEMONS_BELOW_PODS = ['containerd-shim-runc-v2', 'containerd', 'kube-apiserver', 'etcd'] as const;

export async function status(): Promise<Condition> {
  const programs = await locatePrograms();
  const expected = [...DAEMONS, ...DAEMONS_BELOW_PODS].map((name) => programs[name]!);
  const running = await processesOf(expected);
  const hasState = await stat(stateDirectory).catch(() => undefined);
  if (hasState === undefined && running.size === 0) return 'down';
  const shim = programs['containerd-shim-runc-v2'];
  const isComplete = expected.every((program) => program === shim || running.has(program));
  return isComplete && (await isNodeReady(programs)) ? 'up' : 'broken';
}

/** Starts the cluster, or leaves a running one as it is but for the ports; what is broken is started afresh. */
export async function up(options: UpOptions = {}): Promise<ClusterRecord> {
  const { installs = false, report = () => {} } = options;
  const tools = await requireTools({ installs });
  return withLock(lockFile, async () => {
    const programs = await buildPrograms(report);
    const condition = await status();
    if (condition === 'up') return adjust(tools, options);
    if (condition === 'broken') {
      report('cleaning up after a cluster that is broken');
      await remove(tools, programs);
    }
    if ((await foreignPodProcesses()).length > 0) {
      throw new ClusterError(
        'another kubelet runs pods on this machine (control group kubepods): set KUBECONFIG instead',
      );
    }
    try {
      return await start(tools, programs, options);
    } catch (error) {
      await remove(tools, programs);
      throw error;
    }
  });
}

/** Ends everything and removes every trace but the programs, however much of it is still alive. */
export async function down(): Promise<void> {
  if ((await status()) === 'down') return;
  const tools = await requireTools({ installs: false });
  await withLock(lockFile, async () => remove(tools, await locatePrograms()));
}

export async function readRecord(): Promise<ClusterRecord> {
  return JSON.parse(await readFile(files.record, 'utf8')) as ClusterRecord;
}

async function adjust(tools: Tools, { hostPorts, hasAuditLog }: UpOptions): Promise<ClusterRecord> {
  const record = await readRecord();
  if (hasAuditLog !== undefined && hasAuditLog !== record.hasAuditLog) {
    const present = record.hasAuditLog ? 'with' : 'without';
    throw new ClusterError(`the cluster runs ${present} an audit log: stop it first ("npm run cluster -- down")`);
  }
  if (hostPorts !== undefined) await setHostPorts(tools, hostPorts);
  return record;
}

async function start(
  tools: Tools,
  programs: Programs,
  { hostPorts = [], hasAuditLog = false, report = () => {} }: UpOptions,
): Promise<ClusterRecord> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  await saveKernelSettings();
  const ports = await choosePorts();
  const record = { ports, hasAuditLog };
  const options = { programs, ports, hasAuditLog, tools };
  await writeRecord(record);
  await writeCertificates();
  await Promise.all([
    ...(['admin', 'controller-manager', 'scheduler', 'kubelet'] as const).map((name) => writeKubeconfig(name, ports)),
    writeAuditPolicy(),
    writeNodeConfig(options),
  ]);
  await createBridge(tools);
  await redirectPods(tools, ports.apiserver);
  await setHostPorts(tools, hostPorts);

  report('starting etcd, the API server and containerd');
  const below = [etcd(options), apiserver(options), containerd(options)];
  await startAll(below);
  await until(
    'containerd answers',
    () => succeeds(programs['ctr']!, ['--address', files.containerdSocket, 'version']),
    below,
  );
  await loadPauseImage(programs);
  await until('the API server is ready', () => asksKubectl(programs, ['get', '--raw', '/readyz']), below);

  report('starting the controller manager, the scheduler and the kubelet');
  const all = [...below, controllerManager(options), scheduler(options), kubelet(options)];
  await startAll(all.slice(below.length));
  await until('the node is ready', () => isNodeReady(programs), all);
  // Until then no pod can be created.
  await until('there is a service account', () => asksKubectl(programs, ['get', 'serviceaccount', 'default']), all);
  return record;
}

async function remove(tools: Tools, programs: Programs): Promise<void> {
  for (const name of DAEMONS) await killDaemon(programs, name);
  await killPods();
  for (const name of DAEMONS_BELOW_PODS) await killDaemon(programs, name);
  await unmountBelow([stateDirectory, runtimeDirectory]);
  await removeHostNetwork(tools);
  await restoreKernelSettings();
  await removePodCgroups();
  await removeStrayFiles();
  const mounts = await mountsBelow([stateDirectory, runtimeDirectory]);
  // Removing what is mounted there would remove the files of others.
  if (mounts.length > 0) throw new ClusterError(`cannot unmount ${mounts.join(', ')}`);
  await rm(runtimeDirectory, { recursive: true, force: true });
  await rm(stateDirectory, { recursive: true, force: true });
}

async function killDaemon(programs: Programs, name: string): Promise<void> {
  await killAll(async () => [...(await processesOf([programs[name]!])).values()].flat(), name);
}

async function startAll(daemons: readonly Daemon[]): Promise<void> {
  await Promise.all(daemons.map((daemon) => startDaemon(daemon)));
}

async function until(what: string, isTrue: () => Promise<boolean>, daemons: readonly Daemon[]): Promise<void> {
  await waitUntil(what, isTrue, { daemons, timeoutMs: READY_MS });
}

async function isNodeReady(programs: Programs): Promise<boolean> {
  return asksKubectl(programs, ['wait', `node/${nodeName}`, '--for=condition=Ready', '--timeout=0s']);
}

async function asksKubectl(programs: Programs, args: readonly string[]): Promise<boolean> {
  return succeeds(programs['kubectl']!, [`--kubeconfig=${files.kubeconfig}`, '--request-timeout=5s', ...args]);
}

async function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  const { failed } = await execa(program, args, { reject: false, timeout: 10_000 });
  return !failed;
}

async function writeRecord(record: ClusterRecord): Promise<void> {
  await writeFile(files.record, JSON.stringify(record));
}
