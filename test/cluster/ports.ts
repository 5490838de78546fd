import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import type { Ports } from './control-plane.ts';

/** Free loopback ports, so that a cluster meets nothing else on its machine. */
export async function choosePorts(): Promise<Ports> {
  const [etcd, etcdPeers, apiserver, controllerManager, scheduler, kubelet, kubeletHealth] = await freePorts(7);
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

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  // All are held until each has its port, so that none is given out twice.
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
