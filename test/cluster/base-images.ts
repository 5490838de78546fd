import {
  appendFile,
  chmod,
  constants,
  copyFile,
  mkdir,
  readFile,
  realpath,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { execa } from 'execa';
import { findProgram } from './requirements.ts';

// Root file systems that stand in for the images which the Dockerfile starts from, made of what this machine has.

const NODE_IN_IMAGE = '/nodejs/bin/node';
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
const SEARCH_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const node = join(import.meta.dirname, '..', '..', 'node_modules', 'node', 'bin', 'node');

/** Instructions that turn the root file system beside them into an image. */
type Recipe = string;

/**
 * As distroless' Node.js image: Node, the libraries that it needs, certificates, a user; no shell.
 * @param trusted a certificate besides those of this machine.
 */
export async function standInRuntime(root: string, trusted = ''): Promise<Recipe> {
  await copyProgram(node, NODE_IN_IMAGE, root);
  await copyIfThere(CERTIFICATES, root);
  await mkdir(dirname(join(root, CERTIFICATES)), { recursive: true });
  await appendFile(join(root, CERTIFICATES), trusted);
  await writeUsers(root);
  await mkdir(join(root, 'home/nonroot'), { recursive: true });
  return recipe(
    root,
    `ENV ${SEARCH_PATH} SSL_CERT_FILE=${CERTIFICATES}`,
    'USER 65532',
    'WORKDIR /home/nonroot',
    `ENTRYPOINT ["${NODE_IN_IMAGE}"]`,
  );
}

/** As Docker's Node.js image, as far as a build goes: Node and npm, and the few programs that scripts call. */
export async function standInBuild(root: string): Promise<Recipe> {
  await copyProgram(node, '/usr/local/bin/node', root);
  for (const path of ['/bin/sh', '/usr/bin/env', '/usr/bin/find']) await copyProgram(path, path, root);
  const npmHere = dirname(dirname(await npmProgram()));
  const npm = '/usr/local/lib/node_modules/npm';
  await mkdir(dirname(join(root, npm)), { recursive: true });
  await execa('cp', ['--recursive', npmHere, join(root, npm)]);
  await symlink(`${npm}/bin/npm-cli.js`, join(root, 'usr/local/bin/npm'));
  for (const path of [CERTIFICATES, ...(await npmSetting('cafile'))]) await copyIfThere(path, root);
  await writeUsers(root);
  // What this machine trusts, it does too.
  return recipe(root, `ENV ${SEARCH_PATH} HOME=/root NODE_EXTRA_CA_CERTS=${CERTIFICATES}`);
}

/** As the official CLI image: the CLI at /app. Without one it is the stand-in CLI, as a program that needs no shell. */
export async function standInCli(root: string, cli: string | undefined): Promise<Recipe> {
  const path = join(root, 'app/databricks');
  await mkdir(dirname(path), { recursive: true });
  if (cli === undefined) {
    await build({
      entryPoints: [join(import.meta.dirname, '..', 'support', 'databricks-cli.ts')],
      outfile: path,
      bundle: true,
      platform: 'node',
      format: 'esm',
      banner: { js: `#!${NODE_IN_IMAGE}` },
    });
  } else {
    await copyFile(cli, path);
  }
  await chmod(path, 0o755);
  return recipe(root);
}

/** What npm on this machine is told about registries, for the npm in a build. */
export async function npmrc(): Promise<string> {
  const files = [...(await npmSetting('globalconfig')), ...(await npmSetting('userconfig'))];
  const texts = await Promise.all(files.map(async (path) => readFile(path, 'utf8').catch(() => '')));
  const variables = Object.entries(process.env).filter(([name]) => /^npm_config_registry$/i.test(name));
  return [...texts, ...variables.map(([, value]) => `registry=${value}`), ''].join('\n');
}

async function npmSetting(name: string): Promise<string[]> {
  const { stdout } = await execa('npm', ['config', 'get', name], { cwd: homedir(), stderr: 'ignore' });
  return stdout === 'null' || stdout === 'undefined' || stdout === '' ? [] : [stdout];
}

async function npmProgram(): Promise<string> {
  return realpath(process.env['npm_execpath'] ?? (await findProgram('npm'))!);
}

async function recipe(root: string, ...instructions: readonly string[]): Promise<Recipe> {
  await execa('chmod', ['-R', 'a+rX', root]); // the umask is for files of this machine
  return ['FROM scratch', 'COPY . /', ...instructions, ''].join('\n');
}

/** Its libraries go where the loader looks for them: the places they have here. */
export async function copyProgram(program: string, target: string, root: string): Promise<void> {
  const { stdout } = await execa('ldd', [program], { reject: false });
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  for (const library of libraries) await copy(library, join(root, library));
  await copy(program, join(root, target));
}

async function copyIfThere(path: string, root: string): Promise<void> {
  await copy(path, join(root, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

async function copy(from: string, to: string): Promise<void> {
  const source = await realpath(from);
  await mkdir(dirname(to), { recursive: true });
  await copyFile(source, to, constants.COPYFILE_FICLONE);
}

/** With what every system has: homes, a place for temporary files. */
async function writeUsers(root: string): Promise<void> {
  await mkdir(join(root, 'root'));
  await mkdir(join(root, 'tmp'));
  await chmod(join(root, 'tmp'), 0o1777);
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n',
  );
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
}
