import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { writeArchive } from './image-archive.ts';
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
  const folder = state('pause-image');
  await mkdir(join(folder, 'root'), { recursive: true });
  await copyFile(programs['pause']!, join(folder, 'root', 'pause'));
  const config = { Entrypoint: ['/pause'], User: '65535:65535' };
  await loadImage(programs, await writeArchive(folder, PAUSE_IMAGE, config));
}
