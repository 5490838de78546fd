import { after, test, type TestContext, type TestOptions } from 'node:test';
import { SharedCleanup, type Cleanup } from './cleanup.ts';

/** What the tests of a suite share is undone after the last of them; called where the suite is described. */
export function cleanupOfSuite(): Cleanup {
  const shared = new SharedCleanup();
  after(() => shared.undo());
  return shared;
}

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
