import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { ClusterError } from './failure.ts';
import { programsDirectory } from './layout.ts';
import { withLockInTurn } from './lock.ts';
import { findProgram } from './requirements.ts';

const KUBERNETES = '1.36.1';
const CONTAINERD = '2.3.7';
/** What the modules ask for. */
const GO = '1.26.8';
const COMPONENT_BASE = 'k8s.io/component-base/version';
const CONTAINERD_MODULE = 'github.com/containerd/containerd/v2';

const NO_GO = `Go is missing: install ${GO} or newer (https://go.dev/dl/)`;

interface Source {
  /** Folder of the Go module that names the versions, beside this file. */
  readonly module: string;
  /** Go package by name of the program. */
  readonly programs: Readonly<Record<string, string>>;
  /** Variables that the linker sets: the versions that the programs tell. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Folder of files that stand beside the programs, in a module that they are made of. */
  readonly files?: { readonly module: string; readonly folder: string };
}

const SOURCES: readonly Source[] = [
  { module: 'pause', programs: { pause: '.' } },
  { module: 'etcd', programs: { etcd: 'go.etcd.io/etcd/server/v3' } },
  {
    module: 'containerd',
    programs: named(`${CONTAINERD_MODULE}/cmd`, ['containerd', 'containerd-shim-runc-v2', 'ctr']),
    variables: { [`${CONTAINERD_MODULE}/version.Version`]: `v${CONTAINERD}` },
  },
  {
    module: 'kubernetes',
    programs: named('k8s.io/kubernetes/cmd', [
      'kube-apiserver',
      'kube-controller-manager',
      'kube-scheduler',
      'kubelet',
      'kubectl',
    ]),
    variables: {
      [`${COMPONENT_BASE}.gitVersion`]: `v${KUBERNETES}`,
      [`${COMPONENT_BASE}.gitMajor`]: KUBERNETES.split('.')[0]!,
      [`${COMPONENT_BASE}.gitMinor`]: KUBERNETES.split('.')[1]!,
    },
  },
];

/** What the tests of the chart need besides, and nobody else. */
const HELM_SOURCES: readonly Source[] = ['3', '4'].map((version) => ({
  module: `helm${version}`,
  programs: { [`helm${version}`]: `helm.sh/helm/v${version}/cmd/helm` },
}));
const OPERATOR_MODULE = 'github.com/prometheus-operator/prometheus-operator';
/** What the tests of monitoring need: Prometheus is of the version that this operator runs; Debian's knows no Kubernetes. */
const OPERATOR_SOURCES: readonly Source[] = [
  {
    module: 'prometheus-operator',
    programs: {
      'prometheus-operator': `${OPERATOR_MODULE}/cmd/operator`,
      'prometheus-config-reloader': `${OPERATOR_MODULE}/cmd/prometheus-config-reloader`,
    },
    files: { module: OPERATOR_MODULE, folder: 'example/prometheus-operator-crd' },
  },
  { module: 'prometheus', programs: { prometheus: 'github.com/prometheus/prometheus/cmd/prometheus' } },
];

/** Path by name of every program. */
export type Programs = Readonly<Record<string, string>>;

/** Builds what the cache does not have yet: minutes and gigabytes of Go's own caches the first time, nothing later. */
export async function buildPrograms(report: (line: string) => void, sources = SOURCES): Promise<Programs> {
  for (const source of sources) {
    const folder = join(programsDirectory, await keyOf(source));
    if (existsSync(folder)) continue;
    // Test files are processes of their own.
    await withLockInTurn(`${folder}.lock`, async () => {
      if (existsSync(folder)) return;
      report(`building ${Object.keys(source.programs).join(', ')} (once)`);
      await build(source, folder);
    });
  }
  return locatePrograms(sources);
}

/** Helm 3 and 4. */
export async function buildHelm(report: (line: string) => void): Promise<Programs> {
  return buildPrograms(report, HELM_SOURCES);
}

/** The Prometheus operator, its config reloader and a Prometheus; beside them the definitions of its resources. */
export async function buildOperator(report: (line: string) => void): Promise<Programs> {
  return buildPrograms(report, OPERATOR_SOURCES);
}

/** What a cluster consists of is there already. */
export async function areProgramsBuilt(): Promise<boolean> {
  return areBuilt(SOURCES);
}

/** What a chart is tried with is there already. */
export async function isHelmBuilt(): Promise<boolean> {
  return areBuilt([...SOURCES, ...HELM_SOURCES]);
}

/** Why what the cache lacks cannot be built, with what to do about it. */
export async function whyNotBuilt(sources = SOURCES): Promise<string | undefined> {
  return (await areBuilt(sources)) || (await findProgram('go')) !== undefined ? undefined : NO_GO;
}

/** The same of what the tests of the chart need. */
export async function whyNoHelm(): Promise<string | undefined> {
  return whyNotBuilt([...SOURCES, ...HELM_SOURCES]);
}

/** The same of what monitoring by the operator needs. */
export async function whyNoOperator(): Promise<string | undefined> {
  return whyNotBuilt([...SOURCES, ...HELM_SOURCES, ...OPERATOR_SOURCES]);
}

/** Where they are, or will be once they are built. */
export async function locatePrograms(sources = SOURCES): Promise<Programs> {
  const programs: Record<string, string> = {};
  for (const source of sources) {
    const folder = join(programsDirectory, await keyOf(source));
    for (const name of Object.keys(source.programs)) programs[name] = join(folder, name);
  }
  return programs;
}

async function areBuilt(sources: readonly Source[]): Promise<boolean> {
  const folders = sources.map(async (source) => existsSync(join(programsDirectory, await keyOf(source))));
  return (await Promise.all(folders)).every(Boolean);
}

async function build({ files, module, programs, variables = {} }: Source, folder: string): Promise<void> {
  const go = await findProgram('go');
  if (go === undefined) throw new ClusterError(NO_GO);
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const linked = Object.entries(variables).map(([name, value]) => `-X ${name}=${value}`);
  for (const [name, path] of Object.entries(programs)) {
    await execa(
      go,
      ['build', '-trimpath', `-ldflags=${['-s', '-w', ...linked].join(' ')}`, '-o', join(unfinished, name), path],
      {
        cwd: sourceOf(module),
        env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' },
        stdio: ['ignore', process.stderr, process.stderr],
      },
    );
  }
  if (files !== undefined) {
    const list = ['list', '-m', '-f', '{{.Dir}}', files.module];
    const { stdout: directory } = await execa(go, list, { cwd: sourceOf(module) });
    await cp(join(directory, files.folder), unfinished, { recursive: true });
  }
  await rename(unfinished, folder);
}

/** Changes with everything that goes into the programs, so that a program in the cache is never the wrong one. */
async function keyOf({ module, ...rest }: Source): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(rest));
  for (const name of (await readdir(sourceOf(module))).sort()) {
    hash.update(name).update(await readFile(join(sourceOf(module), name)));
  }
  return `${module}-${hash.digest('hex').slice(0, 12)}`;
}

function named(parent: string, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, `${parent}/${name}`]));
}

function sourceOf(module: string): string {
  return join(import.meta.dirname, 'programs', module);
}
