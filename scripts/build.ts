import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, transform, type BuildOptions, type TransformOptions } from 'esbuild';
import { META_FILE } from './bundle-meta.ts';
import { recordBytecode } from './bytecode.ts';
import { leaveOut } from './leave-out.ts';

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
  plugins: [leaveOut],
  format: 'esm',
  metafile: true,
  sourcemap: 'inline', // from where the next step takes it
  write: false,
});
await mkdir(parts);
await writeFile(join(outdir, META_FILE), JSON.stringify(metafile));
let bytes = 0;
for (const { path, contents, text } of outputFiles) {
  const file = join(parts, basename(path));
  if (path.endsWith('.js')) {
    const { code, map } = await transform(text, PART);
    const source = code.replaceAll(COPIED, 'require.default($1) '); // as long, for the map
    bytes += source.length;
    await writeFile(file, source);
    await writeFile(`${file}.map`, map);
  } else {
    await writeFile(file, contents);
  }
}
await build({
  ...common,
  entryPoints: { main: 'src/starter.ts' },
  outdir,
  format: 'cjs',
  define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
});
await writeFile(join(outdir, 'package.json'), '{ "type": "commonjs" }\n');
const bytecodeBytes = await recordBytecode(outdir);
console.log(`${outdir}/main.js and its parts: ${kib(bytes)} KiB, with ${kib(bytecodeBytes)} KiB of bytecode`);

function kib(count: number): number {
  return Math.round(count / 1024);
}
