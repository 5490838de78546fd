import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

/** What esbuild tells about the bundle: which code of whom went into which part. */
export const META_FILE = 'meta.json';

export function readMeta(outdir: string): Metafile {
  return JSON.parse(readFileSync(join(outdir, META_FILE), 'utf8')) as Metafile;
}

/** What is loaded when this source file is: its output and those that it needs, but for what is in `loaded`, which they join. */
export function outputsOf({ outputs }: Metafile, source: string, loaded: Set<string> = new Set()): string[] {
  const load = (path: string): string[] => {
    const output = outputs[path];
    if (output === undefined || loaded.has(path)) return [];
    loaded.add(path);
    const needed = output.imports.filter(({ kind, external }) => kind === 'import-statement' && external !== true);
    return [path, ...needed.flatMap((one) => load(one.path))];
  };
  const entry = Object.keys(outputs).find((path) => outputs[path]?.entryPoint?.endsWith(source) === true);
  if (entry === undefined) throw new Error(`${source} has no part of its own any more`);
  return load(entry);
}

/** `name@version` of each package of which there is code in the bundle. */
export function packagesIn(meta: Metafile): string[] {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  return foldersIn(meta)
    .map((folder) => `${nameOf(folder)}@${lock.packages[folder]?.version ?? 'unknown'}`)
    .toSorted();
}

/** `node_modules/name` of each package of which there is code in the bundle. */
export function foldersIn({ outputs }: Metafile): string[] {
  const folders = Object.values(outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? (PACKAGE_FOLDER.exec(path)?.[0] ?? []) : []));
  return [...new Set(folders)].toSorted();
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string }>>;
}

/** Also of a package within another one, and wherever the modules are linked to. */
const PACKAGE_FOLDER = /node_modules\/.*?(?:@[^/]+\/)?[^/@]+(?=\/(?!.*node_modules\/))/;

function nameOf(folder: string): string {
  return folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
}
