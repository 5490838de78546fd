import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { certificate, privateKey } from '../certificates.ts';
import { readRecord } from '../lifecycle.ts';

export interface Usage {
  /** When the kubelet looked. */
  readonly at: number;
  readonly workingSetMiB: number;
  /** CPU time since the container's start. */
  readonly cpuMs: number;
}

interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly name: string };
    readonly containers: readonly {
      readonly name: string;
      readonly memory?: { readonly workingSetBytes?: number };
      readonly cpu?: { readonly time: string; readonly usageCoreNanoSeconds?: number };
    }[];
  }[];
}

/** As the kubelet of the cluster of our own reports it; it is asked directly, as the API server sends nobody to loopback. */
export async function usageOf(pod: string, container: string): Promise<Usage | undefined> {
  const { ports } = await readRecord();
  const [ca, cert, key] = await Promise.all([
    readFile(certificate('ca')),
    readFile(certificate('admin')),
    readFile(privateKey('admin')),
  ]);
  const asking = request(`https://localhost:${ports.kubelet}/stats/summary`, { ca, cert, key, agent: false }).end();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  const { pods } = JSON.parse(await text(response)) as Summary;
  const found = pods.find(({ podRef }) => podRef.name === pod)?.containers.find(({ name }) => name === container);
  const { memory, cpu } = found ?? {};
  if (memory?.workingSetBytes === undefined || cpu?.usageCoreNanoSeconds === undefined) return undefined;
  return {
    at: Date.parse(cpu.time),
    workingSetMiB: memory.workingSetBytes / 1024 ** 2,
    cpuMs: cpu.usageCoreNanoSeconds / 1e6,
  };
}
