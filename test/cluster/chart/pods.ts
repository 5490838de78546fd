import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { ChartWorld, Container, Pod, PodSpec } from './world.ts';

export function assertReads({ name, env = [], volumeMounts = [] }: Container, directory = '/run/lakebase'): void {
  assert.deepEqual(
    env.filter((one) => one.name === 'PGPASSFILE'),
    [{ name: 'PGPASSFILE', value: `${directory}/pgpass` }],
    name,
  );
  const mount = { name: 'lakebase-credential', mountPath: directory, readOnly: true };
  assert.deepEqual(
    volumeMounts.filter((one) => one.name === mount.name),
    [mount],
    name,
  );
}

/** The pod that a kustomization's Deployment makes. */
export async function kustomized({ api }: ChartWorld, path: string): Promise<Pod> {
  const text = await api.kubectl(['kustomize', join(import.meta.dirname, '../../..', path)]);
  const documents = parseAllDocuments(text).map(
    (document) => document.toJS() as { readonly kind: string; readonly spec: { readonly template: Pod } },
  );
  return documents.find(({ kind }) => kind === 'Deployment')!.spec.template;
}

/** Without anything that the component has added. */
export function bare({ initContainers = [], containers, volumes = [], ...rest }: PodSpec): PodSpec {
  const without = ({ env = [], volumeMounts = [], ...others }: Container): Container => ({
    ...others,
    env: env.filter(({ name }) => name !== 'PGPASSFILE'),
    volumeMounts: volumeMounts.filter(({ name }) => name !== 'lakebase-credential'),
  });
  return {
    ...rest,
    initContainers: initContainers.filter(({ name }) => name !== 'lakebase-credential').map(without),
    containers: containers.map(without),
    volumes: volumes.filter(({ name }) => !name.startsWith('lakebase-')),
  };
}

/** But for what differs by design: the image, where the environment comes from, and that the user is written out. */
export function comparable(spec: PodSpec): object {
  const byName = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name);
  const sorted = (container: Container): Container => ({
    ...container,
    env: [...(container.env ?? [])].sort(byName),
    volumeMounts: [...(container.volumeMounts ?? [])].filter(({ name }) => !isOfApi(name)).sort(byName),
  });
  const { enableServiceLinks: _links, serviceAccount: _account, ...rest } = spec;
  return {
    ...rest,
    volumes: [...(spec.volumes ?? [])].filter(({ name }) => !isOfApi(name)).sort(byName),
    containers: spec.containers.map(sorted),
    initContainers: (spec.initContainers ?? []).map((container) => {
      if (container.name !== 'lakebase-credential') return sorted(container);
      const { image: _image, env: _env, envFrom: _envFrom, imagePullPolicy: _policy, ...others } = sorted(container);
      return { ...others, securityContext: { ...others.securityContext, runAsUser: undefined } };
    }),
  };
}

/** What every pod gets, under a name that is made up each time. */
function isOfApi(volume: string): boolean {
  return volume.startsWith('kube-api-access');
}
