import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { DATABASE, LAKEBASE_HOST, type Service } from './pods-service.ts';

const manifests = join(import.meta.dirname, '../../../manifests');
const WORKLOADS = 'Deployment|StatefulSet|Job';
const CONFIG_FILE = '/etc/lakebase/config.json';

export interface Overlay {
  readonly example: 'backstage' | 'job' | 'libpq';
  readonly namespace: string;
  readonly service: Service;
  readonly sidecarImage: string;
  readonly appImage: string;
  /** Replaces the example's name, so that several of them can live side by side. */
  readonly name?: string;
  /** Logs in with this instead of a service-account token. */
  readonly clientSecret?: string;
  /** A configuration file instead of variables: whatever differs from one credential with a password file. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Values of the ConfigMap `lakebase-credential`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Strategic merge patches of the pod's spec. */
  readonly podPatches?: readonly object[];
}

/** A kustomization on top of an example in manifests/, which is changed as little as a cluster without Databricks needs. */
export async function writeOverlay(t: Cleanup, overlay: Overlay): Promise<string> {
  const { example, namespace, name, service, clientSecret, config, podPatches = [], sidecarImage, appImage } = overlay;
  const directory = await temporaryDirectory(t);
  await mkdir(directory, { recursive: true });
  const patches = [placeOf(service), ...(config === undefined ? [] : [configured]), ...podPatches];
  const inManifests = (...path: readonly string[]): string => relative(directory, join(manifests, ...path));
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    namespace,
    ...(name === undefined
      ? {}
      : { nameSuffix: `-${name}`, labels: [{ pairs: { test: name }, includeSelectors: true }] }),
    resources: [inManifests('examples', example)],
    components: clientSecret === undefined ? [] : [inManifests('components/client-secret')],
    configMapGenerator: [
      {
        name: 'lakebase-credential',
        behavior: config === undefined ? 'merge' : 'replace',
        literals: settingsOf(overlay),
      },
      { name: 'test-ca', literals: [`ca.pem=${service.lakebase.caCertificate}`] },
      ...(config === undefined
        ? []
        : [{ name: 'lakebase-config', literals: [`config.json=${configOf(config, service)}`] }]),
    ],
    secretGenerator:
      clientSecret === undefined ? [] : [{ name: 'lakebase-client', literals: [`client-secret=${clientSecret}`] }],
    images: [
      imageOf('registry.example.com/lakebase-credential-sidecar', sidecarImage),
      imageOf(`registry.example.com/${example === 'backstage' ? 'backstage' : 'orders'}`, appImage),
    ],
    patches: patchesOf(patches),
  };
  await writeFile(join(directory, 'kustomization.yaml'), JSON.stringify(kustomization));
  return directory;
}

/** Strategic merge patches of the pods of every workload, as a kustomization has them. */
export function patchesOf(podSpecs: readonly object[]): object[] {
  return podSpecs.map((spec) => ({
    target: { kind: WORKLOADS },
    patch: JSON.stringify({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'any' },
      spec: { template: { spec } },
    }),
  }));
}

function settingsOf({ service, config, settings = {} }: Overlay): string[] {
  const { clientId, url } = service.workspace;
  const connection = {
    PGHOST: LAKEBASE_HOST,
    PGPORT: `${service.lakebase.port}`,
    PGDATABASE: DATABASE,
    PGUSER: clientId,
  };
  const identity = { DATABRICKS_HOST: url, DATABRICKS_CLIENT_ID: clientId };
  const source = config === undefined ? {} : { LAKEBASE_CREDENTIAL_CONFIG: CONFIG_FILE };
  const all = { ...identity, ...connection, ...source, ...settings };
  return Object.entries(all).map(([name, value]) => `${name}=${value}`);
}

function configOf(differences: Readonly<Record<string, unknown>>, { lakebase }: Service): string {
  return JSON.stringify({
    credentials: [
      {
        name: 'lakebase',
        endpoint: 'projects/backstage/branches/production/endpoints/primary',
        connection: { host: LAKEBASE_HOST, port: lakebase.port, database: DATABASE },
        sinks: [{ file: { path: '/run/lakebase/pgpass', format: 'pgpass' } }],
      },
    ],
    ...differences,
  });
}

/** The service's names lead to the stand-ins, and their certificate is trusted. */
export function placeOf({ address }: Service): object {
  return {
    hostAliases: [{ ip: address, hostnames: [LAKEBASE_HOST] }],
    volumes: [{ name: 'test-ca', configMap: { name: 'test-ca' } }],
  };
}

const configured = {
  initContainers: [
    {
      name: 'lakebase-credential',
      volumeMounts: [{ name: 'lakebase-config', mountPath: '/etc/lakebase', readOnly: true }],
    },
  ],
  volumes: [{ name: 'lakebase-config', configMap: { name: 'lakebase-config' } }],
};

/** A patch of a container, which trusts the stand-in Lakebase besides. */
export function trusting(name: string, { env = [], ...container }: ContainerPatch = {}): object {
  const ca = '/etc/test-ca/ca.pem';
  return {
    name,
    ...container,
    env: [{ name: 'NODE_EXTRA_CA_CERTS', value: ca }, { name: 'PGSSLROOTCERT', value: ca }, ...env],
    volumeMounts: [{ name: 'test-ca', mountPath: '/etc/test-ca', readOnly: true }],
  };
}

interface ContainerPatch {
  readonly command?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly resources?: object;
}

export function imageOf(name: string, image: string): object {
  const colon = image.lastIndexOf(':');
  return { name, newName: image.slice(0, colon), newTag: image.slice(colon + 1) };
}
