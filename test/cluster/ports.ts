import { unwantedPorts } from '../support/ports.ts';
import type { Ports } from './control-plane.ts';

/** Free loopback ports, so that a cluster meets nothing else on its machine, also when a part of it comes back. */
export async function choosePorts(): Promise<Ports> {
  const [etcd, etcdPeers, apiserver, controllerManager, scheduler, kubelet, kubeletHealth] = await unwantedPorts(7);
  return {
    etcd: etcd!,
    etcdPeers: etcdPeers!,
    apiserver: apiserver!,
    controllerManager: controllerManager!,
    scheduler: scheduler!,
    kubelet: kubelet!,
    kubeletHealth: kubeletHealth!,
  };
}
