import { DATABASE, LAKEBASE_HOST } from '../support/pods-service.ts';
import type { Stage } from '../support/pods-stage.ts';

/** Fails where there is no file, instead of asking for a password. */
export const PSQL = 'psql --no-psqlrc --no-password --tuples-only --no-align --set ON_ERROR_STOP=1';
const LABEL = 'lakebase-credential-sidecar/inject';

export interface App {
  /** Of the workload and its container, and as which it logs in. */
  readonly name: string;
  /** For `sh`. */
  readonly script: string;
  /** What an init container of its own does before. */
  readonly migration?: string;
  /** Without the chart's prefix. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly restartPolicy?: 'Never';
  readonly env?: readonly object[];
  /** Does without the label. */
  readonly isLeftAlone?: boolean;
}

/** A pod template as anybody's, which knows of no password; one label asks for the sidecar. */
export function templateOf(
  { service }: Stage,
  { name, script, migration, annotations = {}, restartPolicy, env = [], isLeftAlone = false }: App,
): object {
  const variables = {
    PGHOST: LAKEBASE_HOST,
    PGPORT: `${service.lakebase.port}`,
    PGDATABASE: DATABASE,
    PGUSER: service.workspace.clientId,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: '/etc/test-ca/ca.pem',
    PGAPPNAME: name,
  };
  const container = (containerName: string, command: string): object => ({
    name: containerName,
    image: 'localhost/psql:3',
    command: ['sh', '-c', command],
    env: [...Object.entries(variables).map(([variable, value]) => ({ name: variable, value })), ...env],
    resources: { requests: { cpu: '10m', memory: '64Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
    volumeMounts: [{ name: 'test-ca', mountPath: '/etc/test-ca', readOnly: true }],
  });
  return {
    metadata: {
      labels: { app: name, ...(isLeftAlone ? {} : { [LABEL]: 'true' }) },
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([key, value]) => [`lakebase-credential-sidecar/${key}`, value]),
      ),
    },
    spec: {
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 10_001, seccompProfile: { type: 'RuntimeDefault' } },
      hostAliases: [{ ip: service.address, hostnames: [LAKEBASE_HOST] }],
      ...(restartPolicy === undefined ? {} : { restartPolicy }),
      ...(migration === undefined ? {} : { initContainers: [container('migrate', migration)] }),
      containers: [container(name, script)],
      volumes: [{ name: 'test-ca', configMap: { name: 'test-ca' } }],
    },
  };
}

/** What the templates mount. */
export function authorityOf({ service }: Stage): object {
  const data = { 'ca.pem': service.lakebase.caCertificate };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'test-ca' }, data };
}

export function deploymentOf(stage: Stage, app: App): object {
  return workloadOf('Deployment', stage, app, {});
}

export function statefulSetOf(stage: Stage, app: App): object {
  return workloadOf('StatefulSet', stage, app, { serviceName: app.name });
}

function workloadOf(kind: string, stage: Stage, app: App, spec: object): object {
  const { name } = app;
  const selector = { matchLabels: { app: name } };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name },
    spec: { ...spec, selector, template: templateOf(stage, app) },
  };
}

export function jobOf(stage: Stage, app: App): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: app.name },
    spec: { backoffLimit: 0, template: templateOf(stage, { ...app, restartPolicy: 'Never' }) },
  };
}

/** Its turn does not come by itself. */
export function cronJobOf(stage: Stage, app: App): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: app.name },
    spec: {
      schedule: '0 0 1 1 *',
      suspend: true,
      jobTemplate: { spec: { backoffLimit: 0, template: templateOf(stage, { ...app, restartPolicy: 'Never' }) } },
    },
  };
}
