import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, transform, type BuildOptions, type Plugin, type TransformOptions } from 'esbuild';
import { META_FILE } from './bundle-meta.ts';
import { recordBytecode } from './bytecode.ts';

const outdir = 'dist';
const parts = join(outdir, 'parts');

/** Dependencies load these but never use them here: no route has a schema, and there is neither TLS, a plugin, a trace, a push gateway, nor a log transport. */
const UNUSED =
  /^(?:semver|@opentelemetry\/api|@fastify\/(?:ajv|fast-json-stringify)-compiler|light-my-request|thread-stream|zlib|(?:node:)?https|node:http2)$/;
/** The API server is asked over TLS. */
const USES_HTTPS = /[/\\](?:src[/\\]kubernetes|@kubernetes)[/\\]/;
/** What of the client library is not about a kubeconfig or a service account: models, proxies, and forgotten ways to log in. */
const UNUSED_BY_CLIENT =
  /^(?:\.\/(?:gen\/index|azure_auth|gcp_auth|oidc_auth|middleware)\.js|undici|socks|socks-proxy-agent|hpagent)$/;
const CLIENT = /[/\\]@kubernetes[/\\]client-node[/\\]/;
const NEVER_CALLED =
  'AzureAuth GoogleCloudPlatformAuth OpenIDConnectAuth createConfiguration ServerConfiguration Agent ProxyAgent SocksProxyAgent SocksClient HttpProxyAgent HttpsProxyAgent setHeaderMiddleware';
/**
 * To ask whether a stream is one of this process's own, or a terminal, makes Node.js open it. A command is never given
 * any, and nothing is printed about one. Each text stands once in its file.
 */
const STANDARD_STREAMS: Readonly<Record<string, readonly (readonly [from: string, to: string])[]>> = {
  'utils/standard-stream.js': [['[process.stdin, process.stdout, process.stderr]', '[]']],
  'stdio/direction.js': [
    ['[0, process.stdin]', '[0]'],
    ['[1, 2, process.stdout, process.stderr]', '[1, 2]'],
  ],
  'verbose/default.js': [['process.stderr.isTTY === true', 'false']],
};
const IN_EXECA = /[/\\]execa[/\\]lib[/\\]([a-z]+[/\\][a-z-]+\.js)$/;
const leaveOut: Plugin = {
  name: 'leave-out',
  setup(bundler) {
    bundler.onResolve({ filter: UNUSED }, ({ path, importer }) =>
      path.endsWith('https') && USES_HTTPS.test(importer) ? undefined : { path, namespace: 'unused' },
    );
    // For messages to a child, of which none is sent.
    bundler.onResolve({ filter: /^node:v8$/ }, ({ path, importer }) =>
      IN_EXECA.test(importer) ? { path, namespace: 'unused' } : undefined,
    );
    bundler.onResolve({ filter: UNUSED_BY_CLIENT }, ({ importer }) =>
      CLIENT.test(importer) ? { path: 'unused', namespace: 'unused-by-client' } : undefined,
    );
    bundler.onLoad({ filter: IN_EXECA }, async ({ path }) => {
      const changes = STANDARD_STREAMS[IN_EXECA.exec(path)![1]!.replace('\\', '/')];
      if (changes === undefined) return undefined;
      let contents = await readFile(path, 'utf8');
      for (const [from, to] of changes) {
        const [before, after, ...rest] = contents.split(from);
        if (after === undefined || rest.length > 0) throw new Error(`${path} does not say ${from} once`);
        contents = `${before}${to}${after}`;
      }
      return { contents };
    });
    bundler.onLoad({ filter: /^/, namespace: 'unused-by-client' }, () => ({
      contents: `class Unused { isAuthProvider() { return false; } }
        export { ${NEVER_CALLED.replaceAll(/\w+/g, 'Unused as $&,')} };`,
    }));
    bundler.onLoad({ filter: /^/, namespace: 'unused' }, ({ path }) => ({
      contents: `module.exports = () => () => { throw new Error('${path} is left out of the bundle'); };`,
    }));
  },
};

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
    bytes += code.length;
    await writeFile(file, code);
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
