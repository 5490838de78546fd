import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

const outdir = 'dist';
await rm(outdir, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['src/main.ts'],
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.22',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'external',
  legalComments: 'external',
  metafile: true,
  // Some dependencies are CommonJS and call require() for what Node.js brings with it.
  banner: {
    js: "import{createRequire as createRequireForBundle}from'node:module';const require=createRequireForBundle(import.meta.url);",
  },
});
const bytes = Object.entries(metafile.outputs).reduce(
  (sum, [path, { bytes }]) => (path.endsWith('.js') ? sum + bytes : sum),
  0,
);
console.log(`${outdir}/main.js and its parts: ${Math.round(bytes / 1024)} KiB`);
