import type { Format } from '../src/credential/formats.ts';

/** What the sidecar under test keeps: paths are relative to the volume. */
export interface WatchedFile {
  readonly path: string;
  readonly directory: Directory;
  readonly format: Format & ('pgpass' | 'token' | 'json');
  readonly mode: number;
}

function file(directory: Directory, name: string, format: WatchedFile['format'], mode = 0o600): WatchedFile {
  return { path: `${directory}/${name}`, directory, format, mode };
}

/** Each credential has a directory of its name. */
export const DIRECTORIES = ['backstage', 'reports'] as const;
export type Directory = (typeof DIRECTORIES)[number];
export const FILES: readonly WatchedFile[] = [
  file('backstage', 'pgpass', 'pgpass'),
  file('backstage', 'token', 'token', 0o640),
  file('reports', 'pgpass', 'pgpass'),
  file('reports', 'credential.json', 'json'),
];
export const DATABASE = 'app';
/** A credential of its own, which other pods publish, too. */
export const SHARED = 'shared';
export const SECRET = { namespace: 'apps', name: 'lakebase', data: { password: 'token', pgpass: 'pgpass' } } as const;
/** What the sidecar calls it. */
export const SECRET_PLACE = `secret:${SECRET.namespace}/${SECRET.name}`;
/** Everything that has readers. */
export const PLACES: readonly string[] = [...FILES.map(({ path }) => path), SECRET_PLACE];

/** In a network namespace of its own every port is free. */
export const SIDECAR_PORT = 9467;
export const OTHER_POD_PORT = 9468;
export const API_PORT = 6443;
export const WORKSPACE_PORT = 8443;
export const WORKSPACE_NAME = 'workspace.test';
/** Nobody in particular: not root, whom neither modes nor read-only directories stop. */
export const SIDECAR_UID = 10_001;

/** An hour, a hundred and twenty times faster. Of it, what does not scale is the least time for an attempt, five seconds. */
export const LIFETIME_MS = 30_000;
/** At the latest; production has 0.667, which leaves 20 minutes for retries where here are seconds. */
export const REFRESH_AT = 0.5;
