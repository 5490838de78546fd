import { hash } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

export interface Layer {
  readonly bytes: number;
  /** The instruction that made it. */
  readonly instruction: string;
}

interface Config {
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
}

/** Makes an image of one layer, of what is below `root` in this folder, without any tool for images. Returns the archive, which is there too. */
export async function writeArchive(folder: string, name: string, config: object): Promise<string> {
  const root = join(folder, 'root');
  await tar(join(folder, 'layer.tar'), root, await readdir(root));
  const { stdout: checksum } = await execa('sha256sum', [join(folder, 'layer.tar')]);
  const image = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${checksum.split(' ')[0]}`] },
  });
  const imageName = `${hash('sha256', image)}.json`;
  await writeFile(join(folder, imageName), image);
  const manifest = [{ Config: imageName, RepoTags: [name], Layers: ['layer.tar'] }];
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(folder, 'image.tar');
  await tar(archive, folder, [imageName, 'layer.tar', 'manifest.json']);
  return archive;
}

async function tar(archive: string, folder: string, names: readonly string[]): Promise<void> {
  await execa('tar', ['--create', '--file', archive, '--directory', folder, '--owner=0', '--group=0', ...names]);
}

/** The layers of an image in an archive as `docker save` writes it, uncompressed. */
export async function readLayers(archive: string): Promise<Layer[]> {
  const [manifest] = JSON.parse(await member(archive, 'manifest.json')) as [{ Config: string; Layers: string[] }];
  const { history } = JSON.parse(await member(archive, manifest.Config)) as Config;
  const { stdout } = await execa('tar', ['--list', '--verbose', '--numeric-owner', '--file', archive]);
  const bytes = new Map(stdout.split('\n').map((line) => sizeAndName(line)));
  const made = history.filter((entry) => entry.empty_layer !== true);
  return manifest.Layers.map((layer, index) => ({
    bytes: bytes.get(layer) ?? Number.NaN,
    instruction: made[index]?.created_by ?? 'unknown',
  }));
}

/** `-r--r--r-- 0/0 1234 1970-01-01 00:00 name` */
function sizeAndName(line: string): [name: string, bytes: number] {
  const [, , size, , , name = ''] = line.split(/\s+/);
  return [name, Number(size)];
}

async function member(archive: string, name: string): Promise<string> {
  const { stdout } = await execa('tar', ['--extract', '--to-stdout', '--file', archive, name]);
  return stdout;
}
