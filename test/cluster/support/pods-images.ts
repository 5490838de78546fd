import { createHash, hash } from 'node:crypto';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { exists } from '../../support/exists.ts';
import { standInRuntime } from '../base-images.ts';
import { isPrepared, type Cluster } from '../cluster.ts';
import { buildImage, imageName } from '../image.ts';
import { appsDirectory } from '../layout.ts';
import { workspaceCertificate } from './pods-certificate.ts';

const NODE = join(import.meta.dirname, '../../../node_modules/.bin/node');
const BACKSTAGE = join(import.meta.dirname, '../apps/backstage');

/** For those who run many files. Whoever is interrupted waits for the image that is being loaded, and for no other. */
export async function loadImagesForAll(
  cluster: Cluster,
  { signal }: { readonly signal: AbortSignal },
): Promise<NodeJS.ProcessEnv> {
  for (const load of [loadSidecar, loadBackstage, loadPsql]) {
    signal.throwIfAborted();
    await load(cluster);
  }
  return { TEST_CLUSTER_LOADED: 'true' };
}

/** What is built from the repository as it is now; for a cluster of KUBECONFIG, what is said to be there. */
export async function loadSidecar(cluster: Cluster): Promise<string> {
  const given = process.env['TEST_CLUSTER_IMAGE'];
  if (given !== undefined) return given;
  if (isPrepared) return imageName;
  const directory = await mkdtemp(join(tmpdir(), 'sidecar-image-'));
  try {
    const output = join(directory, 'image.tar');
    const { cert: trusted } = await workspaceCertificate(cluster.hostAddress);
    await buildImage({ output, cli: process.env['DATABRICKS_CLI'], trusted });
    await cluster.loadImage(output);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return imageName;
}

/** Backstage's backend with the packages of its lockfile, laid out as Backstage's own Dockerfile does. */
export async function loadBackstage(cluster: Cluster): Promise<string> {
  const name = `localhost/backstage:${await hashOf(BACKSTAGE)}`;
  await load(cluster, name, { user: '1000:1000', workingDirectory: '/app' }, async (root) => {
    await standInRuntime(root);
    const app = join(root, 'app');
    await cp(BACKSTAGE, app, { recursive: true, filter: (path) => !path.endsWith('node_modules') });
    const flags = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
    await execa('npm', ['ci', ...flags], { cwd: app, env: { PATH: `${dirname(NODE)}:${process.env['PATH']}` } });
  });
  return name;
}

/** A shell and psql, as any application that uses libpq. */
export async function loadPsql(cluster: Cluster): Promise<string> {
  const name = 'localhost/psql:3';
  await load(cluster, name, { user: '10001:10001', workingDirectory: '/' }, async (root) => {
    const { stdout: directory } = await execa('pg_config', ['--bindir'], { reject: false });
    const psql = await findPsql(directory ?? '');
    await copyProgram(psql, join(root, 'usr/bin/psql'), root);
    for (const tool of ['sh', 'cat', 'chmod', 'date', 'dd', 'id', 'ls', 'mkdir', 'mv', 'rm', 'sleep', 'stat']) {
      const { stdout: path } = await execa('which', [tool]);
      await copyProgram(path, join(root, 'bin', tool), root);
    }
    await mkdir(join(root, 'etc'), { recursive: true });
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  });
  return name;
}

interface ImageConfig {
  readonly user: string;
  readonly workingDirectory: string;
}

/** As an image of one layer, which needs no tool for images. */
async function load(
  cluster: Cluster,
  name: string,
  config: ImageConfig,
  fill: (root: string) => Promise<void>,
): Promise<void> {
  if (isPrepared) return;
  const archive = join(appsDirectory, `${name.replaceAll(/[^\w.-]/g, '-')}.tar`);
  // Made aside and renamed: two who make it at the same time do not meet.
  if (!(await exists(archive))) {
    await mkdir(appsDirectory, { recursive: true });
    const directory = await mkdtemp(join(appsDirectory, 'unfinished-'));
    try {
      const root = join(directory, 'root');
      await mkdir(root);
      await fill(root);
      await pack(directory, root, name, config);
      await rename(join(directory, 'image.tar'), archive);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  await cluster.loadImage(archive);
}

async function pack(
  directory: string,
  root: string,
  name: string,
  { user, workingDirectory }: ImageConfig,
): Promise<void> {
  await tar(join(directory, 'layer.tar'), root, ['.']);
  const { stdout: checksum } = await execa('sha256sum', [join(directory, 'layer.tar')]);
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      User: user,
      WorkingDir: workingDirectory,
      Env: ['PATH=/nodejs/bin:/usr/bin:/bin', 'NODE_ENV=production'],
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${checksum.split(' ')[0]}`] },
  });
  const configName = `${hash('sha256', config)}.json`;
  await writeFile(join(directory, configName), config);
  const manifest = [{ Config: configName, RepoTags: [name], Layers: ['layer.tar'] }];
  await writeFile(join(directory, 'manifest.json'), JSON.stringify(manifest));
  await tar(join(directory, 'image.tar'), directory, [configName, 'layer.tar', 'manifest.json']);
}

async function tar(archive: string, folder: string, names: readonly string[]): Promise<void> {
  await execa('tar', ['--create', '--file', archive, '--directory', folder, '--owner=0', '--group=0', ...names]);
}

/** Debian's `psql` is a script that looks for the program. */
async function findPsql(directory: string): Promise<string> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => []);
  const places = [directory, ...versions.map((version) => `/usr/lib/postgresql/${version}/bin`), '/usr/bin'];
  for (const place of places.filter((place) => place !== '')) {
    if (await exists(join(place, 'psql'))) return join(place, 'psql');
  }
  throw new Error('psql is missing: apt-get install --yes --no-install-recommends postgresql-client');
}

async function copyProgram(program: string, target: string, root: string): Promise<void> {
  const { stdout } = await execa('ldd', [program], { reject: false });
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  for (const [from, to] of [[program, target], ...libraries.map((path) => [path, join(root, path)])] as const) {
    await mkdir(dirname(to), { recursive: true });
    await copyFile(await realpath(from), to);
  }
}

async function hashOf(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const path of paths.filter((path) => !path.includes('node_modules')).sort()) {
    hash.update(path.slice(folder.length)).update(await readFile(path));
  }
  return hash.digest('hex').slice(0, 12);
}
