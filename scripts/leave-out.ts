import { readFile } from 'node:fs/promises';
import type { Plugin } from 'esbuild';

/** Dependencies load these but never use them here: no route has a schema or an expression, and there is neither TLS, a plugin, a trace, nor a trusted proxy. */
const UNUSED =
  /^(?:semver|@opentelemetry\/api|@fastify\/(?:ajv-compiler|fast-json-stringify-compiler|proxy-addr)|light-my-request|safe-regex2|(?:node:)?https|node:http2)$/;
/** The API server is asked over TLS. */
const USES_HTTPS = /[/\\](?:src[/\\]kubernetes|@kubernetes)[/\\]/;
const IN_EXECA = /[/\\]execa[/\\]lib[/\\]([a-z]+[/\\][a-z-]+\.js)$/;
/** What only one file of a package has no use for here. */
const UNUSED_IN: readonly (readonly [importer: RegExp, path: RegExp])[] = [
  // What is printed about a child if that is wished, and commands that hold up everything else.
  [IN_EXECA, /^(?:figures|yoctocolors|pretty-ms|node:tty|\.\/main-sync\.js)$/],
  // Logs go to standard output, and nowhere else.
  [/[/\\]pino[/\\](?:pino|lib[/\\]tools)\.js$/, /^\.\/(?:lib\/)?(?:transport|multistream)$/],
  // No metrics are pushed, gathered from several processes, or quantiles.
  [/[/\\]prom-client[/\\]index\.js$/, /^\.\/lib\/(?:pushgateway|cluster|summary)$/],
  // Without it there are no statistics of the event loop, for which Node.js keeps a histogram of 370 KB.
  [/[/\\]prom-client[/\\]lib[/\\]metrics[/\\]eventLoopLag\.js$/, /^perf_hooks$/],
];
/** What of the client library is not about a kubeconfig or a service account: models, proxies, and forgotten ways to log in. */
const UNUSED_BY_CLIENT =
  /^(?:\.\/(?:gen\/index|azure_auth|gcp_auth|oidc_auth|middleware)\.js|undici|socks|socks-proxy-agent|hpagent)$/;
const CLIENT = /[/\\]@kubernetes[/\\]client-node[/\\]/;
const NEVER_CALLED =
  'AzureAuth GoogleCloudPlatformAuth OpenIDConnectAuth createConfiguration ServerConfiguration Agent ProxyAgent SocksProxyAgent SocksClient HttpProxyAgent HttpsProxyAgent setHeaderMiddleware';
/** Dependencies use no more than this of modules of Node.js that are some hundred KB of memory, and a millisecond, each. */
const SMALLER: Readonly<Record<string, string>> = {
  assert: 'module.exports = (holds, message) => { if (!holds) throw new Error(message); };',
  'fs/promises': `const fs = require('node:fs'); const { promisify } = require('node:util');
    for (const name of ['lstat', 'readdir', 'readlink', 'stat']) exports[name] = promisify(fs[name]);
    exports.realpath = promisify(fs.realpath.native);`,
  dns: "exports.lookup = (...args) => require('node:dns').lookup(...args);",
  worker_threads: 'exports.isMainThread = true;',
};
const HAS_SMALLER = new RegExp(`^(?:node:)?(?:${Object.keys(SMALLER).join('|')})$`);
const DEPENDENCY = /[/\\]node_modules[/\\]/;
/**
 * Each text stands once in its file. To ask whether a stream is one of this process's own, or a terminal, makes Node.js
 * open it; a command is never given any, and nothing is printed about one. The other expression for what must be
 * escaped is execa's own, for a Node.js without ICU, whose data about Unicode is 0.6 MB of memory and milliseconds.
 */
const CHANGES_IN_EXECA: Readonly<Record<string, readonly (readonly [from: string, to: string])[]>> = {
  'utils/standard-stream.js': [['[process.stdin, process.stdout, process.stderr]', '[]']],
  'stdio/direction.js': [
    ['[0, process.stdin]', '[0]'],
    ['[1, 2, process.stdout, process.stderr]', '[1, 2]'],
  ],
  // Which makes a table of all signals, each of 65 by a search through all of them.
  'terminate/signal.js': [
    ["import {signalsByName} from 'human-signals';", ''],
    ['signalsByName[signal].description', 'signal'],
  ],
  'verbose/default.js': [['process.stderr.isTTY === true', 'false']],
  'arguments/escape.js': [
    [String.raw`new RegExp('\\p{Separator}|\\p{Other}', 'gu')`, String.raw`/[\s\u0000-\u001F\u007F-\u009F\u00AD]/g`],
  ],
};

/**
 * Execa calls these for each command, for what this program asks of none: messages to it, its pipes and streams for
 * others, commands as templates, and to listen for signals. A quarter of execa goes with them.
 */
const NOTHING_IN_EXECA: Readonly<Record<string, string>> = {
  'convert/add.js': 'export const addConvertedStreams = () => {};',
  'ipc/buffer-messages.js':
    'export const waitForIpcOutput = async ({ ipcOutput }) => ipcOutput; export const getBufferedIpcOutput = async (_, ipcOutput) => ipcOutput;',
  'ipc/ipc-input.js': 'export const validateIpcInputOption = () => {}; export const sendIpcInput = async () => {};',
  'ipc/methods.js': 'export const addIpcMethods = () => {}; export const getIpcExport = () => ({});',
  'methods/template.js': 'export const isTemplateString = () => false; export const parseTemplates = () => {};',
  'pipe/setup.js': 'export const pipeToSubprocess = () => {};',
  'terminate/cleanup.js': 'export const cleanupOnExit = () => {};',
};

/** Leaves out of the bundle what dependencies load for uses that are none of ours. */
export const leaveOut: Plugin = {
  name: 'leave-out',
  setup(bundler) {
    bundler.onResolve({ filter: UNUSED }, ({ path, importer }) =>
      path.endsWith('https') && USES_HTTPS.test(importer) ? undefined : { path, namespace: 'unused' },
    );
    for (const [file, filter] of UNUSED_IN) {
      bundler.onResolve({ filter }, ({ path, importer }) =>
        file.test(importer) ? { path, namespace: 'unused' } : undefined,
      );
    }
    bundler.onResolve({ filter: HAS_SMALLER }, ({ path, importer }) =>
      DEPENDENCY.test(importer) ? { path: path.replace('node:', ''), namespace: 'smaller' } : undefined,
    );
    bundler.onResolve({ filter: UNUSED_BY_CLIENT }, ({ importer }) =>
      CLIENT.test(importer) ? { path: 'unused', namespace: 'unused-by-client' } : undefined,
    );
    bundler.onLoad({ filter: IN_EXECA }, async ({ path }) => {
      const file = IN_EXECA.exec(path)![1]!.replace('\\', '/');
      if (NOTHING_IN_EXECA[file] !== undefined) return { contents: NOTHING_IN_EXECA[file] };
      const changes = CHANGES_IN_EXECA[file];
      if (changes === undefined) return undefined;
      let contents = await readFile(path, 'utf8');
      for (const [from, to] of changes) {
        const [before, after, ...rest] = contents.split(from);
        if (after === undefined || rest.length > 0) throw new Error(`${path} does not say ${from} once`);
        contents = `${before}${to}${after}`;
      }
      return { contents };
    });
    bundler.onLoad({ filter: /^/, namespace: 'smaller' }, ({ path }) => ({ contents: SMALLER[path]! }));
    bundler.onLoad({ filter: /^/, namespace: 'unused-by-client' }, () => ({
      contents: `class Unused { isAuthProvider() { return false; } }
        export { ${NEVER_CALLED.replaceAll(/\w+/g, 'Unused as $&,')} };`,
    }));
    bundler.onLoad({ filter: /^/, namespace: 'unused' }, ({ path }) => ({
      contents: `module.exports = () => () => { throw new Error('${path} is left out of the bundle'); };`,
    }));
  },
};
