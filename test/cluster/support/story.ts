import { test, type TestContext, type TestOptions } from 'node:test';

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
