import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { execa } from 'execa';
import { version } from '../../src/version.ts';
import { npmrc, standInBuild, standInCli, standInRuntime } from './base-images.ts';
import { Buildah, NO_BUILDAH } from './buildah.ts';
import { ClusterError } from './failure.ts';
import { imageLockFile } from './layout.ts';
import { withLockInTurn } from './lock.ts';
import { findProgram, isExecutable } from './requirements.ts';

export interface ImageOptions {
  /** Where the archive goes. */
  readonly output: string;
  /** A Databricks CLI for Linux; the stand-in CLI without one. */
  readonly cli?: string | undefined;
  /** The target of the Dockerfile; the last one without a name. */
  readonly target?: string | undefined;
  /** A certificate in PEM that its programs trust besides: of what stands in for a workspace. */
  readonly trusted?: string | undefined;
}

export const imageName = `localhost/lakebase-credential-sidecar:${version}`;

const repository = join(import.meta.dirname, '..', '..');
const NO_NOTICE = `This image is for tests on the machine that made it: no such file came with the Databricks CLI. Do not pass it on.
`;

/** Why images cannot be built here, with what to do about it. */
export async function whyNoImage(): Promise<string | undefined> {
  return (await findProgram('buildah')) === undefined ? NO_BUILDAH : undefined;
}

/** Builds the project's Dockerfile without a registry, and writes an archive that `ctr images import` reads. */
export async function buildImage(options: ImageOptions): Promise<void> {
  const { cli, trusted } = options;
  if (cli !== undefined && !(await isExecutable(cli))) {
    throw new ClusterError(`the CLI ${cli} is missing, or not executable`);
  }
  await withLockInTurn(imageLockFile, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'image-'));
    const notices = await serveNotices(cli);
    const buildah = await Buildah.prepare(directory);
    try {
      const bases = await buildBases(buildah, directory, { cli, trusted });
      const secret = join(directory, 'npmrc');
      await writeFile(secret, await npmrc(), { mode: 0o600 });
      await build(buildah, { secret, bases, notices: addressOf(notices) }, options);
    } finally {
      notices.close();
      await buildah.clean();
      await rm(directory, { recursive: true, force: true });
    }
  });
}

type Bases = Readonly<Record<'RUNTIME_IMAGE' | 'BUILD_IMAGE' | 'CLI_IMAGE', string>>;

async function buildBases(
  buildah: Buildah,
  directory: string,
  { cli, trusted }: Pick<ImageOptions, 'cli' | 'trusted'>,
): Promise<Bases> {
  const base = async (name: string, fill: (root: string) => Promise<string>): Promise<string> => {
    const root = join(directory, name);
    const instructions = `${root}.Dockerfile`;
    await mkdir(root);
    await writeFile(instructions, await fill(root));
    await buildah.build([`--file=${instructions}`, `--tag=localhost/${name}`, root]);
    return `localhost/${name}`;
  };
  return {
    RUNTIME_IMAGE: await base('stand-in-runtime', (root) => standInRuntime(root, trusted)),
    BUILD_IMAGE: await base('stand-in-build', standInBuild),
    CLI_IMAGE: await base('stand-in-cli', (root) => standInCli(root, cli)),
  };
}

async function build(
  buildah: Buildah,
  { secret, bases, notices }: { readonly secret: string; readonly bases: Bases; readonly notices: string },
  { output, target }: ImageOptions,
): Promise<void> {
  const given = { ...bases, CLI_NOTICES: notices, VERSION: version, REVISION: await revision(), SOURCE: '' };
  await buildah.build([
    `--tag=${imageName}`,
    `--secret=id=npmrc,src=${secret}`,
    ...Object.entries(given).map(([name, value]) => `--build-arg=${name}=${value}`),
    ...(target === undefined ? [] : [`--target=${target}`]),
    repository,
  ]);
  await rm(output, { force: true }); // an archive that exists is added to
  await buildah.run('push', [imageName, `docker-archive:${resolve(output)}:${imageName}`]);
}

/** The LICENSE and NOTICE beside the CLI, at an address, because the Dockerfile takes them from the web. */
async function serveNotices(cli: string | undefined): Promise<Server> {
  const server = createServer(({ url = '/' }, response) => {
    const path = join(dirname(cli ?? '/nowhere/databricks'), basename(url));
    void readFile(path, 'utf8').then(
      (text) => response.end(text),
      () => response.end(NO_NOTICE),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function revision(): Promise<string> {
  const { stdout, failed } = await execa('git', ['rev-parse', 'HEAD'], { cwd: repository, reject: false });
  return failed ? 'unknown' : stdout;
}
