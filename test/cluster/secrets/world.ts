import assert from 'node:assert/strict';
import { buildBundle, copyProject } from '../../support/project-copy.ts';
import { credential, type SetupOptions } from '../../support/sidecar-setup.ts';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { runCommand, startSidecar, type Outcome, type Sidecar } from '../../support/sidecar.ts';
import { workspaceFor } from '../../support/sidecar-clis.ts';
import type { Workspace } from '../../support/workspace.ts';
import { readObject } from '../support/read-api.ts';
import { TestApiServer, type AuditEvent } from './api-server.ts';
import { type Account, Namespace, SECRET } from './namespace.ts';

export const MANAGER = 'lakebase-credential-sidecar.backstage';
const PREFIX = 'lakebase-credential-sidecar/';

export interface SecretObject {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
    readonly managedFields: readonly {
      readonly manager: string;
      readonly operation: string;
      readonly fieldsV1: Readonly<Record<string, object>>;
    }[];
  };
  readonly type: string;
  readonly data?: Readonly<Record<string, string>>;
}

export interface WriterOptions extends Omit<SetupOptions, 'config'> {
  readonly account: Account;
  /** What differs from one key `password` with the token. */
  readonly secret?: object;
  readonly withFile?: boolean;
  /** Of the credential. */
  readonly credential?: object;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A real API server with one namespace, a stand-in workspace, and the bundle. */
export class SecretsWorld extends Namespace {
  readonly workspace: Workspace;
  readonly entry: string;
  readonly #t: Cleanup;

  private constructor(t: Cleanup, api: TestApiServer, workspace: Workspace, entry: string, namespace: string) {
    super(t, api, namespace);
    this.#t = t;
    this.workspace = workspace;
    this.entry = entry;
  }

  static async start(t: Cleanup, { tokenLifetimeMs = 3_600_000 } = {}): Promise<SecretsWorld> {
    const entry = await buildBundle(await copyProject(t));
    const api = await TestApiServer.start(t);
    const workspace = await workspaceFor(t, { tokenLifetimeMs });
    return await new SecretsWorld(t, api, workspace, entry, '').inNamespace('apps');
  }

  /** The same, elsewhere. */
  async inNamespace(
    namespace: string,
    { workspace = this.workspace }: { readonly workspace?: Workspace } = {},
  ): Promise<SecretsWorld> {
    await this.api.kubectl(['create', 'namespace', namespace]);
    return new SecretsWorld(this.#t, this.api, workspace, this.entry, namespace);
  }

  setup({ account, secret, withFile = false, credential: changes, config, env, ...rest }: WriterOptions): SetupOptions {
    const sinks = (directory: string): object[] => [
      ...(withFile ? [{ file: { path: `${directory}/run/token`, format: 'token' } }] : []),
      { secret: { namespace: this.namespace, name: SECRET, data: { password: 'token' }, ...secret } },
    ];
    const directory = rest.directory ?? '/nowhere';
    return {
      workspace: this.workspace,
      entry: this.entry,
      config: {
        credentials: [credential(directory, { sinks: sinks(directory), ...changes })],
        ...config,
      },
      env: { KUBECONFIG: account.kubeconfig, ...env },
      ...rest,
    };
  }

  async start(t: Cleanup, options: WriterOptions): Promise<Sidecar> {
    const directory = options.directory ?? (await temporaryDirectory(t));
    return await startSidecar(t, this.setup({ ...options, directory }));
  }

  /** Any command, to its end. */
  async run(t: Cleanup, command: string, options: WriterOptions): Promise<Outcome> {
    const directory = options.directory ?? (await temporaryDirectory(t));
    return await runCommand(t, command, this.setup({ ...options, directory }));
  }

  async secret(name = SECRET): Promise<SecretObject | undefined> {
    return await readObject<SecretObject>(this.api.kubeconfig, `/api/v1/namespaces/${this.namespace}/secrets/${name}`);
  }

  /** What a reader of a key gets. */
  async read(key = 'password', name = SECRET): Promise<string | undefined> {
    const value = (await this.secret(name))?.data?.[key];
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
  }

  /** @throws TypeError where nothing has been minted: no Secret is as it must be then */
  newest(): string {
    return this.workspace.minted.at(-1)!.token;
  }

  async holds(token: string | undefined, { name = SECRET, withinMs = 2_000 } = {}): Promise<void> {
    await this.#holds(() => token, name, withinMs);
  }

  /** The token of the latest mint, and that of a later one where there is one before the Secret is looked at. */
  async holdsNewest({ name = SECRET, withinMs = 2_000 } = {}): Promise<void> {
    await this.#holds(() => this.newest(), name, withinMs);
  }

  async #holds(token: () => string | undefined, name: string, withinMs: number): Promise<void> {
    const look = async () => (await this.read('password', name)) === token();
    await eventually(`the Secret ${name} holds it`, look, { withinMs });
  }
}

/** Whatever else they did: nobody listed Secrets, and nobody touched another one than that. */
export async function assertFrugal(api: TestApiServer, names: readonly string[] = [SECRET]): Promise<AuditEvent[]> {
  const events = await api.audit('system:serviceaccount:');
  const ofSecrets = events.filter(({ objectRef }) => objectRef?.resource === 'secrets');
  assert.ok(ofSecrets.length > 0, 'the audit log has nothing');
  const strange = ofSecrets.filter(
    ({ objectRef, verb }) =>
      !['get', 'watch', 'patch'].includes(verb) || !names.includes(objectRef?.name ?? '') || verb === 'list',
  );
  assert.deepEqual(strange, []);
  return ofSecrets;
}

export function annotation({ metadata }: SecretObject, name: string): string | undefined {
  return metadata.annotations?.[`${PREFIX}${name}`];
}
