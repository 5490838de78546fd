import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { Mock, TestContext } from 'node:test';

type AnyFunction = (...args: never[]) => unknown;
const functions = fs as unknown as Record<string, AnyFunction>;

/** Watches a function of `node:fs`, or replaces it, until the test ends, also for those that import it by its name. */
export function mockFs(
  t: TestContext,
  name: 'access' | 'opendir' | 'watch',
  implementation: AnyFunction = functions[name]!,
): Mock<AnyFunction> {
  const mocked = t.mock.method(functions, name, implementation);
  syncBuiltinESMExports();
  t.after(() => {
    mocked.mock.restore();
    syncBuiltinESMExports();
  });
  return mocked;
}
