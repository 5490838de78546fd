import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { LOGS_IN_OFTEN } from '../support/pods-backstage.ts';
import { imageOf, patchesOf, placeOf } from '../support/pods-overlay.ts';
import { LAKEBASE_HOST } from '../support/pods-service.ts';
import type { Stage } from '../support/pods-stage.ts';

const example = join(import.meta.dirname, '../../../manifests/examples/backstage');
const FILES = ['backstage.yaml', 'app-config.lakebase.yaml'];

/** Backstage as manifests/examples has it, and nothing of the sidecar: it has no password, and knows none. */
export async function applyBackstage(t: Cleanup, { namespace, service, appImage }: Stage): Promise<void> {
  const directory = await temporaryDirectory(t);
  await mkdir(directory, { recursive: true });
  for (const name of FILES) await copyFile(join(example, name), join(directory, name));
  const database = [
    `PGHOST=${LAKEBASE_HOST}`,
    `PGPORT=${service.lakebase.port}`,
    `PGUSER=${service.workspace.clientId}`,
  ];
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['backstage.yaml'],
    configMapGenerator: [
      // The example's Backstage reads where its database is from there.
      { name: 'lakebase-credential', literals: database },
      { name: 'backstage-lakebase', files: ['app-config.lakebase.yaml'] },
      { name: 'test-ca', literals: [`ca.pem=${service.lakebase.caCertificate}`] },
    ],
    images: [imageOf('backstage', appImage)],
    patches: patchesOf([placeOf(service), { containers: [LOGS_IN_OFTEN] }]),
  };
  await writeFile(join(directory, 'kustomization.yaml'), JSON.stringify(kustomization));
  await namespace.apply(directory);
}
