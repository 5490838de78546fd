import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { unwantedPort } from '../../support/ports.ts';
import { runPrometheus, type Prometheus } from '../../support/prometheus.ts';
import { temporaryDirectory, undoAfter, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { buildOperator, type Programs } from '../programs.ts';
import { readObject } from '../support/read-api.ts';

/** Where it reads everything, for the operator as for Debian, whose package has made the folder. */
const HOME = '/etc/prometheus';
const DEFINITIONS = ['prometheuses', 'podmonitors', 'prometheusrules', 'servicemonitors', 'probes'];
const NAME = 'main';
/** In the Secret that the operator makes for Prometheus. */
const CONFIG = 'prometheus.yaml.gz';
/** What the operator calls a job of a PodMonitor. */
const MONITOR_JOB = 'job_name: podMonitor/';
/** Enters a mount namespace, where the folder that comes first stands in place of HOME. */
const WITH_HOME = ['sh', '-c', `mount --bind "$0" ${HOME} && exec "$@"`];

/** An API server, and who may do everything there. */
export interface Access {
  readonly url: string;
  readonly caFile: string;
  readonly admin: { readonly cert: string; readonly key: string };
}

export interface Api extends Access {
  readonly kubeconfig: string;
  readonly kubectl: (args: readonly string[], input?: object) => Promise<string>;
}

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
}

interface Source {
  readonly secret?: { readonly secretName?: string; readonly name?: string } | undefined;
  readonly configMap?: { readonly name: string } | undefined;
}

interface Volume extends Source {
  readonly name: string;
  readonly projected?: { readonly sources: readonly Source[] };
}

interface PodSpec {
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

/** How to run a program with a folder in place of another; without root in a user namespace. */
function mountNamespace(): [string, ...string[]] {
  return ['unshare', '--mount', ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'])];
}

/** False, or why no folder can be put in place of another here. */
export async function whyNoMounts(): Promise<string | false> {
  const [command, ...args] = mountNamespace();
  return await execa(command, [...args, 'mount', '--bind', '/tmp', HOME]).then(
    () => false,
    () => `needs ${command} (apt-get install util-linux prometheus), and root or user namespaces`,
  );
}

/** The real Prometheus operator, and a real Prometheus run by what it made for one. */
export class Operator {
  readonly #t: Cleanup;
  readonly #api: Api;
  readonly #programs: Programs;
  readonly #namespace: string;

  private constructor(t: Cleanup, api: Api, programs: Programs, namespace: string) {
    this.#t = t;
    this.#api = api;
    this.#programs = programs;
    this.#namespace = namespace;
  }

  /** With the definitions of its resources; Prometheus is going to be in that namespace. */
  static async start(t: Cleanup, api: Api, namespace: string): Promise<Operator> {
    const programs = await buildOperator((line) => console.error(line));
    const folder = dirname(programs['prometheus-operator']!);
    const files = DEFINITIONS.map((name) => join(folder, `monitoring.coreos.com_${name}.yaml`));
    await api.kubectl(['create', ...files.flatMap((file) => ['-f', file])]);
    const names = DEFINITIONS.map((name) => `crd/${name}.monitoring.coreos.com`);
    // A definition just made may have no conditions yet, for which `kubectl wait` gives up.
    const established = async (): Promise<boolean> =>
      await api.kubectl(['wait', '--for=condition=Established', ...names]).then(
        () => true,
        () => false,
      );
    await eventually('the definitions are established', established);
    const log = await open(join(await temporaryDirectory(t), 'operator.log'), 'a');
    const { cert, key } = api.admin;
    const flags = [
      `--apiserver=${api.url}`,
      `--ca-file=${api.caFile}`,
      `--cert-file=${cert}`,
      `--key-file=${key}`,
      '--kubelet-endpoints=false',
      '--web.listen-address=127.0.0.1:0',
    ];
    const child = spawn(programs['prometheus-operator']!, flags, { stdio: ['ignore', log.fd, log.fd] });
    const closed = once(child, 'close');
    await log.close();
    undoAfter(t, async () => {
      child.kill('SIGKILL');
      await closed;
    });
    return new Operator(t, api, programs, namespace);
  }

  /** One that selects every monitor and every rule, and looks for pods there. */
  async prometheus({ admin, caFile, url }: Access = this.#api): Promise<Prometheus> {
    const everything = { podMonitorSelector: {}, podMonitorNamespaceSelector: {}, ruleSelector: {} };
    await this.#api.kubectl(['create', '-f', '-'], {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'Prometheus',
      metadata: { name: NAME, namespace: this.#namespace },
      spec: {
        ...everything,
        ruleNamespaceSelector: {},
        // What was a minute would be long for a test.
        scrapeInterval: '1s',
        evaluationInterval: '1s',
        apiserverConfig: { host: url, tlsConfig: { caFile, certFile: admin.cert, keyFile: admin.key } },
      },
    });
    const pod = await eventually('a StatefulSet with a configuration that scrapes', () => this.#finished());
    return await this.#run(pod);
  }

  /** What kubelet would run, once the operator has taken up the monitors and the rules: it may see them after the rest. */
  async #finished(): Promise<PodSpec | undefined> {
    const path = `/apis/apps/v1/namespaces/${this.#namespace}/statefulsets`;
    const list = await readObject<{ items: { spec: { template: { spec: PodSpec } } }[] }>(this.#api.kubeconfig, path);
    const [set] = list!.items;
    if (set === undefined) return undefined;
    const { volumes } = set.spec.template.spec;
    const contents = await Promise.all(volumes.map((volume) => this.#contentOf(volume)));
    const config = contents.find((content) => CONFIG in content)?.[CONFIG];
    const scrapes = config !== undefined && gunzipSync(config).includes(MONITOR_JOB);
    const hasRules = volumes.some(
      ({ configMap }, i) => configMap !== undefined && Object.keys(contents[i]!).length > 0,
    );
    return scrapes && hasRules ? set.spec.template.spec : undefined;
  }

  /** As kubelet would: volumes, then the init container, then the program; only its port and its data are of this machine. */
  async #run({ containers, initContainers, volumes }: PodSpec): Promise<Prometheus> {
    const home = await temporaryDirectory(this.#t);
    const container = containers.find(({ name }) => name === 'prometheus')!;
    const [init] = initContainers as [Container];
    for (const { mountPath, name, subPath } of [...init.volumeMounts, ...container.volumeMounts]) {
      if (!mountPath.startsWith(`${HOME}/`)) continue;
      await this.#mount(
        volumes.find((volume) => volume.name === name)!,
        join(home, relative(HOME, mountPath)),
        subPath,
      );
    }
    const [command, ...namespace] = mountNamespace();
    const args = [...namespace, ...WITH_HOME, home];
    const env = Object.fromEntries((init.env ?? []).map(({ name, value }) => [name, value ?? `prometheus-${NAME}-0`]));
    await execa(command, [...args, this.#programs['prometheus-config-reloader']!, ...init.args], { env });
    const address = `127.0.0.1:${await unwantedPort()}`;
    const own = [`--web.listen-address=${address}`, `--storage.tsdb.path=${join(home, 'data')}`];
    const nameOf = (flag: string): string => flag.replace(/=.*/, '');
    const names = new Set(own.map(nameOf));
    const flags = container.args.filter((flag) => !names.has(nameOf(flag)));
    return await runPrometheus(this.#t, {
      command: [command, ...args, this.#programs['prometheus']!, ...flags, ...own],
      url: `http://${address}`,
      directory: home,
    });
  }

  /** Writes what a volume has into a folder, or one file of it. */
  async #mount({ configMap, projected, secret }: Volume, path: string, subPath?: string): Promise<void> {
    if (subPath === undefined) await mkdir(path, { recursive: true });
    else await mkdir(dirname(path), { recursive: true });
    for (const source of projected?.sources ?? [{ configMap, secret }]) {
      for (const [file, content] of Object.entries(await this.#contentOf(source))) {
        if (subPath === undefined) await writeFile(join(path, file), content);
        else if (subPath === file) await writeFile(path, content);
      }
    }
  }

  async #contentOf({ configMap, secret }: Source): Promise<Record<string, string | Buffer>> {
    if (configMap !== undefined) return await this.#dataOf('configmaps', configMap.name);
    if (secret === undefined) return {};
    const data = await this.#dataOf('secrets', secret.secretName ?? secret.name!);
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')]));
  }

  async #dataOf(kind: string, name: string): Promise<Record<string, string>> {
    const path = `/api/v1/namespaces/${this.#namespace}/${kind}/${name}`;
    return (await readObject<{ data?: Record<string, string> }>(this.#api.kubeconfig, path))?.data ?? {};
  }
}
