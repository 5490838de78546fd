import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../src/config/load.ts';
import { configSchema } from '../src/config/schema.ts';

const root = join(import.meta.dirname, '..');
const standalone = join(root, 'manifests/standalone');
const read = (path: string): string => readFileSync(join(standalone, path), 'utf8');

interface Role {
  readonly kind: string;
  readonly metadata: { readonly namespace: string };
  readonly rules: readonly { readonly resourceNames?: readonly string[] }[];
}

test('the standalone Deployment has a valid configuration, and a role for each of its Secrets and no other', async () => {
  const { resources } = parse(read('roles/kustomization.yaml')) as { resources: string[] };
  const allowed = resources
    .flatMap((path) => parseAllDocuments(read(`roles/${path}`)).map((document) => document.toJS() as Role))
    .filter(({ kind }) => kind === 'Role')
    .flatMap(({ metadata, rules }) =>
      rules.flatMap(({ resourceNames = [] }) => resourceNames.map((name) => `${metadata.namespace}/${name}`)),
    );
  const env = {
    DATABRICKS_HOST: 'https://my-workspace.cloud.databricks.com',
    DATABRICKS_CLIENT_ID: '0f1e2d3c-0000-4000-8000-000000000003',
    DATABRICKS_OIDC_TOKEN_FILEPATH: '/var/run/secrets/databricks/token',
  };
  const { credentials } = await loadConfig({ env, flags: { config: join(standalone, 'deployment/config.yaml') } });
  const written = credentials.flatMap(({ sinks }) =>
    sinks.map((sink) => (sink.kind === 'secret' ? `${sink.namespace}/${sink.name}` : sink.path)),
  );
  assert.deepEqual(allowed.toSorted(), written.toSorted());
});

interface Container {
  readonly ports: readonly { readonly containerPort: number }[];
  readonly [field: string]: unknown;
}

interface Deployment {
  readonly kind: string;
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly [Container] } } };
}

/** What a sidecar has everywhere, whoever places it. */
function commonParts({ ports, startupProbe, livenessProbe, securityContext, restartPolicy }: Container) {
  return { ports, startupProbe, livenessProbe, securityContext, restartPolicy };
}

test('the sidecar of docs/backstage.md, and that of the chart, is the one of the kustomize component', () => {
  const component = parse(readFileSync(join(root, 'manifests/components/sidecar/containers/sidecar.yaml'), 'utf8')) as {
    spec: { template: { spec: { initContainers: [Container]; volumes: readonly object[] } } };
  };
  const { initContainers, volumes } = component.spec.template.spec;
  const [sidecar] = initContainers;
  const page = readFileSync(join(root, 'docs/backstage.md'), 'utf8');
  const [, yaml = ''] = /^```yaml\n(serviceAccount:.*?)^```/ms.exec(page) ?? [];
  const { backstage } = parse(yaml) as {
    backstage: { initContainers: [Container]; extraVolumes: readonly object[] };
  };
  const [documented] = backstage.initContainers;
  assert.deepEqual(commonParts(documented), commonParts(sidecar));
  assert.deepEqual(documented['resources'], sidecar['resources']);
  assert.deepEqual(backstage.extraVolumes, volumes);

  const template = readFileSync(
    join(root, 'charts/lakebase-credential-sidecar/templates/library/_sidecar.tpl'),
    'utf8',
  );
  const [, container = ''] = /"lakebase-credential-sidecar.container" -}}(.*?)\{\{- end -}}/s.exec(template) ?? [];
  const plain = container.split('\n').filter((line) => !line.includes('{{'));
  const [rendered] = parse(plain.join('\n')) as [Container];
  assert.deepEqual(commonParts(rendered), commonParts(sidecar));
});

test('the port of the sidecar in the manifests is the default of the program', () => {
  const credential = { name: 'a', instance: 'i', sinks: [{ file: { path: '/a', format: 'token' } }] };
  const { http } = configSchema.parse({ credentials: [credential] });
  const documents = parseAllDocuments(read('deployment/deployment.yaml')).map(
    (document) => document.toJS() as Deployment,
  );
  const deployment = documents.find(({ kind }) => kind === 'Deployment')!;
  assert.equal(deployment.spec.template.spec.containers[0].ports[0]?.containerPort, http.port);
});

test('the example for libpq names a file of authorities, which also the libpq in the wheels of psycopg can read', () => {
  const deployment = parseAllDocuments(readFileSync(join(root, 'manifests/examples/libpq/orders.yaml'), 'utf8'))
    .map((document) => document.toJS() as Deployment)
    .find(({ kind }) => kind === 'Deployment');
  const { env } = deployment!.spec.template.spec.containers[0] as Container & {
    readonly env: readonly { readonly name: string; readonly value: string }[];
  };
  assert.match(env.find(({ name }) => name === 'PGSSLROOTCERT')!.value, /^\//);
});
