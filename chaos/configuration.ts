import { choose } from '../test/support/random.ts';
import { ATTEMPT_MS } from './catalogue.ts';
import { DIRECTORIES, FILES, OTHER_POD_PORT, REFRESH_AT, SECRET, SHARED, SIDECAR_PORT } from './layout.ts';

/** What the text is made for. */
export interface Configured {
  path(...names: readonly string[]): string;
  readonly cli: string;
  readonly connection: object;
  readonly hasSecret: boolean;
}

/** Each of them another way to write what keeps the same files fresh. */
const CHANGES = [
  { refresh: { at: 0.4, jitter: 0.1, floor: '1s' } },
  { log: { level: 'trace' } },
  { backoff: { initial: '1s', max: '1s' } },
  { cli: { concurrency: 1 } },
  { extra: true },
] as const;
const BREAKAGES = ['credentials: [', 'nonsense: true\n', '', 'credentials: []\n', '\u0000'] as const;

/** @param variant in [0, 1): one of the changes; undefined is the usual text */
export function configText(stage: Configured, variant?: number): string {
  const change: { refresh?: object; log?: object; backoff?: object; cli?: object; extra?: boolean } =
    variant === undefined ? {} : choose(CHANGES, variant);
  const credentials = DIRECTORIES.map((name) => ({
    name,
    endpoint: endpointOf(name),
    connection: stage.connection,
    sinks: [
      ...FILES.filter(({ directory }) => directory === name).map(({ path, format, mode }) => ({
        file: { path: stage.path('volume', path), format, mode: `0${mode.toString(8)}` },
      })),
      ...(change.extra ? [{ file: { path: stage.path('volume', name, 'extra'), format: 'token' } }] : []),
    ],
  }));
  return JSON.stringify({
    credentials: [...credentials, ...(stage.hasSecret ? [sharedCredential(stage)] : [])],
    minter: { cli: { command: stage.cli, timeout: `${ATTEMPT_MS / 1_000}s`, ...change.cli } },
    refresh: change.refresh ?? { at: REFRESH_AT, jitter: 0.1, floor: '1s' },
    backoff: change.backoff ?? { initial: '1s', max: '2s' },
    http: { host: '127.0.0.1', port: SIDECAR_PORT },
    log: change.log ?? { level: 'debug' },
  });
}

/** Of a pod that only publishes the Secret. */
export function otherPodText(stage: Configured): string {
  return JSON.stringify({
    credentials: [sharedCredential(stage)],
    minter: { cli: { command: stage.cli } },
    refresh: { at: REFRESH_AT, jitter: 0.1, floor: '1s' },
    http: { host: '127.0.0.1', port: OTHER_POD_PORT },
    log: { level: 'debug' },
  });
}

function sharedCredential({ connection }: Configured): object {
  return { name: SHARED, endpoint: endpointOf(SHARED), connection, sinks: [{ secret: SECRET }] };
}

function endpointOf(name: string): string {
  return `projects/${name}/branches/production/endpoints/primary`;
}

export function brokenText(variant: number): string {
  return choose(BREAKAGES, variant);
}
