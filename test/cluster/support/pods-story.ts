import { test, type TestContext, type TestOptions } from 'node:test';
import type { Cleanup } from '../../support/sidecar-wait.ts';

type Chapter = (t: TestContext) => Promise<void>;

/** Tests that build on each other: after one that failed the rest would only wait for what cannot come. */
export function story(): (title: string, options: TestOptions, body: Chapter) => void {
  let failed: string | undefined;
  return (title, options, body) => {
    test(title, options, async (t) => {
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
