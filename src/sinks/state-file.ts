import { join } from 'node:path';
import { isToken, readClaims } from '../credential/claims.ts';
import { SinkError } from '../credential/errors.ts';
import { isRecord, parseJson } from '../credential/json.ts';
import type { Cancellable, Credential, Identity, Lifespan, Recovered } from '../credential/ports.ts';
import { Secret } from '../credential/secret.ts';
import { replaceFile, sweep } from './atomic-write.ts';
import { toSinkError } from './file-errors.ts';
import { lstat } from './files.ts';
import { readRegularFile } from './read-file.ts';
import { refuseKept } from './target.ts';

/** It was minted on this machine, or adopted here. */
export type Recorded = Recovered & { readonly local: Lifespan };

/** A reading of the monotonic clock, which begins anew with each start of the machine. */
interface Reading {
  readonly boot: string;
  readonly at: number;
}

const STATE_MODE = 0o600;
const MAX_STATE_BYTES = 64 * 1024;
/** More than the new and the previous: a process that dies, or a sink that fails, several times in a row keeps its place. */
const MAX_ENTRIES = 8;
/** An id of Linux has 36. Without a limit a long one would be taken over, and make the next record too long to be read. */
const MAX_BOOT_LENGTH = 64;

interface Entry {
  readonly sha256: string;
  readonly local: Lifespan;
  readonly service: Lifespan;
  /** Goes with `local.issuedAt`: a clock that is set while no process runs shows by it. */
  readonly monotonic?: Reading | undefined;
}

export interface StateFileOptions {
  readonly directory: string;
  /** The credential's name: `.NAME.state.json`. */
  readonly name: string;
  readonly identity: Identity;
  /** Names the start of the machine; undefined where nobody knows. */
  readonly boot: string | undefined;
}

/**
 * Remembers whose tokens the files of one directory hold and how long they live, never a token. All sinks of a credential
 * in a directory share one object, so that their records do not overwrite each other.
 */
export class StateFile {
  readonly path: string;
  readonly #identity: Identity;
  readonly #boot: string | undefined;
  #remembered: readonly Entry[] = [];
  #lastRecord: Promise<void> = Promise.resolve();

  constructor({ directory, name, identity, boot }: StateFileOptions) {
    this.path = join(directory, `.${name}.state.json`);
    this.#identity = identity;
    this.#boot = boot;
  }

  /** Removes what a killed process left half-written. */
  async sweep(): Promise<void> {
    await sweep(this.path);
  }

  /** @throws SinkError where no record can be put */
  async refuseUnfit(): Promise<void> {
    const stats = await lstat(this.path).catch(() => undefined); // what else is wrong, the file's own directory shows
    if (stats === undefined) return;
    if (!stats.isDirectory()) return await refuseKept(this.path, stats);
    const remedy = 'remove the directory, or configure files in another one';
    throw new SinkError(
      'refused',
      `${this.path} is a directory, but its path is needed for the state file of the credential`,
      { remedy },
    );
  }

  /** Whether it is on record. If not, the next process does not know the token in the files, and can only mint. */
  async has({ fingerprint }: Credential): Promise<boolean> {
    return parseEntries(await this.#read(), this.#identity).some(({ sha256 }) => sha256 === fingerprint);
  }

  /** Before a file gets the credential: whatever happens afterwards, its token can be recognised. @throws SinkError */
  async record(credential: Credential, options: Cancellable): Promise<void> {
    const record = () => this.#record(credential, options);
    const recorded = this.#lastRecord.then(record, record);
    this.#lastRecord = recorded;
    await recorded;
  }

  /** What is on record about a token; nothing if the record is missing, broken, or of another identity. */
  async match(token: string): Promise<Recorded | undefined> {
    if (!isToken(token)) return undefined;
    const { hash } = await import('node:crypto'); // which a start that finds no token does well without
    const fingerprint = hash('sha256', token);
    const entry = parseEntries(await this.#read(), this.#identity).find(({ sha256 }) => sha256 === fingerprint);
    if (entry === undefined) return undefined;
    const { subject, expiresAt = Infinity } = readClaims(token);
    const { local, service, monotonic } = entry;
    // Whoever may write beside the file may write the record, but cannot make the service sign a longer life.
    if (service.expiresAt > expiresAt) return undefined;
    return {
      token: new Secret(token),
      local,
      service,
      fingerprint,
      subject,
      ...(monotonic !== undefined && monotonic.boot === this.#boot && { monotonicAt: monotonic.at }),
    };
  }

  async #record({ fingerprint, local, service, monotonicAt }: Credential, options: Cancellable): Promise<void> {
    const before = await this.#read();
    const monotonic = this.#boot === undefined ? undefined : { boot: this.#boot, at: monotonicAt };
    // The file comes first because another process may have written it; memory stands in for one that was deleted.
    const others = [...parseEntries(before, this.#identity), ...this.#remembered];
    const entries = uniqueEntries([{ sha256: fingerprint, local, service, monotonic }, ...others]).slice(
      0,
      MAX_ENTRIES,
    );
    const content = `${JSON.stringify({ identity: this.#identity, tokens: entries }, null, 2)}\n`;
    if (content !== before) {
      try {
        await replaceFile(this.path, content, STATE_MODE, options);
      } catch (error) {
        throw await toSinkError(error, 'write', this.path);
      }
    }
    this.#remembered = entries;
  }

  /** A record that cannot be read is as good as none: the next one replaces it. */
  async #read(): Promise<string | undefined> {
    return await readRegularFile(this.path, MAX_STATE_BYTES).catch(() => undefined);
  }
}

/** The first of each token stays. */
function uniqueEntries(entries: readonly Entry[]): Entry[] {
  return entries.filter((entry, index) => entries.findIndex(({ sha256 }) => sha256 === entry.sha256) === index);
}

function parseEntries(text: string | undefined, identity: Identity): readonly Entry[] {
  const state = parseJson(text ?? '');
  if (!isRecord(state) || !isRecord(state['identity']) || !Array.isArray(state['tokens'])) return [];
  const { workspace, resource, principal } = state['identity'];
  const isOurs = workspace === identity.workspace && resource === identity.resource && principal === identity.principal;
  if (!isOurs) return [];
  return state['tokens'].filter(isEntry).map(withoutOthers);
}

/** What else stands in an entry is not taken along: it could be nested too deeply to be written again. */
function withoutOthers({ sha256, local, service, monotonic }: Entry): Entry {
  const lifespanOf = ({ issuedAt, expiresAt }: Lifespan): Lifespan => ({ issuedAt, expiresAt });
  const reading = monotonic && { boot: monotonic.boot, at: monotonic.at };
  return { sha256, local: lifespanOf(local), service: lifespanOf(service), monotonic: reading };
}

function isEntry(value: unknown): value is Entry {
  return (
    isRecord(value) &&
    typeof value['sha256'] === 'string' &&
    /^[0-9a-f]{64}$/.test(value['sha256']) &&
    isLifespan(value['local']) &&
    isLifespan(value['service']) &&
    (value['monotonic'] === undefined || isReading(value['monotonic']))
  );
}

function isReading(value: unknown): value is Reading {
  if (!isRecord(value) || !Number.isFinite(value['at'])) return false;
  return typeof value['boot'] === 'string' && value['boot'].length <= MAX_BOOT_LENGTH;
}

function isLifespan(value: unknown): value is Lifespan {
  return (
    isRecord(value) &&
    isInstant(value['issuedAt']) &&
    isInstant(value['expiresAt']) &&
    value['issuedAt'] < value['expiresAt']
  );
}

/** Within what a Date can show. */
function isInstant(value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(new Date(value).getTime());
}
