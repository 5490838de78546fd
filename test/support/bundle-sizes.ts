import { outputsOf, readMeta } from '../../scripts/bundle-meta.ts';

/** What is loaded together, in the order of a start; each with what it needs and those before it do not. */
const PARTS = {
  'the command line': 'src/main.ts',
  'the configuration': 'src/config/load.ts',
  'a configuration file': 'src/config/file.ts',
  'the first credential': 'src/commands/run.ts',
  'reading the answer': 'src/minters/outcome.ts',
  'logs, metrics and HTTP': 'src/commands/operate.ts',
  'watching files': 'node_modules/chokidar/index.js',
  'a Secret sink': 'src/kubernetes.ts',
  'its client library': 'node_modules/@kubernetes/client-node/dist/config.js',
} as const;
export type Part = keyof typeof PARTS;

export type Sizes = Readonly<Record<string, number>>;

/** Bytes of each package, and of `src`, that each part adds. */
export function bundleSizes(outdir: string): Record<Part, Sizes> {
  const meta = readMeta(outdir);
  const loaded = new Set<string>();
  const sizes = Object.entries(PARTS).map(([part, entry]) => {
    const bytes: Record<string, number> = {};
    for (const [path, { bytesInOutput }] of outputsOf(meta, entry, loaded).flatMap((one) =>
      Object.entries(meta.outputs[one]!.inputs),
    )) {
      const owner = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(path)?.[1] ?? 'src';
      bytes[owner] = (bytes[owner] ?? 0) + bytesInOutput;
    }
    return [part, bytes] as const;
  });
  return Object.fromEntries(sizes) as Record<Part, Sizes>;
}
