import { posix } from 'node:path';
import { BEARING, type Format } from '../credential/formats.ts';
import { isRecord } from '../credential/json.ts';
import { LONGEST_LIFETIME_MS } from '../credential/ports.ts';
import { formatDuration } from './duration.ts';
import type { Options } from './options.ts';

/** What the options look like while some of them may still be missing or of the wrong type. */
type Draft<T> =
  NonNullable<T> extends readonly (infer Item)[]
    ? readonly Draft<Item>[] | undefined
    : NonNullable<T> extends object
      ? { readonly [K in keyof NonNullable<T>]?: Draft<NonNullable<T>[K]> } | undefined
      : unknown;

type DraftCredential = Draft<Options['credentials'][number]>;
type DraftSink = Draft<Options['credentials'][number]['sinks'][number]>;
type Path = (string | number)[];

export interface BrokenRule {
  readonly path: Path;
  readonly message: string;
}

/** What `connection` must say for each format; `user` may come from the environment. docs/configuration.md lists it. */
export const NEEDS = {
  pgpass: ['host', 'user'],
  token: [],
  json: [],
  env: ['host', 'database', 'user'],
  uri: ['host', 'database', 'user'],
} as const satisfies Readonly<Record<Format, readonly (keyof Options['credentials'][number]['connection'])[]>>;

/**
 * What one option alone cannot show. Runs on drafts too, so that every problem is listed at once.
 *
 * @param isWrong whether an option, or anything in it, is wrong by itself: a number without a unit is no duration, and none
 * to compare with.
 */
export function* brokenRules(draft: Draft<Options>, isWrong: (path: Path) => boolean): Generator<BrokenRule> {
  yield* timing(draft, isWrong);
  const credentials = list(draft?.credentials);
  for (const [i, credential] of credentials) {
    const at: Path = ['credentials', i];
    if (!isRecord(credential)) continue;
    yield* resource(credential, at);
    yield* kinds(credential, at, isWrong);
    yield* formats(credential, at);
  }
  yield* uniqueNames(credentials);
  yield* uniquePaths(credentials);
  yield* uniqueSecrets(credentials);
}

function* timing(draft: Draft<Options>, isWrong: (path: Path) => boolean): Generator<BrokenRule> {
  const { jitter, floor } = draft?.refresh ?? {};
  const at = isWrong(['refresh', 'at']) ? undefined : draft?.refresh?.at;
  if (isNumber(at) && isNumber(jitter) && jitter >= at) {
    yield { path: ['refresh', 'jitter'], message: `must be below refresh.at, which is ${at}` };
  }
  const { initial, max } = draft?.backoff ?? {};
  if (isNumber(initial) && isNumber(max) && initial > max && !isWrong(['backoff', 'initial'])) {
    yield {
      path: ['backoff', 'max'],
      message: `must be at least backoff.initial, which is ${formatDuration(initial)}`,
    };
  }
  const ttls = list(draft?.credentials).flatMap(([i, credential]) =>
    isWrong(['credentials', i, 'ttl']) ? [] : [credential?.ttl ?? LONGEST_LIFETIME_MS],
  );
  const latestFloor = downToSeconds(Math.min(...ttls.filter(isNumber)) * (isNumber(at) ? at : Number.NaN));
  if (isNumber(floor) && floor > latestFloor) {
    yield {
      path: ['refresh', 'floor'],
      message: `must be at most refresh.at times the shortest lifetime, which is ${formatDuration(latestFloor)}`,
    };
  }
}

function* resource(credential: DraftCredential, at: Path): Generator<BrokenRule> {
  const { endpoint, instance, ttl } = credential ?? {};
  if (endpoint === undefined && instance === undefined) {
    yield { path: [...at, 'endpoint'], message: 'is missing: set exactly one of endpoint and instance' };
  }
  if (endpoint !== undefined && instance !== undefined) {
    yield {
      path: [...at, 'instance'],
      message: 'cannot be used together with an endpoint: set exactly one of the two',
    };
  }
  if (instance !== undefined && endpoint === undefined && ttl !== undefined) {
    yield { path: [...at, 'ttl'], message: 'cannot be used with an instance, which does not support a ttl: remove it' };
  }
}

function* kinds(credential: DraftCredential, at: Path, isWrong: (path: Path) => boolean): Generator<BrokenRule> {
  for (const [j, sink] of list(credential?.sinks)) {
    if (!isRecord(sink)) continue;
    const { file, secret } = sink;
    if ((file === undefined) === (secret === undefined)) {
      yield { path: [...at, 'sinks', j], message: 'must have exactly one of file and secret' };
    }
    const data: Path = [...at, 'sinks', j, 'secret', 'data'];
    // A misspelled format may be meant to be one of these.
    if (isRecord(secret?.data) && !isWrong(data) && !BEARING.some((format) => formatsOf(sink).includes(format))) {
      yield {
        path: data,
        message: `must have a key with the format ${BEARING.join(', ').replace(/, (\w+)$/, ' or $1')}, so that the sidecar can read the token back`,
      };
    }
  }
}

function* formats(credential: DraftCredential, at: Path): Generator<BrokenRule> {
  const sinks = list(credential?.sinks);
  const connection = credential?.connection;
  const used = new Set(sinks.flatMap(([, sink]) => formatsOf(sink)));
  for (const field of ['host', 'database', 'user'] as const) {
    const needing = Object.entries(NEEDS).flatMap(([format, fields]) =>
      used.has(format as keyof typeof NEEDS) && fields.some((needed) => needed === field) ? [format] : [],
    );
    if (isRecord(connection) && connection[field] === undefined && needing.length > 0) {
      const byDefault = field === 'user' ? '; by default it is DATABRICKS_CLIENT_ID, if that identity mints' : '';
      const message = `is missing: needed by ${needing.join(' and ')}${byDefault}`;
      yield { path: [...at, 'connection', field], message };
    }
  }
  const other = [...used].find((format) => format === 'json' || format === 'env' || format === 'uri');
  if (connection?.host === '*' && other !== undefined) {
    yield {
      path: [...at, 'connection', 'host'],
      message: `must be a real host for the format ${other}; only pgpass accepts *`,
    };
  }
  for (const [j, sink] of sinks) {
    if (sink?.file?.format === 'pgpass' && isNumber(sink.file.mode) && sink.file.mode !== 0o600) {
      yield {
        path: [...at, 'sinks', j, 'file', 'mode'],
        message:
          'must be "0600" for pgpass: libpq and node-postgres ignore a password file with any group or world permission',
      };
    }
  }
}

function* uniqueNames(credentials: [number, DraftCredential][]): Generator<BrokenRule> {
  const seen = new Map<unknown, number>();
  for (const [i, credential] of credentials) {
    const name = credential?.name;
    const first = seen.get(name);
    if (first !== undefined) {
      yield { path: ['credentials', i, 'name'], message: `must be unique: credentials[${first}] has it too` };
    } else if (typeof name === 'string') {
      seen.set(name, i);
    }
  }
}

function* uniquePaths(credentials: [number, DraftCredential][]): Generator<BrokenRule> {
  const files = credentials.flatMap(([i, credential]) =>
    list(credential?.sinks).flatMap(([j, sink]) => locate(i, j, credential, sink)),
  );
  const states = new Set(files.map(({ state }) => state));
  for (const [n, { file, at }] of files.entries()) {
    const same = files.slice(0, n).find((earlier) => earlier.file === file);
    if (same !== undefined) yield { path: at, message: `must be unique: ${same.where} has it too` };
    if (states.has(file)) {
      yield { path: at, message: 'must not be the state file that the sidecar keeps beside the files of a credential' };
    }
    const parent = files.find((other) => file.startsWith(`${other.file}/`));
    if (parent !== undefined)
      yield { path: at, message: `must not lie below the file of another sink: ${parent.where}` };
  }
}

/** Two credentials in one Secret would prune each other's keys for ever; so would two sinks of one credential. */
function* uniqueSecrets(credentials: [number, DraftCredential][]): Generator<BrokenRule> {
  const seen = new Map<string, string>();
  for (const [i, credential] of credentials) {
    for (const [j, sink] of list(credential?.sinks)) {
      const { namespace, name } = sink?.secret ?? {};
      if (typeof namespace !== 'string' || typeof name !== 'string') continue;
      const first = seen.get(`${namespace}/${name}`);
      const where = `credentials[${i}].sinks[${j}]`;
      if (first === undefined) seen.set(`${namespace}/${name}`, where);
      else {
        const message = `must be unique: ${first} writes this Secret too, and one Secret holds one credential`;
        yield { path: ['credentials', i, 'sinks', j, 'secret', 'name'], message };
      }
    }
  }
}

function formatsOf(sink: DraftSink): unknown[] {
  const { file, secret } = sink ?? {};
  return [file?.format, ...(isRecord(secret?.data) ? Object.values(secret.data) : [])];
}

function locate(i: number, j: number, credential: DraftCredential, sink: DraftSink) {
  const file = sink?.file?.path;
  if (typeof file !== 'string') return [];
  return [
    {
      file,
      at: ['credentials', i, 'sinks', j, 'file', 'path'],
      where: `credentials[${i}].sinks[${j}]`,
      state: posix.join(posix.dirname(file), `.${String(credential?.name)}.state.json`),
    },
  ];
}

/** Down to a duration that can be written; first to the millisecond, because 0.57 times 5m is a little less than 171s. */
function downToSeconds(ms: number): number {
  return Math.floor(Math.round(ms) / 1_000) * 1_000;
}

/** With the original indices; what is no list counts as an empty one. */
function list<T>(items: readonly T[] | undefined): [number, T][] {
  return Array.isArray(items) ? [...items.entries()] : [];
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}
