import type { BigIntStats } from 'node:fs';
import { dirname } from 'node:path';
import { SinkError } from '../credential/errors.ts';
import type { Format } from '../credential/formats.ts';
import { labelOf } from '../credential/label.ts';
import type {
  Cancellable,
  Clock,
  Connection,
  Credential,
  Holding,
  Inspection,
  Sink,
  SinkListener,
} from '../credential/ports.ts';
import { probeDirectory, probeReplacement, replaceFile, sweep } from './atomic-write.ts';
import { makeDirectory, missingDirectories } from './directory.ts';
import { hasErrno, octal, ownershipOf, toSinkError } from './file-errors.ts';
import { lstat } from './files.ts';
import { Glance } from './glance.ts';
import { readRegularFile } from './read-file.ts';
import { parseToken, render } from './render.ts';
import type { Recorded, StateFile } from './state-file.ts';
import { kindOf, refuseUnfitTarget } from './target.ts';

/** Far above any token that a Postgres server takes as a password. */
const MAX_FILE_BYTES = 256 * 1024;
/** What a replacement needs: the new file and the new state, beside the old ones. */
const ROOM_BYTES = 8 * 1024;

export interface FileSinkOptions {
  /** Absolute. */
  readonly path: string;
  readonly format: Format;
  readonly mode: number;
  readonly connection: Connection;
  /** The one of the file's directory; shared by all sinks of the credential there. */
  readonly state: StateFile;
  readonly clock: Clock;
  /** Calls back soon after somebody touched a file, until the signal. */
  readonly watch: (path: string, onChange: () => void, options: Cancellable) => Promise<void>;
}

/** One file that Postgres clients read at each login. */
export class FileSink implements Sink {
  readonly kind = 'file';
  readonly name: string;
  readonly #options: FileSinkOptions;
  readonly #glance: Glance;

  constructor(options: FileSinkOptions) {
    this.#glance = new Glance(options.path, options.clock);
    this.name = labelOf({ kind: this.kind, path: options.path });
    this.#options = options;
  }

  async prepare({ signal }: Cancellable): Promise<void> {
    signal.throwIfAborted();
    const { path } = this.#options;
    try {
      await makeDirectory(dirname(path));
      await this.#probe();
    } catch (error) {
      const sinkError = await toSinkError(error, 'write', path);
      // A disk that is full now may have room when there is something to write.
      if (sinkError.failure !== 'no_space') throw sinkError;
    }
  }

  async examine({ signal }: Cancellable): Promise<string> {
    signal.throwIfAborted();
    const { path, mode } = this.#options;
    try {
      const [missing] = await missingDirectories(dirname(path));
      if (missing !== undefined) {
        await probeDirectory(missing, mode, ROOM_BYTES); // what is permitted may be impossible all the same, for root in /proc above all
        return `${dirname(path)} does not exist yet and can be created in ${dirname(missing)}`;
      }
      await this.#probe(ROOM_BYTES);
      return `can be written with mode ${octal(mode)}; ${await ownershipOf(dirname(path))}`;
    } catch (error) {
      throw await toSinkError(error, 'write', path);
    }
  }

  async recover({ signal }: Cancellable): Promise<Recorded | undefined> {
    signal.throwIfAborted();
    const { path, format, state } = this.#options;
    // Not in prepare(): on a reload the keeper that writes here now has not stopped yet. What stays is only litter.
    await Promise.allSettled([sweep(path), state.sweep()]);
    // What cannot be read cannot be adopted; whether it can be written is for `write` to say.
    const content = await readRegularFile(path, MAX_FILE_BYTES).catch(() => undefined);
    const token = content === undefined ? undefined : parseToken(format, content);
    return token === undefined ? undefined : await state.match(token);
  }

  async write(credential: Credential, { signal }: Cancellable): Promise<void> {
    signal.throwIfAborted();
    const { path, format, mode, connection, state } = this.#options;
    const content = render(format, credential, connection);
    try {
      await makeDirectory(dirname(path)); // again: somebody may have removed it since
      const first = async (): Promise<void> => await state.record(credential, { signal });
      await replaceFile(path, content, mode, { signal, first });
    } catch (error) {
      signal.throwIfAborted();
      throw await toSinkError(error, 'write', path);
    }
  }

  /** Reads the file at each call: health must not rest on times that the kernel has rounded. */
  async inspect(known: readonly Credential[], { signal }: Cancellable): Promise<Inspection> {
    signal.throwIfAborted();
    const { path, format, connection, state } = this.#options;
    this.#glance.forget();
    try {
      const stats = await lstat(path, { bigint: true });
      const content = await this.#readAsPublished(stats);
      const credential = known.find((candidate) => render(format, candidate, connection) === content);
      if (credential !== undefined) {
        if (!(await state.has(credential))) return { state: 'marred', credential };
        this.#glance.remember(stats);
        return { state: 'holds', credential };
      }
      return lacks(new SinkError('foreign_content', `${path} holds something other than a token of this credential`));
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return lacks(new SinkError('missing', `${path} does not exist`, { cause: error }));
      return lacks(await toSinkError(error, 'read', path));
    }
  }

  async isUntouched({ signal }: Cancellable): Promise<boolean> {
    signal.throwIfAborted();
    return await this.#glance.showsNoChange();
  }

  async watch({ onChange }: SinkListener, { signal }: Cancellable): Promise<void> {
    const { path, watch } = this.#options;
    await watch(path, onChange, { signal });
  }

  /** @throws SinkError where the file or its record cannot be put, or an error of the operating system */
  async #probe(bytes = 0): Promise<void> {
    const { path, mode, state } = this.#options;
    await refuseUnfitTarget(path);
    await state.refuseUnfit();
    await probeReplacement(path, mode, bytes);
  }

  /** @throws SinkError where a client would not read the file, or an error of the operating system */
  async #readAsPublished(stats: BigIntStats): Promise<string | undefined> {
    const { path, mode } = this.#options;
    if (!stats.isFile()) throw new SinkError('not_a_file', `${path} is ${kindOf(stats)}, not a regular file`);
    const found = Number(stats.mode);
    if ((found & 0o7777) !== mode) {
      throw new SinkError('wrong_mode', `${path} has the mode ${octal(found)} instead of ${octal(mode)}`);
    }
    return await readRegularFile(path, MAX_FILE_BYTES);
  }
}

function lacks(problem: SinkError): Holding {
  return { state: 'lacks', problem };
}
