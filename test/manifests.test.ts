import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../src/config/load.ts';

const standalone = join(import.meta.dirname, '../manifests/standalone');
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
