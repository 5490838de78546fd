import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, link, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { temporaryDirectory, undoAfter, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { certificate, privateKey, replaceAuthority, writeCertificates } from '../certificates.ts';
import { apiserver, etcd, writeAuditPolicy, type Ports } from '../control-plane.ts';
import type { Daemon } from '../daemons.ts';
import { auditLog } from '../layout.ts';
import { choosePorts } from '../ports.ts';
import { buildPrograms, locatePrograms, whyNotBuilt, type Programs } from '../programs.ts';
import { readApi } from '../support/read-api.ts';

export { whyNotBuilt };

/** A request that the audit log has. */
export interface AuditEvent {
  readonly verb: string;
  readonly stage: string;
  readonly user: { readonly username?: string };
  readonly objectRef?: { readonly resource: string; readonly namespace?: string; readonly name?: string };
  readonly requestURI: string;
  readonly responseStatus?: { readonly code: number };
}

/**
 * A real API server with a real etcd, and nothing else of a cluster: what tests of Secrets need, without root, and
 * as many at a time as one likes. It can be stopped, and given other certificates, which a shared one cannot.
 */
export class TestApiServer {
  readonly root: string;
  readonly #programs: Programs;
  readonly #ports: Ports;
  readonly #running = new Map<string, { readonly child: ChildProcess; readonly closed: Promise<unknown> }>();

  private constructor(root: string, programs: Programs, ports: Ports) {
    this.root = root;
    this.#programs = programs;
    this.#ports = ports;
  }

  /** Up until the end of the test. */
  static async start(t: Cleanup): Promise<TestApiServer> {
    await buildPrograms((line) => console.error(line));
    const root = await temporaryDirectory(t);
    const server = new TestApiServer(root, await ownPrograms(root), await choosePorts());
    undoAfter(t, () => server.#end());
    await Promise.all([writeCertificates(root), writeAuditPolicy(root)]);
    await server.#run(etcd(server.#options));
    await server.up();
    return server;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#ports.apiserver}`;
  }

  get caFile(): string {
    return certificate('ca', this.root);
  }

  /** Who may do everything, by certificate. */
  get admin(): { readonly cert: string; readonly key: string } {
    return { cert: certificate('admin', this.root), key: privateKey('admin', this.root) };
  }

  get kubeconfig(): string {
    return join(this.root, 'admin.kubeconfig');
  }

  get #options() {
    return { programs: this.#programs, ports: this.#ports, hasAuditLog: true, root: this.root };
  }

  /** Starts the API server and waits until it answers. */
  async up(): Promise<void> {
    await this.#run(apiserver(this.#options));
    await this.#writeKubeconfig();
    await eventually('the API server is ready', () => readApi(this.kubeconfig, '/readyz').catch(() => false), {
      withinMs: 60_000,
      isHopeless: () => [...this.#running.values()].some(({ child }) => child.exitCode !== null),
      onTimeout: () => `see ${this.root}/*.log`,
    });
    await eventually('there are namespaces', () => readApi(this.kubeconfig, '/api/v1/namespaces/default'));
  }

  /** Ends the API server at once; its clients get no answer any more. */
  async down(): Promise<void> {
    await this.#stop('kube-apiserver');
  }

  /** It takes connections, and answers nothing. */
  hang(name: 'etcd' | 'kube-apiserver' = 'kube-apiserver'): void {
    this.#running.get(name)?.child.kill('SIGSTOP');
  }

  goOn(name: 'etcd' | 'kube-apiserver' = 'kube-apiserver'): void {
    this.#running.get(name)?.child.kill('SIGCONT');
  }

  /** As a certificate authority that is rotated: the API server comes back with certificates that the old one did not sign. */
  async rotateAuthority(): Promise<void> {
    await this.down();
    await replaceAuthority(this.root);
    await this.up();
  }

  /** Forgets every version of every object but the last. */
  async compact(): Promise<void> {
    const etcdUrl = `http://127.0.0.1:${this.#ports.etcd}`;
    const post = async (path: string, body: object): Promise<{ readonly header: { readonly revision: string } }> => {
      const response = await fetch(`${etcdUrl}${path}`, { method: 'POST', body: JSON.stringify(body) });
      if (!response.ok) throw new Error(`etcd answers ${response.status}`);
      return (await response.json()) as { readonly header: { readonly revision: string } };
    };
    const { header } = await post('/v3/kv/range', { key: Buffer.from('/').toString('base64') });
    await post('/v3/kv/compaction', { revision: header.revision, physical: true });
  }

  async kubectl(args: readonly string[], input?: object): Promise<string> {
    // Without a HOME it would keep what it has learnt in the present directory.
    const cache = `--cache-dir=${join(this.root, 'kubectl')}`;
    const flags = [`--kubeconfig=${this.kubeconfig}`, cache, '--request-timeout=10s'];
    const options = input === undefined ? ({ stdin: 'ignore' } as const) : { input: JSON.stringify(input) };
    const { stdout } = await execa(this.#programs['kubectl']!, [...flags, ...args], options);
    return stdout;
  }

  /** What kubectl prints, line by line, as long as the test runs. */
  follow(t: Cleanup, args: readonly string[], onLine: (line: string) => void): void {
    const child = spawn(this.#programs['kubectl']!, [`--kubeconfig=${this.kubeconfig}`, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const closed = once(child, 'close');
    createInterface(child.stdout).on('line', onLine);
    undoAfter(t, async () => {
      child.kill();
      await closed;
    });
  }

  /** Everything that was answered so far to who has a name that begins like this. */
  async audit(username: string): Promise<AuditEvent[]> {
    const text = await readFile(auditLog(this.root), 'utf8');
    return text
      .split('\n')
      .slice(0, -1) // what has no line break yet is being written
      .map((line) => JSON.parse(line) as AuditEvent)
      .filter(({ stage, user }) => stage !== 'RequestReceived' && user.username?.startsWith(username));
  }

  async #writeKubeconfig(): Promise<void> {
    const { cert, key } = this.admin;
    const user = { 'client-certificate': cert, 'client-key': key };
    await writeFile(this.kubeconfig, kubeconfigFor(this, user), { mode: 0o600 });
  }

  async #run({ name, program, args }: Daemon): Promise<void> {
    const log = await open(join(this.root, `${name}.log`), 'a');
    try {
      const child = spawn(program, args, { cwd: '/', stdio: ['ignore', log.fd, log.fd] });
      await once(child, 'spawn');
      this.#running.set(name, { child, closed: once(child, 'close') });
    } finally {
      await log.close();
    }
  }

  async #stop(name: string): Promise<void> {
    const daemon = this.#running.get(name);
    this.#running.delete(name);
    daemon?.child.kill('SIGKILL');
    await daemon?.closed;
  }

  async #end(): Promise<void> {
    for (const name of this.#running.keys()) await this.#stop(name);
  }
}

export function kubeconfigFor({ url, caFile }: Pick<TestApiServer, 'url' | 'caFile'>, user: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': caFile } }],
    users: [{ name: 'user', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
    'current-context': 'test',
  });
}

/** Under names of their own, so that nobody takes these processes for those of the cluster of this machine. */
async function ownPrograms(root: string): Promise<Programs> {
  const all = await locatePrograms();
  const own: Record<string, string> = {};
  await mkdir(join(root, 'bin'));
  for (const name of ['etcd', 'kube-apiserver', 'kubectl']) {
    own[name] = join(root, 'bin', name);
    // A link is enough, on the same disk.
    await link(all[name]!, own[name]).catch(() => copyFile(all[name]!, own[name]!));
  }
  return own;
}
