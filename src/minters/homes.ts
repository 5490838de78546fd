import { lstatSync, mkdirSync, mkdtempSync, opendir, rmdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Cancellable } from '../credential/ports.ts';

/** Not a directory, so that nothing can be made in it. A path that merely does not exist would be made by a CLI that runs as root. */
const NO_HOME = '/dev/null';
/** A path without a file. Not below the home, because the CLI fails where it cannot even look for its file. */
const NO_CONFIG = '/nonexistent/no-config';
const PREFIX = 'lakebase-credential-';
const NAMES_AT_ONCE = 256;
/** With the number of the process that has made it. */
const NAME = new RegExp(`^${PREFIX}(\\d+)-\\w{6}$`);

/**
 * A HOME and a cache for each slot, in a private folder under the temporary directory: never on the shared volume, and
 * never shared by two commands that run at once. Where it cannot be made the CLI works without, one request slower.
 */
export class PrivateHomes {
  readonly #temporaryDirectory: string;
  #root: string | undefined;

  constructor(temporaryDirectory: string) {
    // The CLI runs in another directory, and would make itself a home there.
    this.#temporaryDirectory = resolve(temporaryDirectory);
  }

  /** What the CLI of that slot gets. Its configuration file does not exist: what lies about must not choose the identity. */
  variables(slot: number): Record<string, string> {
    try {
      // If somebody has tidied up here, the name, which others could see, may be theirs by now.
      if (this.#root === undefined || !isOurs(this.#root)) {
        this.#root = mkdtempSync(join(this.#temporaryDirectory, `${PREFIX}${process.pid}-`)); // 0700
      }
      const home = join(this.#root, `slot-${slot}`);
      const cache = join(home, 'cache');
      mkdirSync(cache, { recursive: true, mode: 0o700 });
      return { HOME: home, DATABRICKS_CACHE_DIR: cache, DATABRICKS_CONFIG_FILE: join(home, 'no-config') };
    } catch {
      this.#removeIfEmpty();
      return { HOME: NO_HOME, DATABRICKS_CONFIG_FILE: NO_CONFIG };
    }
  }

  /**
   * Removes what killed processes of this user have left, before it fills the directory. In a container each process has the
   * number of the one before it. A process of another container may seem to be gone: it makes itself another home.
   */
  async sweep({ signal }: Cancellable): Promise<void> {
    try {
      // Never all names at once: on a machine with other users these decide how many there are.
      for await (const { name } of await promisify(opendir)(this.#temporaryDirectory, { bufferSize: NAMES_AT_ONCE })) {
        if (signal.aborted) return;
        const [, pid] = NAME.exec(name) ?? [];
        const path = join(this.#temporaryDirectory, name);
        if (pid !== undefined && path !== this.#root && isOver(Number(pid)) && isOurs(path)) remove(path);
      }
    } catch {
      // It is away, or its names are not ours to read: then what is left there stays, and nothing else depends on it.
    }
  }

  remove(): void {
    if (this.#root !== undefined) remove(this.#root);
  }

  /** So that the next command makes a new one. While other commands run in it, it is not empty, and stays. */
  #removeIfEmpty(): void {
    try {
      if (this.#root !== undefined) rmdirSync(this.#root);
    } catch {
      // It is not empty, or cannot be removed: then the next command tries it again.
    }
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { recursive: true });
  } catch {
    // It is read-only by now, or something that the CLI has left running still writes there: no reason to fail.
  }
}

/** A directory, and no link to one, of this user. */
function isOurs(path: string): boolean {
  try {
    const stats = lstatSync(path);
    return stats.isDirectory() && stats.uid === process.getuid?.();
  } catch {
    return false; // it is gone
  }
}

function isOver(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
