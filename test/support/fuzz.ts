import { test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import * as fc from 'fast-check';

/** Of a property that costs 1. The big run sets it (`node scripts/fuzz.ts`). */
const CASES = Number(process.env['FUZZ_CASES'] ?? 200);
/** Another one in each run, unless a find is to be seen again. */
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

export interface PropertyOptions {
  /** How many cases of a cheap property one of this takes the time of. */
  readonly costs?: number;
  /** How many values one case tries at once, where a process would be too dear for one. */
  readonly batch?: number;
  readonly skip?: string | false;
  readonly before?: (t: TestContext) => Promise<void>;
}

/** Holds for everything that is drawn; a find is shown at its smallest, with the seed. */
export function property<T>(
  title: string,
  arbitrary: fc.Arbitrary<T>,
  holds: (value: T) => void | Promise<void>,
  { costs = 1, batch = 1, skip = false, before }: PropertyOptions = {},
): void {
  test(title, { skip }, async (t) => {
    await before?.(t);
    const numRuns = Math.ceil(CASES / costs / batch);
    const details = await fc.check(
      fc.asyncProperty(arbitrary, async (value) => await holds(value)),
      {
        numRuns,
        seed: SEED,
      },
    );
    if (details.failed) {
      throw new Error(`FUZZ_SEED=${SEED}: ${fc.defaultReportMessage(details)}`, { cause: details.errorInstance });
    }
    t.diagnostic(`${details.numRuns * batch} cases of: ${title}`);
  });
}

/** What a log may show of an error: everything that Node knows to print, without the places in our files. */
export function everythingOf(error: unknown): string {
  return inspect(error, { depth: 9, showHidden: true }).replaceAll(/^\s+at .*$/gm, '');
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('');

/** What the service takes for a token, as long as one that is worth stealing. */
export const printableToken = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCodePoint(code)),
  minLength: 20,
  maxLength: 200,
});

/** Its parts, with claims of any kind. */
export const jwt = fc
  .tuple(
    fc.object({ maxDepth: 1 }),
    claims(),
    fc.string({ unit: fc.constantFrom(...BASE64URL), minLength: 40, maxLength: 80 }),
  )
  .map(([others, claims, signature]) => {
    const payload = Buffer.from(JSON.stringify({ ...others, ...claims })).toString('base64url');
    return `eyJhbGciOiJSUzI1NiJ9.${payload}.${signature}`;
  });

function claims() {
  const claim = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1_893_000_000, max: 1_894_000_000 }) },
    fc.double(),
    fc.integer(),
    fc.anything({ maxDepth: 1 }),
  );
  return fc.record(
    { iat: claim, exp: claim, sub: fc.oneof(fc.string(), fc.anything({ maxDepth: 1 })) },
    { requiredKeys: [] },
  );
}

/** A text with pieces taken out, doubled or changed: what a broken pipe or a wrong hand makes of it. */
export function damaged(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const cut = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(8),
    put: fc.string({ maxLength: 4 }),
  });
  return fc.tuple(text, fc.array(cut, { minLength: 1, maxLength: 3 })).map(([whole, cuts]) =>
    cuts.reduce((rest, { at, length, put }) => {
      const from = Math.trunc(at * rest.length);
      return rest.slice(0, from) + put + rest.slice(from + length);
    }, whole),
  );
}
