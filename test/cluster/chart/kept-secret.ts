import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { clis } from '../../support/clis.ts';
import { ENDPOINT, type SetupOptions } from '../../support/sidecar-setup.ts';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { runCommand, startSidecar, type Outcome, type Sidecar } from '../../support/sidecar.ts';
import type { Workspace } from '../../support/workspace.ts';
import { kubeconfigFor } from '../secrets/api-server.ts';
import { CHART, type ChartWorld, type Helm } from './world.ts';
import { readApi, readObject } from '../support/read-api.ts';

export const SECRET = 'orders-lakebase';

export interface StoredSecret {
  readonly metadata: { readonly uid: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly data?: Readonly<Record<string, string>>;
}

/** A namespace for releases of secretSync and one for their Secret, and the program as the Deployment would run it. */
export class KeptSecret {
  readonly releases: string;
  readonly apps: string;
  readonly #world: ChartWorld;
  readonly #helm: Helm;
  readonly #workspace: Workspace;

  constructor(world: ChartWorld, helm: Helm, workspace: Workspace, name: string) {
    this.#world = world;
    this.#helm = helm;
    this.#workspace = workspace;
    this.releases = `${name}-${helm}`;
    this.apps = `${this.releases}-apps`;
  }

  static async prepare(world: ChartWorld, helm: Helm, workspace: Workspace, name: string): Promise<KeptSecret> {
    const kept = new KeptSecret(world, helm, workspace, name);
    for (const namespace of [kept.releases, kept.apps]) await world.namespace(namespace);
    return kept;
  }

  /** Secrets of `names`, and what differs otherwise in `secretSync`. */
  values(names: readonly string[] = [SECRET], changes: object = {}): object {
    return {
      image: { repository: 'registry.example.com/lakebase-credential-sidecar' },
      injection: { enabled: false },
      secretSync: {
        enabled: true,
        identity: { workspaceHost: 'https://my-workspace.cloud.databricks.com', clientId: this.#workspace.clientId },
        config: {
          credentials: names.map((name) => ({
            name,
            endpoint: ENDPOINT,
            sinks: [{ secret: { namespace: this.apps, name, data: { password: 'token' } } }],
          })),
        },
        ...changes,
      },
    };
  }

  async install(release: string, values: object, chart = CHART): Promise<void> {
    await this.#run(['install', release, chart], values);
  }

  async upgrade(release: string, values: object): Promise<void> {
    await this.#run(['upgrade', release, CHART], values);
  }

  async rollback(release: string, revision: number): Promise<void> {
    await this.#run(['rollback', release, `${revision}`]);
  }

  async uninstall(release: string): Promise<void> {
    await this.#run(['uninstall', release]);
  }

  async #run(args: readonly string[], values?: object): Promise<void> {
    await this.#world.helm(this.#helm, [...args, '--namespace', this.releases], values);
  }

  /** Its end, and meanwhile `finish` does to the pod what a kubelet would do. */
  async helmTest(release: string, finish: (pod: string) => Promise<unknown>): Promise<void> {
    const { api } = this.#world;
    const pod = `${release}-lakebase-credential-sidecar-check`;
    const path = `/api/v1/namespaces/${this.releases}/pods/${pod}`;
    const finishing = eventually('the pod is there', () => readApi(api.kubeconfig, path), { everyMs: 100 });
    await Promise.all([this.#run(['test', release, '--timeout', '30s']), finishing.then(() => finish(pod))]);
  }

  /** With the configuration and the service account that the release has installed. */
  async start(t: Cleanup, release: string): Promise<Sidecar> {
    return await startSidecar(t, await this.#setup(t, release));
  }

  async check(t: Cleanup, release: string): Promise<Outcome> {
    return await runCommand(t, 'check', await this.#setup(t, release));
  }

  async #setup(t: Cleanup, release: string): Promise<SetupOptions> {
    const { api } = this.#world;
    const directory = await temporaryDirectory(t);
    const name = `${release}-lakebase-credential-sidecar`;
    const where = ['--namespace', this.releases];
    const text = await api.kubectl(['get', 'configmap', name, ...where, '-o', 'jsonpath={.data.config\\.yaml}']);
    const token = await api.kubectl(['create', 'token', name, ...where]);
    const kubeconfig = join(directory, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigFor(api, { token }));
    const config = parse(text) as Readonly<Record<string, unknown>>;
    return {
      directory,
      workspace: this.#workspace,
      config: { ...config, minter: { cli: { command: clis[0]!.path } } },
      env: { KUBECONFIG: kubeconfig },
    };
  }

  async secret(name = SECRET): Promise<StoredSecret | undefined> {
    return await readObject<StoredSecret>(
      this.#world.api.kubeconfig,
      `/api/v1/namespaces/${this.apps}/secrets/${name}`,
    );
  }

  async holds(token: string, name = SECRET): Promise<void> {
    const isThere = async (): Promise<boolean> => (await this.secret(name))?.data?.['password'] === base64(token);
    await eventually(`the Secret ${name} holds it`, isThere, { everyMs: 100 });
  }

  async delete(): Promise<void> {
    await this.#world.api.kubectl(['delete', 'secret', SECRET, '--namespace', this.apps]);
  }

  /** Everything that the key holds from now on, change by change: first what is there. */
  async watch(t: Cleanup): Promise<readonly string[]> {
    const seen: string[] = [];
    const flags = [`--field-selector=metadata.name=${SECRET}`, '--watch', '-o', 'jsonpath={.data}{"\\n"}'];
    this.#world.api.follow(t, ['get', 'secrets', '--namespace', this.apps, ...flags], (line) => seen.push(line));
    // Else kubectl might begin to look when what is to be seen is over.
    await eventually('it is watched', () => seen.length > 0);
    return seen;
  }

  async assertOnly(seen: readonly string[], token: string, changes: number): Promise<void> {
    await eventually('the changes are seen', () => seen.length >= changes, { onTimeout: () => seen.join('\n') });
    for (const one of seen) assert.deepEqual(JSON.parse(one), { password: base64(token) });
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
