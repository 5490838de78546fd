import { writeFile } from 'node:fs/promises';
import { certificate, privateKey, serviceAccountPublicKey, type SubjectName } from './certificates.ts';
import type { Daemon } from './daemons.ts';
import { join } from 'node:path';
import { auditLog, files, network, state, stateDirectory } from './layout.ts';
import type { Programs } from './programs.ts';

/** Loopback ports that the parts of the cluster listen on. */
export interface Ports {
  readonly etcd: number;
  readonly etcdPeers: number;
  readonly apiserver: number;
  readonly controllerManager: number;
  readonly scheduler: number;
  readonly kubelet: number;
  readonly kubeletHealth: number;
}

export interface ControlPlaneOptions {
  readonly programs: Programs;
  readonly ports: Ports;
  /** Whether the API server writes down who asked for what (never the content) in `files.auditLog`. */
  readonly hasAuditLog: boolean;
  /** Where everything is that it reads and writes, if not where the cluster of this machine has it. */
  readonly root?: string;
}

export function kubeconfig(name: SubjectName): string {
  return name === 'admin' ? files.kubeconfig : state(`${name}.kubeconfig`);
}

export async function writeKubeconfig(name: SubjectName, { apiserver }: Ports): Promise<void> {
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: network.name,
        cluster: { server: `https://127.0.0.1:${apiserver}`, 'certificate-authority': certificate('ca') },
      },
    ],
    users: [{ name, user: { 'client-certificate': certificate(name), 'client-key': privateKey(name) } }],
    contexts: [{ name: network.name, context: { cluster: network.name, user: name } }],
    'current-context': network.name,
  };
  await writeFile(kubeconfig(name), JSON.stringify(content), { mode: 0o600 });
}

export async function writeAuditPolicy(root = stateDirectory): Promise<void> {
  await writeFile(
    join(root, 'audit-policy.json'),
    JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'Metadata' }] }),
  );
}

export function etcd({ programs, ports, root = stateDirectory }: ControlPlaneOptions): Daemon {
  const clients = `http://127.0.0.1:${ports.etcd}`;
  const peers = `http://127.0.0.1:${ports.etcdPeers}`;
  return {
    name: 'etcd',
    program: programs['etcd']!,
    args: [
      `--data-dir=${join(root, 'etcd')}`,
      `--listen-client-urls=${clients}`,
      `--advertise-client-urls=${clients}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=default=${peers}`,
      '--unsafe-no-fsync', // nothing of it is to survive
    ],
  };
}

export function apiserver({ programs, ports, hasAuditLog, root = stateDirectory }: ControlPlaneOptions): Daemon {
  const url = `https://127.0.0.1:${ports.apiserver}`;
  const audit = [`--audit-policy-file=${join(root, 'audit-policy.json')}`, `--audit-log-path=${auditLog(root)}`];
  return {
    name: 'kube-apiserver',
    program: programs['kube-apiserver']!,
    args: [
      `--etcd-servers=http://127.0.0.1:${ports.etcd}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${ports.apiserver}`,
      `--advertise-address=${network.nodeAddress}`, // an endpoint may not be a loopback address
      `--service-cluster-ip-range=${network.serviceSubnet}`,
      `--tls-cert-file=${certificate('apiserver', root)}`,
      `--tls-private-key-file=${privateKey('apiserver', root)}`,
      `--client-ca-file=${certificate('ca', root)}`,
      // Without it the controller manager and the scheduler log an error every few seconds.
      `--requestheader-client-ca-file=${certificate('front-proxy-ca', root)}`,
      '--requestheader-allowed-names=front-proxy-client',
      `--service-account-key-file=${serviceAccountPublicKey(root)}`,
      `--service-account-signing-key-file=${privateKey('service-account', root)}`,
      `--service-account-issuer=${url}`,
      // Discovery would name the advertised address, where nothing listens.
      `--service-account-jwks-uri=${url}/openid/v1/jwks`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      `--kubelet-certificate-authority=${certificate('ca', root)}`,
      `--kubelet-client-certificate=${certificate('apiserver-kubelet', root)}`,
      `--kubelet-client-key=${privateKey('apiserver-kubelet', root)}`,
      '--kubelet-preferred-address-types=Hostname', // the kubelet listens on loopback, not on the node's address
      '--allow-privileged=true',
      '--profiling=false',
      ...(hasAuditLog ? audit : []),
    ],
  };
}

export function controllerManager({ programs, ports }: ControlPlaneOptions): Daemon {
  return {
    name: 'kube-controller-manager',
    program: programs['kube-controller-manager']!,
    args: [
      ...clientOf('controller-manager', ports.controllerManager),
      `--root-ca-file=${certificate('ca')}`,
      `--service-account-private-key-file=${privateKey('service-account')}`,
      '--use-service-account-credentials=true',
      `--cluster-signing-cert-file=${certificate('ca')}`,
      `--cluster-signing-key-file=${privateKey('ca')}`,
    ],
  };
}

export function scheduler({ programs, ports }: ControlPlaneOptions): Daemon {
  return {
    name: 'kube-scheduler',
    program: programs['kube-scheduler']!,
    args: clientOf('scheduler', ports.scheduler),
  };
}

function clientOf(name: SubjectName, port: number): string[] {
  const file = kubeconfig(name);
  return [
    `--kubeconfig=${file}`,
    `--authentication-kubeconfig=${file}`,
    `--authorization-kubeconfig=${file}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    '--leader-elect=false',
  ];
}
