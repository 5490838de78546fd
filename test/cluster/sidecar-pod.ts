import type { Workspace } from '../support/workspace.ts';
import { imageName } from './image.ts';

export const NAMESPACE = 'restricted';

export const namespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
};

export interface SidecarPodOptions {
  readonly name: string;
  readonly uid: number;
  readonly workspace: Workspace;
  /** How long one run of the CLI may take. */
  readonly timeout?: string;
}

/** A pod with nothing but the sidecar, as bare as the image allows: two volumes for memory, the root read-only. */
export function sidecarPod({ name, uid, workspace, timeout = '30s' }: SidecarPodOptions) {
  const config = {
    credentials: [
      {
        name: 'app',
        endpoint: 'projects/backstage/branches/production/endpoints/primary',
        connection: { host: 'localhost', database: 'app' },
        sinks: [{ file: { path: '/run/lakebase/pgpass', format: 'pgpass' } }],
      },
    ],
    minter: { cli: { timeout } },
  };
  const env = {
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_CLIENT_ID: workspace.clientId,
    DATABRICKS_CLIENT_SECRET: workspace.clientSecret,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, annotations: { config: JSON.stringify(config) } },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: uid,
        runAsGroup: uid,
        fsGroup: uid,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'sidecar',
          image: imageName,
          args: ['run', '--config', '/etc/lakebase/config.yaml'],
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          startupProbe: { httpGet: { path: '/readyz', port: 9467 }, periodSeconds: 1, failureThreshold: 60 },
          volumeMounts: [
            { name: 'run', mountPath: '/run/lakebase' },
            { name: 'tmp', mountPath: '/tmp' },
            { name: 'config', mountPath: '/etc/lakebase', readOnly: true },
          ],
        },
      ],
      volumes: [
        { name: 'run', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
        {
          name: 'config',
          downwardAPI: { items: [{ path: 'config.yaml', fieldRef: { fieldPath: "metadata.annotations['config']" } }] },
        },
      ],
    },
  };
}
