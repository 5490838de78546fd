import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import type { JWK } from 'jose';
import type { WatchedFile } from './layout.ts';

export type State =
  'whole' | 'missing' | 'not a file' | 'wrong owner' | 'wrong mode' | 'empty' | 'torn' | 'foreign' | 'somebody else’s';

export interface Lifespan {
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What a reader finds, in its own words: nothing of the program under test is used to judge it. */
export interface Reading {
  readonly state: State;
  /** Of the token, where it is whole: a fingerprint, and its times in epoch milliseconds. */
  readonly token?: Lifespan & { readonly id: string };
}

/** What was at each place at one time. */
export type Snapshot = readonly { readonly path: string; readonly reading: Reading }[];

export interface ReaderOptions {
  readonly user: string;
  readonly uid: number;
  readonly pgpassPrefix: string;
  readonly jwk: JWK;
  /** Valid, but nothing that the sidecar was given. */
  readonly foreignId: string;
}

const NEVER_FOLLOW = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Of files, and of what else holds a token in the same formats. */
export class FileReader {
  readonly #options: ReaderOptions;
  readonly #key: KeyObject;
  readonly #judged = new Map<string, Reading>();

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#key = createPublicKey({ key: { ...options.jwk }, format: 'jwk' });
  }

  read(path: string, file: WatchedFile): Reading {
    let descriptor: number;
    try {
      descriptor = openSync(path, NEVER_FOLLOW);
    } catch (error) {
      return { state: (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'missing' : 'not a file' };
    }
    try {
      // Of what was opened, which a rename does not change any more.
      const stats = fstatSync(descriptor);
      if (!stats.isFile()) return { state: 'not a file' };
      if (stats.uid !== this.#options.uid) return { state: 'wrong owner' };
      if ((stats.mode & 0o7777) !== file.mode) return { state: 'wrong mode' };
      return this.judge(readFileSync(descriptor, 'utf8'), file.format);
    } finally {
      closeSync(descriptor);
    }
  }

  judge(content: string, format: WatchedFile['format']): Reading {
    if (content === '') return { state: 'empty' };
    const key = format + content;
    const known = this.#judged.get(key);
    if (known !== undefined) return known;
    const token = this.#tokenIn(content, format);
    const reading = token === undefined ? ({ state: 'torn' } as const) : this.#verify(token);
    if (this.#judged.size > 1_000) this.#judged.clear();
    this.#judged.set(key, reading);
    return reading;
  }

  #tokenIn(content: string, format: WatchedFile['format']): string | undefined {
    if (format === 'token') return content;
    if (format === 'pgpass') {
      const { pgpassPrefix } = this.#options;
      const isOneLine = content.indexOf('\n') === content.length - 1;
      return isOneLine && content.startsWith(pgpassPrefix) ? content.slice(pgpassPrefix.length, -1) : undefined;
    }
    try {
      const { token, expiresAt } = JSON.parse(content) as { token?: string; expiresAt?: string };
      return Number.isNaN(Date.parse(expiresAt ?? '')) ? undefined : token;
    } catch {
      return undefined;
    }
  }

  #verify(token: string): Reading {
    const [header = '', payload = '', signature = ''] = token.split('.');
    const key = { key: this.#key, dsaEncoding: 'ieee-p1363' } as const;
    const isSigned = verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
    if (!isSigned) return { state: 'torn' };
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
      sub: string;
      iat: number;
      exp: number;
    };
    const id = fingerprint(token);
    if (id === this.#options.foreignId) return { state: 'foreign' };
    const times = { id, issuedAt: claims.iat * 1_000, expiresAt: claims.exp * 1_000 };
    return { state: claims.sub === this.#options.user ? 'whole' : 'somebody else’s', token: times };
  }
}

export function fingerprint(token: string): string {
  return hash('sha256', token);
}

/** Databricks' own margin, and a tenth of a short life. */
export function marginMs({ issuedAt, expiresAt }: Lifespan): number {
  return Math.min(30_000, (expiresAt - issuedAt) / 10);
}

/** Between two looks at clocks of different processes. */
export const GRAIN_MS = 150;

export function isUsable({ state, token }: Reading, at: number): boolean {
  return state === 'whole' && token !== undefined && token.expiresAt - at >= marginMs(token);
}

export function describe({ path, reading }: Snapshot[number]): string {
  const { state, token } = reading;
  return `${path} is ${state === 'whole' && token ? `good for ${token.expiresAt - Date.now()} ms` : state}`;
}
