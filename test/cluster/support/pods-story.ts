import { test, type TestContext } from 'node:test';
import type { Cleanup } from '../../support/sidecar-wait.ts';

/** Tests that build on each other: after one that failed the rest would only wait for what cannot come. */
export function story(): (title: string, body: (t: TestContext) => Promise<void>) => void {
  let failed: string | undefined;
  return (title, body) => {
    test(title, async (t) => {
      if (failed !== undefined) {
        t.skip(`after "${failed}"`);
        return;
      }
      try {
        await body(t);
      } catch (error) {
        failed = title;
        throw error;
      }
    });
  };
}

/** What several tests share is undone after the last of them; node:test's own `after` in a hook ends with that hook. */
export class SharedCleanup implements Cleanup {
  readonly #undos: (() => unknown)[] = [];

  after(undo: () => unknown): void {
    this.#undos.unshift(undo);
  }

  async undo(): Promise<void> {
    for (const undo of this.#undos.splice(0)) await undo();
  }
}
