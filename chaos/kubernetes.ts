import { readFile } from 'node:fs/promises';
import { areProgramsBuilt } from '../test/cluster/programs.ts';
import { kubeconfigFor, TestApiServer } from '../test/cluster/secrets/api-server.ts';
import { type Account, EVENTS, Namespace, ruleFor } from '../test/cluster/secrets/namespace.ts';
import { SharedCleanup } from '../test/support/cleanup.ts';
import { Proxy } from '../test/support/proxy.ts';
import { API_PORT, SECRET } from './layout.ts';

const RULES = [ruleFor(SECRET.name), EVENTS];
/** Longer than any run. */
const ACCOUNT_TOKEN = '--duration=24h';

/** What of it another process needs to look at the Secret. */
export interface SecretView {
  readonly url: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

interface Parts {
  readonly cleanup: SharedCleanup;
  readonly proxy: Proxy;
  readonly namespace: Namespace;
  readonly account: Account;
  readonly token: string;
  readonly view: SecretView;
}

/** A real API server with a namespace and a service account. The sidecar reaches it through a proxy; others do not need to. */
export class Kubernetes {
  readonly proxy: Proxy;
  readonly api: TestApiServer;
  readonly view: SecretView;
  /** Of the service account. */
  readonly token: string;
  readonly #namespace: Namespace;
  readonly #account: Account;
  readonly #cleanup: SharedCleanup;

  private constructor({ cleanup, proxy, namespace, account, token, view }: Parts) {
    this.#cleanup = cleanup;
    this.proxy = proxy;
    this.api = namespace.api;
    this.#namespace = namespace;
    this.#account = account;
    this.token = token;
    this.view = view;
  }

  /** Undefined where its programs are not built: that takes minutes, and a network. */
  static async start(): Promise<Kubernetes | undefined> {
    if (!(await areProgramsBuilt())) return undefined;
    const cleanup = new SharedCleanup();
    const api = await TestApiServer.start(cleanup);
    await api.kubectl(['create', 'namespace', SECRET.namespace]);
    const namespace = new Namespace(cleanup, api, SECRET.namespace);
    const account = await namespace.account('backstage', RULES);
    const token = await namespace.renewToken(account, [ACCOUNT_TOKEN]);
    const proxy = await Proxy.start(Number(new URL(api.url).port), API_PORT);
    return new Kubernetes({ cleanup, proxy, namespace, account, token, view: await viewOf(api) });
  }

  /** @param files where the sidecar may read what goes with it */
  kubeconfig(files: { readonly caFile: string; readonly tokenFile: string }): string {
    const cluster = { url: `https://127.0.0.1:${API_PORT}`, caFile: files.caFile };
    return kubeconfigFor(cluster, { tokenFile: files.tokenFile });
  }

  /** As somebody who may do everything. */
  async kubectl(args: readonly string[], input?: object): Promise<string> {
    return await this.#namespace.kubectl(args, input);
  }

  /** What the sidecar tells the cluster. */
  async events(): Promise<string> {
    return await this.kubectl(['get', 'events', '-o', 'json']);
  }

  async forbid(): Promise<void> {
    await this.#namespace.forbid(this.#account);
  }

  async allow(): Promise<void> {
    await this.#namespace.allow(this.#account, RULES);
  }

  async close(): Promise<void> {
    this.api.goOn('etcd');
    this.proxy.close();
    await this.#cleanup.undo();
  }
}

async function viewOf({ url, caFile, admin }: TestApiServer): Promise<SecretView> {
  const [ca, cert, key] = await Promise.all(
    [caFile, admin.cert, admin.key].map(async (file) => await readFile(file, 'utf8')),
  );
  const { namespace, name } = SECRET;
  return { url: `${url}/api/v1/namespaces/${namespace}/secrets/${name}`, ca: ca!, cert: cert!, key: key! };
}
