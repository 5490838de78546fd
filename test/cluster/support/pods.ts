import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { undoAfter, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import type { Cluster } from '../cluster.ts';
import { LOOK_MS, readObject } from './read-api.ts';

export interface ContainerState {
  readonly running?: { readonly startedAt: string };
  readonly waiting?: { readonly reason: string };
  readonly terminated?: { readonly exitCode: number; readonly reason: string; readonly message?: string };
}

export interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly started?: boolean;
  readonly state: ContainerState;
  readonly lastState: ContainerState;
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

/** Does nothing, until it is told to stop: without the trap the kubelet would wait for half a minute. */
export const IDLE = ['sh', '-c', "trap 'exit 0' TERM; while :; do sleep 1; done"];

export const SIDECAR = 'lakebase-credential';

/** Until pods run: images of hundreds of megabytes are read, and the machine may have other things to do. */
export const START_MS = 120_000;

/** For looks that each run kubectl: more of them would keep a CPU busy that the pods need. */
export const BY_KUBECTL = { withinMs: 60_000, everyMs: 500 } as const;

/** A namespace that takes nothing but what Pod Security calls restricted; gone after the test. */
export class Namespace {
  readonly cluster: Cluster;
  readonly name: string;

  constructor(cluster: Cluster, name: string) {
    this.cluster = cluster;
    this.name = name;
  }

  async kubectl(args: readonly string[], options?: { readonly input?: unknown }): Promise<string> {
    return await this.cluster.kubectl(['--namespace', this.name, ...args], options);
  }

  async apply(directory: string): Promise<void> {
    await this.kubectl(['apply', '--kustomize', directory]);
  }

  async pods(selector: string): Promise<Pod[]> {
    const path = `/api/v1/namespaces/${this.name}/pods?labelSelector=${encodeURIComponent(selector)}`;
    return (await readObject<{ items: Pod[] }>(this.cluster.kubeconfig, path))!.items;
  }

  async pod(selector: string): Promise<Pod | undefined> {
    return (await this.pods(selector)).at(-1);
  }

  /** The pod as soon as that container is as it is wanted. */
  async until(
    selector: string,
    container: string,
    what: string,
    isWanted: (status: ContainerStatus) => boolean,
    withinMs = START_MS,
  ): Promise<Pod> {
    let last: Pod | undefined;
    return await eventually(
      `${selector}: ${container} ${what}`,
      async () => {
        last = await this.pod(selector);
        const status = last === undefined ? undefined : statusOf(last, container);
        return status !== undefined && isWanted(status) && last;
      },
      { withinMs, everyMs: LOOK_MS, onTimeout: () => JSON.stringify(last?.status) },
    );
  }

  async running(selector: string, container: string): Promise<Pod> {
    return await this.until(selector, container, 'runs', ({ state }) => state.running !== undefined);
  }

  async logs(pod: string, container: string, ...flags: readonly string[]): Promise<string> {
    return await this.kubectl(['logs', pod, '--container', container, ...flags]);
  }

  /** What `kubectl logs -f` prints, line by line; it ends with the container. */
  follow(t: Cleanup, pod: string, container: string): Following {
    const args = ['--namespace', this.name, 'logs', '--follow', pod, '--container', container];
    return new Following(startKubectl(t, this.cluster, args));
  }

  async exec(pod: string, container: string, command: readonly string[], input = ''): Promise<string> {
    return await this.kubectl(['exec', '-i', pod, '--container', container, '--', ...command], { input });
  }

  /** The URL of a port of the pod, from here. */
  async forward(t: Cleanup, pod: string, port: number): Promise<string> {
    const args = ['--namespace', this.name, 'port-forward', '--address', '127.0.0.1', `pod/${pod}`, `:${port}`];
    const child = startKubectl(t, this.cluster, args);
    for await (const line of createInterface(child.stdout!)) {
      const local = /^Forwarding from (\S+)/.exec(line)?.[1];
      if (local !== undefined) return `http://${local}`;
    }
    throw new Error(`no way to port ${port} of ${pod}`);
  }
}

export class Following {
  readonly lines: { readonly at: number; readonly text: string }[] = [];
  /** When the container had ended. */
  readonly ended: Promise<number>;

  constructor(child: ChildProcess) {
    createInterface(child.stdout!).on('line', (text) => this.lines.push({ at: Date.now(), text }));
    this.ended = once(child, 'close').then(() => Date.now());
  }
}

function startKubectl(t: Cleanup, { kubeconfig, kubectlPath }: Cluster, args: readonly string[]): ChildProcess {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const child = spawn(kubectlPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  undoAfter(t, async () => {
    child.kill();
    await closed;
  });
  return child;
}

/** That nobody else's namespace has. */
export function nameLike(prefix: string): string {
  return `${prefix}-${Math.random().toString(36).slice(2, 7)}`;
}

export async function makeNamespace(t: Cleanup, cluster: Cluster, name: string): Promise<Namespace> {
  const levels = ['enforce', 'warn'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted']);
  const labels = Object.fromEntries(levels) as Record<string, string>;
  await cluster.kubectl(['create', '-f', '-'], {
    input: { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
  });
  undoAfter(t, () => cluster.kubectl(['delete', 'namespace', name, '--wait=true', '--timeout=120s']));
  return new Namespace(cluster, name);
}

export function statusOf({ status }: Pod, container: string): ContainerStatus | undefined {
  const all = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  return all.find(({ name }) => name === container);
}
