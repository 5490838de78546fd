import type { Scene } from '../bench/scene.ts';
import { areProgramsBuilt } from '../test/cluster/programs.ts';
import { TestApiServer } from '../test/cluster/secrets/api-server.ts';
import { EVENTS, Namespace, ruleFor } from '../test/cluster/secrets/namespace.ts';

export const NO_SECRETS = 'Kubernetes is not built: npm run cluster -- build';
const NAMESPACE = 'default';

/** What a pod has that publishes Secrets: an API server, and an account whose token is renewed from time to time. */
export interface Secrets {
  readonly kubeconfig: string;
  /** Of the credential of that name: none, or its Secret. */
  sinksOf(name: string): readonly object[];
  renewToken(): Promise<unknown>;
  countWrites(): Promise<number>;
}

/** Undefined where Kubernetes is not built: that takes minutes, and a network. */
export async function openSecrets(scene: Scene, names: readonly string[]): Promise<Secrets | undefined> {
  if (!(await areProgramsBuilt())) return undefined;
  const api = await TestApiServer.start(scene);
  const namespace = new Namespace(scene, api, NAMESPACE);
  const account = await namespace.account('soak', [...names.map((name) => ruleFor(name)), EVENTS]);
  return {
    kubeconfig: account.kubeconfig,
    sinksOf: (name) =>
      names.includes(name) ? [{ secret: { namespace: NAMESPACE, name, data: { password: 'token' } } }] : [],
    renewToken: async () => await namespace.renewToken(account),
    countWrites: async () => {
      const requests = await api.audit(account.username);
      return requests.filter(({ verb, objectRef }) => verb === 'patch' && objectRef?.resource === 'secrets').length;
    },
  };
}
