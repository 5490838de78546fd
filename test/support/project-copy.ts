import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { NODE } from './sidecar.ts';
import { temporaryDirectory, type Cleanup } from './cleanup.ts';

const ROOT = join(import.meta.dirname, '../..');

/** What is needed to build and to run, in a place where it can be changed. */
export async function copyProject(t: Cleanup): Promise<string> {
  const directory = join(await temporaryDirectory(t), 'project');
  await mkdir(directory);
  for (const part of ['src', 'scripts', 'package.json', 'package-lock.json'])
    await cp(join(ROOT, part), join(directory, part), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  return directory;
}

/** Returns the entry. */
export async function buildBundle(project: string): Promise<string> {
  await execa(NODE, ['scripts/build.ts'], { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] });
  return join(project, 'dist/main.js');
}

/** Changes one place of a copied file. @throws where that place is not there, or not the only one */
export async function edit(directory: string, file: string, before: string, after: string): Promise<void> {
  const path = join(directory, file);
  const parts = (await readFile(path, 'utf8')).split(before);
  if (parts.length !== 2)
    throw new Error(`${file} holds ${JSON.stringify(before)} ${parts.length - 1} times, not once`);
  await writeFile(path, parts.join(after));
}
