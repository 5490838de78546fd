import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { kubeconfigFor, type TestApiServer } from './api-server.ts';

export const SECRET = 'lakebase';

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

export const EVENTS: Rule = { apiGroups: [''], resources: ['events'], verbs: ['create'] };

/** What docs/secrets.md asks for. */
export function ruleFor(name = SECRET, verbs = ['get', 'watch', 'patch', 'create']): Rule {
  return { apiGroups: [''], resources: ['secrets'], resourceNames: [name], verbs };
}

export interface Account {
  readonly name: string;
  readonly username: string;
  readonly kubeconfig: string;
  /** Which the kubeconfig names. */
  readonly tokenFile: string;
}

/** Of a real API server, with those who may do something in it. */
export class Namespace {
  readonly api: TestApiServer;
  readonly namespace: string;
  readonly #t: Cleanup;

  constructor(t: Cleanup, api: TestApiServer, namespace: string) {
    this.#t = t;
    this.api = api;
    this.namespace = namespace;
  }

  async kubectl(args: readonly string[], input?: object): Promise<string> {
    return await this.api.kubectl(['--namespace', this.namespace, ...args], input);
  }

  /** A service account that may do what these rules say. */
  async account(name: string, rules: readonly Rule[] = [ruleFor(), EVENTS]): Promise<Account> {
    const directory = await temporaryDirectory(this.#t);
    const account = {
      name,
      username: `system:serviceaccount:${this.namespace}:${name}`,
      kubeconfig: join(directory, 'kubeconfig'),
      tokenFile: join(directory, 'token'),
    };
    await this.kubectl(['create', 'serviceaccount', name]);
    await this.allow(account, rules);
    await this.renewToken(account);
    await writeFile(account.kubeconfig, kubeconfigFor(this.api, { tokenFile: account.tokenFile }));
    return account;
  }

  async allow({ name }: Account, rules: readonly Rule[]): Promise<void> {
    const subject = { kind: 'ServiceAccount', name, namespace: this.namespace };
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name };
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name } };
    await this.kubectl(['apply', '-f', '-'], { ...rbac, kind: 'Role', rules });
    await this.kubectl(['apply', '-f', '-'], { ...rbac, kind: 'RoleBinding', roleRef, subjects: [subject] });
  }

  async forbid({ name }: Account): Promise<void> {
    await this.kubectl(['delete', 'rolebinding', name]);
  }

  /** As the kubelet does: a new file, renamed over the old one. */
  async renewToken({ name, tokenFile }: Account, flags: readonly string[] = []): Promise<string> {
    const token = await this.kubectl(['create', 'token', name, ...flags]);
    await writeFile(`${tokenFile}.new`, token);
    await rename(`${tokenFile}.new`, tokenFile);
    return token;
  }
}
