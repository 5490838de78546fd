import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { foldersIn } from './bundle-meta.ts';

const LICENCE = /^(?:licen[cs]e|copying|notice)\b/i;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly author?: string | { readonly name: string };
}

/** The licence of each package of the bundle, with its copyright: nearly all ask that whoever passes the code on passes on both. */
export function licencesOf(meta: Metafile): string {
  return foldersIn(meta)
    .map((folder) => licenceOf(folder))
    .join(`\n${'-'.repeat(80)}\n\n`);
}

function licenceOf(folder: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const { name, version, license, author } = manifest;
  if (license === undefined) throw new Error(`${name} has no licence`);
  const files = readdirSync(folder).filter((file) => LICENCE.test(file));
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
  const by = typeof author === 'object' ? author.name : author;
  const own = texts.length > 0 ? texts : [`Copyright ${by ?? 'of its authors'}. No text of the licence came with it.`];
  return [`${name} ${version} (${license})`, ...own].map((part) => `${part}\n`).join('\n');
}
