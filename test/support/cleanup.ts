import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What these helpers need of a test. */
export interface Cleanup {
  after(undo: () => unknown): void;
}

const undoing = new WeakMap<Cleanup, (() => unknown)[]>();

/** Like `t.after`, but the last comes first: a process must be gone before the directory that it writes to. */
export function undoAfter(t: Cleanup, undo: () => unknown): void {
  const undos = undoing.get(t);
  if (undos !== undefined) {
    undos.unshift(undo);
    return;
  }
  const all = [undo];
  undoing.set(t, all);
  t.after(async () => {
    for (const one of all) await one();
  });
}

/** What several tests share is undone after the last of them; node:test's own `after` in a hook ends with that hook. */
export class SharedCleanup implements Cleanup {
  readonly #undos: (() => unknown)[] = [];

  after(undo: () => unknown): void {
    this.#undos.unshift(undo);
  }

  /** What cannot be undone keeps nothing else from being undone. */
  async undo(): Promise<void> {
    const errors: unknown[] = [];
    for (const undo of this.#undos.splice(0)) {
      try {
        await undo();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'not everything could be undone');
  }
}

export async function temporaryDirectory(t: Cleanup): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'sidecar-')));
  undoAfter(t, () => rm(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}
