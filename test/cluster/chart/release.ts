import { undoAfter, type Cleanup } from '../../support/cleanup.ts';
import { injectionLockFile } from '../layout.ts';
import { withLockInTurn } from '../lock.ts';
import { CLIENT_ID, LAKEBASE_HOST } from '../support/pods-service.ts';
import type { Stage } from '../support/pods-stage.ts';
import { CHART, HelmClient, type Helm } from './helm.ts';

export const ENDPOINT = 'projects/backstage/branches/production/endpoints/primary';
const NAME = 'lakebase';

/** The chart in the namespace of a stage. */
export class Release {
  readonly #helm: HelmClient;
  readonly #version: Helm;
  readonly #namespace: string;

  private constructor(helm: HelmClient, version: Helm, namespace: string) {
    this.#helm = helm;
    this.#version = version;
    this.#namespace = namespace;
  }

  /** Uninstalled after the test, if it is there. */
  static async install(t: Cleanup, { cluster, namespace }: Stage, version: Helm, values: object): Promise<Release> {
    const helm = await HelmClient.of(t, cluster.kubeconfig);
    const release = new Release(helm, version, namespace.name);
    undoAfter(t, () => release.uninstall('--ignore-not-found'));
    await release.#run(['install', NAME, CHART], values);
    return release;
  }

  async upgrade(values: object): Promise<void> {
    await this.#run(['upgrade', NAME, CHART], values);
  }

  async rollback(revision: number): Promise<void> {
    await this.#run(['rollback', NAME, `${revision}`]);
  }

  /** What Helm and the pod say. */
  async test(): Promise<string> {
    return await this.#run(['test', NAME]);
  }

  async uninstall(...flags: readonly string[]): Promise<void> {
    await this.#run(['uninstall', NAME, ...flags]);
  }

  async #run(args: readonly string[], values: object = {}): Promise<string> {
    return await this.#helm.run(this.#version, [...args, '--namespace', this.#namespace], values);
  }
}

/** Of what is different in every cluster. */
export function imageOf({ sidecarImage }: Stage): { readonly repository: string; readonly tag: string } {
  const colon = sidecarImage.lastIndexOf(':');
  return { repository: sidecarImage.slice(0, colon), tag: sidecarImage.slice(colon + 1) };
}

/** Pods of the stage's namespace are injected, and those of no other. */
export function injectionOf(stage: Stage): object {
  const namespace = stage.namespace.name;
  return {
    image: imageOf(stage),
    injection: {
      enabled: true,
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      namespaceDefaults: {
        [namespace]: {
          'workspace-host': stage.service.workspace.url,
          'client-id': CLIENT_ID,
          endpoint: ENDPOINT,
          'pg-host': LAKEBASE_HOST,
        },
      },
    },
  };
}

/**
 * Waits until nobody else's release may inject pods of this cluster, and keeps it like that: one whose namespaces are
 * all of them would see the pods of every test.
 */
export async function injectAlone(t: Cleanup): Promise<void> {
  const [turn, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const held = withLockInTurn(injectionLockFile, async () => {
    turn.resolve();
    await end.promise;
  });
  await turn.promise;
  undoAfter(t, async () => {
    end.resolve();
    await held;
  });
}
