import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** A path that no file stands at. */
const NOWHERE = '/nonexistent';

/**
 * A HOME and a cache for each slot, in a private folder under the temporary directory: never on the shared volume, and
 * never shared by two commands that run at once. Where it cannot be made the CLI works without, one request slower.
 */
export class PrivateHomes {
  readonly #temporaryDirectory: string;
  #root: string | undefined;

  constructor(temporaryDirectory: string) {
    this.#temporaryDirectory = temporaryDirectory;
  }

  /** What the CLI of that slot gets. Its configuration file does not exist: what lies about must not choose the identity. */
  variables(slot: number): Record<string, string> {
    try {
      this.#root ??= mkdtempSync(join(this.#temporaryDirectory, 'lakebase-credential-')); // 0700
      const home = join(this.#root, `slot-${slot}`);
      const cache = join(home, 'cache');
      mkdirSync(cache, { recursive: true, mode: 0o700 });
      return { HOME: home, DATABRICKS_CACHE_DIR: cache, DATABRICKS_CONFIG_FILE: join(home, 'no-config') };
    } catch {
      this.#removeIfEmpty();
      return { HOME: NOWHERE, DATABRICKS_CONFIG_FILE: join(NOWHERE, 'no-config') };
    }
  }

  /** Then the next command makes a new one. If other commands run in it, it stays until the end. */
  #removeIfEmpty(): void {
    try {
      if (this.#root !== undefined) rmdirSync(this.#root);
      this.#root = undefined;
    } catch {
      // It is not empty, or cannot be removed: then the next command tries it again.
    }
  }

  remove(): void {
    try {
      if (this.#root !== undefined) rmSync(this.#root, { recursive: true, force: true });
    } catch {
      // Read-only by now, or somebody whom the CLI has left behind writes there: no reason to end otherwise than well.
    }
  }
}
