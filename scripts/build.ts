import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, transform, type BuildOptions, type Plugin, type TransformOptions } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };
import { configJsonSchema } from '../src/config/json-schema.ts';
import { META_FILE, outputsOf } from './bundle-meta.ts';
import { recordBytecode } from './bytecode.ts';
import { leaveOut } from './leave-out.ts';
import { licencesOf } from './licences.ts';

const outdir = 'dist';
const parts = join(outdir, 'parts');

const common = {
  bundle: true,
  platform: 'node',
  target: 'node22.22',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'external',
  sourcemap: 'external',
  write: true,
} satisfies BuildOptions;
/** What a sidecar loads before it starts the CLI is one file: to find and open a file costs as much as most of them hold. */
const START = ['src/main.ts', 'src/config/load.ts', 'src/commands/run.ts'];
/** A part is a function expression, as `Parts` calls it. */
const PART = {
  format: 'cjs',
  platform: 'node',
  target: common.target,
  supported: { 'dynamic-import': false }, // all that is imported is among the parts, or built in
  minifyWhitespace: true,
  legalComments: 'none',
  sourcemap: 'external',
  banner: '(function(exports,require,module){"use strict";',
  footer: '})',
} satisfies TransformOptions;

/** What makes the JSON Schema is nearly half of zod, and would be loaded with the rest at each start. */
const schemaMadeNow: Plugin = {
  name: 'schema-made-now',
  setup(bundler) {
    bundler.onLoad({ filter: /[/\\]src[/\\]config[/\\]json-schema\.ts$/ }, () => ({
      contents: `export const configJsonSchema = () => (${JSON.stringify(configJsonSchema())});`,
    }));
  },
};

/** Of a module of Node.js, which then has a getter for each of its properties: 2,000 of them in all. */
const COPIED = /__toESM\(require\(("node:[^"]+")\)\)/g;

await rm(outdir, { recursive: true, force: true });
await mkdir(outdir);
// The parts are loaded as CommonJS, with their bytecode; only esbuild's splitting of ES modules shares code between them.
const { outputFiles, metafile } = await build({
  ...common,
  entryPoints: ['src/main.ts'],
  outdir: parts,
  splitting: true,
  plugins: [leaveOut, schemaMadeNow],
  format: 'esm',
  metafile: true,
  sourcemap: 'inline', // from where the next step takes it
  write: false,
});
await mkdir(parts);
await writeFile(join(outdir, META_FILE), JSON.stringify(metafile));
await writeFile(join(outdir, 'third-party-licences.txt'), licencesOf(metafile));
const start = new Set(START.flatMap((source) => outputsOf(metafile, source)));
const parcels = new Map<string, Part[]>();
for (const { path, contents, text } of outputFiles) {
  const name = basename(path);
  if (name.endsWith('.js')) {
    const { code, map } = await transform(text, PART);
    const source = code.replaceAll(COPIED, 'require.default($1) ').trimEnd(); // as long, for the map
    const file = start.has(join(parts, name)) ? 'main.js' : name;
    parcels.set(file, [...(parcels.get(file) ?? []), { name, source, map }]);
  } else {
    await writeFile(join(parts, name), contents);
  }
}
let bytes = 0;
for (const [file, members] of parcels) {
  const { source, map } = parcelOf(members);
  bytes += source.length;
  await writeFile(join(parts, file), source);
  await writeFile(join(parts, `${file}.map`), map);
}
await build({
  ...common,
  entryPoints: { main: 'src/starter.ts' },
  outdir,
  format: 'cjs',
  define: {
    'import.meta.dirname': '__dirname',
    'import.meta.filename': '__filename',
    NEEDED_NODE: JSON.stringify(packageJson.engines.node.replace('>=', '')),
  },
});
await writeFile(join(outdir, 'package.json'), '{ "type": "commonjs" }\n');
const bytecodeBytes = await recordBytecode(outdir);
console.log(`${outdir}/main.js and its parts: ${kib(bytes)} KiB, with ${kib(bytecodeBytes)} KiB of bytecode`);

interface Part {
  readonly name: string;
  readonly source: string;
  readonly map: string;
}

/** An object of functions by the names that they are required by, and an index of their maps. */
function parcelOf(members: readonly Part[]): { readonly source: string; readonly map: string } {
  let source = '({';
  const sections = [];
  for (const { name, source: part, map } of members) {
    source += `"./${name}":`;
    const before = source.split('\n');
    sections.push({
      offset: { line: before.length - 1, column: before.at(-1)!.length },
      map: JSON.parse(map) as object,
    });
    source += `${part},\n`;
  }
  return { source: `${source}})`, map: JSON.stringify({ version: 3, sections }) };
}

function kib(count: number): number {
  return Math.round(count / 1024);
}
