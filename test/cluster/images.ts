import { hash } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { files, state } from './layout.ts';
import { PAUSE_IMAGE } from './node.ts';
import type { Programs } from './programs.ts';

/** Loads an archive, as `docker save` writes it, into the node: pods then find the image by the name it has in there. */
export async function loadImage(programs: Programs, archive: string): Promise<void> {
  const containerd = ['--address', files.containerdSocket, '--namespace', 'k8s.io'];
  await execa(programs['ctr']!, [...containerd, 'images', 'import', '--local', archive]);
}

/** The image with the one program of every pod sandbox. */
export async function loadPauseImage(programs: Programs): Promise<void> {
  const archive = await writeArchive(state('pause-image'), PAUSE_IMAGE, programs['pause']!);
  await loadImage(programs, archive);
}

/** An image of one layer with one static program, which needs no tool for images. */
async function writeArchive(folder: string, name: string, program: string): Promise<string> {
  const root = join(folder, 'root');
  await mkdir(root, { recursive: true });
  await copyFile(program, join(root, 'pause'));
  const layer = join(folder, 'layer.tar');
  await tar(layer, root, ['pause']);
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: ['/pause'], User: '65535:65535' },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(await readFile(layer))}`] },
  });
  const configName = `${sha256(config)}.json`;
  await writeFile(join(folder, configName), config);
  const manifest = [{ Config: configName, RepoTags: [name], Layers: ['layer.tar'] }];
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(folder, 'image.tar');
  await tar(archive, folder, [configName, 'layer.tar', 'manifest.json']);
  return archive;
}

async function tar(archive: string, folder: string, names: readonly string[]): Promise<void> {
  await execa('tar', ['--create', '--file', archive, '--directory', folder, '--owner=0', '--group=0', ...names]);
}

function sha256(content: string | Buffer): string {
  return hash('sha256', content);
}
