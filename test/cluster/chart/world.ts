import { join } from 'node:path';
import type { Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { TestApiServer } from '../secrets/api-server.ts';
import { createObject } from '../support/read-api.ts';
import { CHART, HelmClient, type Helm } from './helm.ts';

export { CHART, HELMS, type Helm } from './helm.ts';

export const LABELS = { 'lakebase-credential-sidecar/inject': 'true' };
/** Of everything that the chart installs anywhere. */
const KINDS = [
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'configmaps',
  'deployments',
  'serviceaccounts',
  'roles',
  'rolebindings',
  'networkpolicies',
  'secrets',
  'pods',
];
const PREFIX = 'lakebase-credential-sidecar/';
export const ENDPOINT = 'projects/orders/branches/production/endpoints/primary';
/** What every pod of these tests has in common. */
export const DEFAULTS = {
  'workspace-host': 'https://my-workspace.cloud.databricks.com',
  'client-id': '0f1e2d3c-0000-4000-8000-000000000002',
  'pg-host': 'ep-bold-hill-d4e5f6.database.us-east-1.cloud.databricks.com',
};

/** Values of `secretSync`, for one Secret. */
export function secretSyncInto(namespace: string): object {
  return {
    enabled: true,
    identity: { workspaceHost: 'https://w.example', clientId: '0f1e', audience: 'databricks' },
    config: {
      credentials: [
        {
          name: 'orders',
          endpoint: ENDPOINT,
          sinks: [{ secret: { namespace, name: 'orders', data: { password: 'token' } } }],
        },
      ],
    },
  };
}

export interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts?: readonly Mount[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly [key: string]: unknown }[];
  readonly [key: string]: unknown;
}

export interface Pod {
  readonly metadata: {
    readonly name?: string;
    readonly generateName?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: PodSpec;
}

/** A real API server, which has the chart installed, and real Helm. */
export class ChartWorld {
  readonly api: TestApiServer;
  readonly #helm: HelmClient;

  private constructor(api: TestApiServer, helm: HelmClient) {
    this.api = api;
    this.#helm = helm;
  }

  static async start(t: Cleanup): Promise<ChartWorld> {
    const api = await TestApiServer.start(t);
    return new ChartWorld(api, await HelmClient.of(t, join(api.root, 'admin.kubeconfig')));
  }

  async helm(version: Helm, args: readonly string[], values: object = {}): Promise<string> {
    return await this.#helm.run(version, args, values);
  }

  /** By Helm 4, as `lakebase` in a namespace of its own; until it injects. */
  async install(values: object): Promise<void> {
    await this.helm('helm4', ['install', 'lakebase', CHART, '--namespace', 'lakebase', '--create-namespace'], values);
    await this.injects();
  }

  /** As Pod Security wants it, and with the service account that a controller would make. */
  async namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    const restricted = {
      'pod-security.kubernetes.io/enforce': 'restricted',
      'pod-security.kubernetes.io/warn': 'restricted',
    };
    await this.api.kubectl(['create', '-f', '-'], {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { ...restricted, ...labels } },
    });
    await this.api.kubectl(['create', 'serviceaccount', 'default', '--namespace', name]);
  }

  /** A line for each object there is. */
  async everything(): Promise<string[]> {
    const columns = 'custom-columns=KIND:.kind,API:.apiVersion,NAMESPACE:.metadata.namespace,NAME:.metadata.name';
    const text = await this.api.kubectl(['get', KINDS.join(), '--all-namespaces', '--no-headers', '-o', columns]);
    return text.split('\n').map((line) => line.replaceAll(/\s+/g, ' '));
  }

  /** What the API server would store. There are hundreds, and a kubectl for each would keep a CPU busy. */
  async create(pod: Pod, namespace = 'apps'): Promise<Pod> {
    const path = `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`;
    return await createObject<Pod>(this.api.kubeconfig, path, { apiVersion: 'v1', kind: 'Pod', ...pod });
  }

  /** The same by kubectl, with flags of its own: without `--dry-run=server` it is stored. */
  async createWith(flags: readonly string[], pod: Pod, namespace: string): Promise<Pod> {
    const text = await this.api.kubectl(['create', '--namespace', namespace, ...flags, '-o', 'json', '-f', '-'], {
      apiVersion: 'v1',
      kind: 'Pod',
      ...pod,
    });
    return JSON.parse(text) as Pod;
  }

  /** The reason why there is no such pod. */
  async refusal(pod: Pod, namespace = 'apps'): Promise<string> {
    const message = await this.create(pod, namespace).then(
      () => 'it was created',
      (error: unknown) => (error as Error).message,
    );
    return message.replace(/^.*denied request: /s, '').trim();
  }

  /** API servers look for new policies once a second, and for the two kinds at different moments. */
  async injects(namespace = 'apps'): Promise<void> {
    const nonsense = podOf({ endpoint: ENDPOINT, nonsense: '' });
    await eventually(
      'pods are injected, and nonsense is refused',
      async () => {
        const pod = await this.create(podOf(), namespace).catch(() => undefined);
        if (pod === undefined || sidecarOf(pod) === undefined) return false;
        return (await this.refusal(nonsense, namespace)).startsWith('unknown annotation');
      },
      { everyMs: 100 },
    );
  }
}

/** A pod that asks for the sidecar; annotations go without their prefix. */
export function podOf(
  annotations: Readonly<Record<string, string>> = { endpoint: ENDPOINT },
  spec: Partial<PodSpec> = {},
  container: Partial<Container> = {},
): Pod {
  return {
    metadata: { name: 'orders', labels: LABELS, annotations: prefixed(annotations) },
    spec: {
      securityContext: { runAsUser: 1000, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [containerOf('orders', container)],
      ...spec,
    },
  };
}

export function containerOf(name: string, rest: Partial<Container> = {}): Container {
  const { securityContext, ...others } = rest;
  return {
    name,
    image: 'localhost/orders:1',
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, ...securityContext },
    ...others,
  };
}

export function sidecarOf(pod: Pod): Container | undefined {
  return pod.spec.initContainers?.find(({ name }) => name === 'lakebase-credential');
}

export function variablesOf(container: Container): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value]));
}

function prefixed(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).map(([name, value]) => [`${PREFIX}${name}`, value]));
}
