import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { copyProgram, standInRuntime } from '../base-images.ts';
import { isPrepared, type Cluster } from '../cluster.ts';
import { buildImage, imageName } from '../image.ts';
import { writeArchive } from '../image-archive.ts';
import { appsDirectory } from '../layout.ts';
import { workspaceCertificate } from './pods-certificate.ts';

const NODE = join(import.meta.dirname, '../../../node_modules/.bin/node');
const ENVIRONMENT = ['PATH=/nodejs/bin:/usr/bin:/bin', 'NODE_ENV=production'];
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
  await load(cluster, name, { User: '1000:1000', WorkingDir: '/app' }, async (root) => {
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
  await load(cluster, name, { User: '10001:10001', WorkingDir: '/' }, async (root) => {
    const { stdout: directory } = await execa('pg_config', ['--bindir'], { reject: false });
    const psql = await findPsql(directory ?? '');
    await copyProgram(psql, '/usr/bin/psql', root);
    for (const tool of ['sh', 'cat', 'chmod', 'date', 'dd', 'id', 'ls', 'mkdir', 'mv', 'rm', 'sleep', 'stat']) {
      const { stdout: path } = await execa('which', [tool]);
      await copyProgram(path, join('/bin', tool), root);
    }
    await mkdir(join(root, 'etc'), { recursive: true });
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  });
  return name;
}

async function load(
  cluster: Cluster,
  name: string,
  config: object,
  fill: (root: string) => Promise<void>,
): Promise<void> {
  if (isPrepared) return;
  const archive = join(appsDirectory, `${name.replaceAll(/[^\w.-]/g, '-')}.tar`);
  // Made aside and renamed: two who make it at the same time do not meet.
  if (!existsSync(archive)) {
    await mkdir(appsDirectory, { recursive: true });
    const directory = await mkdtemp(join(appsDirectory, 'unfinished-'));
    try {
      const root = join(directory, 'root');
      await mkdir(root);
      await fill(root);
      await rename(await writeArchive(directory, name, { ...config, Env: ENVIRONMENT }), archive);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  await cluster.loadImage(archive);
}

/** Debian's `psql` is a script that looks for the program. */
async function findPsql(directory: string): Promise<string> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => []);
  const places = [directory, ...versions.map((version) => `/usr/lib/postgresql/${version}/bin`), '/usr/bin'];
  for (const place of places.filter((place) => place !== '')) {
    if (existsSync(join(place, 'psql'))) return join(place, 'psql');
  }
  throw new Error('psql is missing: apt-get install --yes --no-install-recommends postgresql-client');
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
