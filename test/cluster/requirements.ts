import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { ClusterError } from './failure.ts';

/** Debian's package for each program that is not built here. */
const PACKAGES = {
  runc: 'runc',
  nft: 'nftables',
  ip: 'iproute2',
} as const;
const CNI_PACKAGE = 'containernetworking-plugins';
const CNI_PLUGINS = ['bridge', 'host-local'];
const CNI_DIRECTORIES = ['/usr/lib/cni', '/opt/cni/bin'];
/** System programs that a user's PATH often lacks. */
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

export interface Tools {
  readonly runc: string;
  readonly nft: string;
  readonly ip: string;
  readonly cniDirectory: string;
}

export async function findProgram(name: string): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_PATH];
  for (const folder of folders.filter((folder) => folder !== '')) {
    if (await isExecutable(join(folder, name))) return join(folder, name);
  }
  return undefined;
}

/** Why no cluster can be started here, and what to do about it. */
export async function whatIsMissing(): Promise<string | undefined> {
  if (process.platform !== 'linux')
    return `a cluster of its own needs Linux, this is ${process.platform}: set KUBECONFIG`;
  if (process.getuid?.() !== 0) {
    return 'a cluster of its own needs root (namespaces, mounts, a bridge): run as root, or set KUBECONFIG';
  }
  const packages = await missingPackages();
  if (packages.length === 0) return undefined;
  return `Debian packages are missing: run "npm run cluster -- up --install", or "${aptGetInstall(packages).join(' ')}"`;
}

/** @throws ClusterError that says what is missing. */
export async function requireTools({ installs }: { readonly installs: boolean }): Promise<Tools> {
  if (installs && process.getuid?.() === 0) await installPackages(await missingPackages());
  const missing = await whatIsMissing();
  if (missing !== undefined) throw new ClusterError(missing);
  const [runc, nft, ip, cniDirectory] = await Promise.all([
    findProgram('runc'),
    findProgram('nft'),
    findProgram('ip'),
    findCniDirectory(),
  ]);
  return { runc: runc!, nft: nft!, ip: ip!, cniDirectory: cniDirectory! };
}

async function missingPackages(): Promise<string[]> {
  const programs = await Promise.all(
    Object.entries(PACKAGES).map(async ([name, debian]) =>
      (await findProgram(name)) === undefined ? debian : undefined,
    ),
  );
  const plugins = (await findCniDirectory()) === undefined ? CNI_PACKAGE : undefined;
  return [...programs, plugins].filter((debian) => debian !== undefined);
}

async function findCniDirectory(): Promise<string | undefined> {
  for (const folder of CNI_DIRECTORIES) {
    const found = await Promise.all(CNI_PLUGINS.map((name) => isExecutable(join(folder, name))));
    if (found.every(Boolean)) return folder;
  }
  return undefined;
}

function aptGetInstall(packages: readonly string[]): string[] {
  return ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages];
}

async function installPackages(packages: readonly string[]): Promise<void> {
  if (packages.length === 0) return;
  const options = {
    stdio: ['ignore', process.stderr, process.stderr],
    env: { DEBIAN_FRONTEND: 'noninteractive' },
  } as const;
  const [command = '', ...args] = aptGetInstall(packages);
  try {
    await execa('apt-get', ['update', '-qq'], options);
    await execa(command, args, options);
  } catch (error) {
    throw new ClusterError(`apt-get did not install ${packages.join(', ')}`, { cause: error });
  }
}

export async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
