import { useCluster, type Cluster } from '../cluster.ts';
import type { Cleanup } from '../../support/cleanup.ts';
import { loadBackstage, loadPsql, loadSidecar } from './pods-images.ts';
import { writeOverlay, type Overlay } from './pods-overlay.ts';
import { startService, trustServiceAccount, type Service, type ServiceOptions } from './pods-service.ts';
import { makeNamespace, nameLike, type Namespace } from './pods.ts';

export interface StageOptions extends ServiceOptions {
  /** Begins the name of the namespace, or is all of it. */
  readonly name: string;
  readonly hasExactName?: boolean;
  readonly app?: 'backstage' | 'psql';
  /** The only service account that the service trusts; all of the namespace without one. */
  readonly trusted?: string;
}

interface Images {
  readonly sidecarImage: string;
  readonly appImage: string;
}

export type Change = Omit<Overlay, 'appImage' | 'namespace' | 'service' | 'sidecarImage'> & {
  readonly service?: Service;
};

/** What pods need for a performance: a namespace of their own, images, and the service that they log in to. */
export class Stage {
  readonly cluster: Cluster;
  readonly namespace: Namespace;
  readonly service: Service;
  readonly #images: Images;

  constructor(cluster: Cluster, namespace: Namespace, service: Service, images: Images) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.service = service;
    this.#images = images;
  }

  get appImage(): string {
    return this.#images.appImage;
  }

  get sidecarImage(): string {
    return this.#images.sidecarImage;
  }

  /** Brings an example of manifests/ to the namespace, changed like that. */
  async apply(t: Cleanup, change: Change): Promise<void> {
    const { namespace, service } = this;
    await namespace.apply(await writeOverlay(t, { service, ...this.#images, ...change, namespace: namespace.name }));
  }
}

/** All of it is gone after the test. */
export async function setStage(
  t: Cleanup,
  { name, hasExactName = false, app = 'psql', trusted, ...options }: StageOptions,
): Promise<Stage> {
  const cluster = await useCluster(t);
  const images = {
    sidecarImage: await loadSidecar(cluster),
    appImage: await (app === 'psql' ? loadPsql(cluster) : loadBackstage(cluster)),
  };
  const namespace = await makeNamespace(t, cluster, hasExactName ? name : nameLike(name));
  const verifySubjectToken = await trustServiceAccount(cluster, namespace.name, trusted);
  const service = await startService(t, cluster, { verifySubjectToken, ...options });
  return new Stage(cluster, namespace, service, images);
}
