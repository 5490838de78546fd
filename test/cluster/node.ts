import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { certificate, privateKey } from './certificates.ts';
import { kubeconfig, type Ports } from './control-plane.ts';
import type { Daemon } from './daemons.ts';
import { files, network, nodeName, runtimeDirectory, state } from './layout.ts';
import type { Programs } from './programs.ts';
import type { Tools } from './requirements.ts';

export const PAUSE_IMAGE = 'localhost/pause:1';

const CONTAINERD_CONFIG = state('containerd.toml');
const KUBELET_CONFIG = state('kubelet.json');
const CNI_CONFIG = state('cni', 'lakebase-test.conflist');
const OVERLAYFS_MAGIC = 0x79_4c_76_30;

export interface NodeOptions {
  readonly programs: Programs;
  readonly ports: Ports;
  readonly tools: Tools;
}

export async function writeNodeConfig({ ports, tools }: NodeOptions): Promise<void> {
  await Promise.all([runtimeDirectory, dirname(CNI_CONFIG)].map((folder) => mkdir(folder, { recursive: true })));
  await Promise.all([
    writeFile(CNI_CONFIG, JSON.stringify(cniConfig())),
    writeFile(CONTAINERD_CONFIG, await containerdConfig(tools)),
    writeFile(KUBELET_CONFIG, JSON.stringify(kubeletConfig(ports))),
    writeFile(state('resolv.conf'), ''), // nothing outside the machine is for pods
  ]);
}

export function containerd({ programs }: NodeOptions): Daemon {
  const program = programs['containerd']!;
  return {
    name: 'containerd',
    program,
    args: ['--config', CONTAINERD_CONFIG],
    env: { PATH: `${dirname(program)}:${process.env['PATH']}:/usr/sbin:/sbin` }, // it looks for its shim there
  };
}

export function kubelet({ programs }: NodeOptions): Daemon {
  return {
    name: 'kubelet',
    program: programs['kubelet']!,
    args: [
      `--config=${KUBELET_CONFIG}`,
      `--kubeconfig=${kubeconfig('kubelet')}`,
      `--hostname-override=${nodeName}`,
      `--node-ip=${network.nodeAddress}`, // may not be a loopback address
      `--root-dir=${state('kubelet')}`,
      `--cert-dir=${state('kubelet-pki')}`,
    ],
  };
}

function cniConfig(): object {
  return {
    cniVersion: '1.0.0',
    name: network.name,
    plugins: [
      {
        type: 'bridge',
        bridge: network.name,
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: state('addresses'),
          ranges: [[{ subnet: network.podSubnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  };
}

/** Overlayfs cannot have another overlayfs below it, as it would in a container. */
async function snapshotter(): Promise<string> {
  const { type } = await statfs(state());
  return type === OVERLAYFS_MAGIC ? 'native' : 'overlayfs';
}

async function containerdConfig({ runc, cniDirectory }: Tools): Promise<string> {
  return `version = 3
root = '${state('containerd')}'
state = '${join(runtimeDirectory, 'containerd')}'
disabled_plugins = [
  'io.containerd.differ.v1.erofs',
  'io.containerd.internal.v1.opt',
  'io.containerd.nri.v1.nri',
  'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.erofs',
]

[grpc]
  address = '${files.containerdSocket}'

[plugins.'io.containerd.shim.v1.manager']
  socket_dir = '${join(runtimeDirectory, 's')}'

# Disabled, it would take the whole CRI plugin with it.
[plugins.'io.containerd.image-verifier.v1.bindir']
  bin_dir = '${state('no-verifiers')}'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = '${await snapshotter()}'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '${PAUSE_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  # The pause process asks for a negative score, which needs CAP_SYS_RESOURCE; without it no pod would start.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['${cniDirectory}']
    conf_dir = '${dirname(CNI_CONFIG)}'
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '${runc}'
        Root = '${join(runtimeDirectory, 'runc')}'
        SystemdCgroup = false
`;
}

function kubeletConfig(ports: Ports): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: '127.0.0.1',
    port: ports.kubelet,
    readOnlyPort: 0,
    healthzBindAddress: '127.0.0.1',
    healthzPort: ports.kubeletHealth,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: certificate('ca') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: certificate('kubelet'),
    tlsPrivateKeyFile: privateKey('kubelet'),
    containerRuntimeEndpoint: `unix://${files.containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false, // machines with the older control groups will do
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    oomScoreAdj: 0,
    // A full disk of the machine is not the cluster's business, and images are never collected: none could be pulled.
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1%',
      'nodefs.inodesFree': '1%',
      'imagefs.available': '1%',
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    resolvConf: state('resolv.conf'),
    clusterDomain: 'cluster.local',
    podLogsDir: state('pod-logs'),
    volumePluginDir: state('volume-plugins'),
  };
}
