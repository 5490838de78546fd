import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from '../../src/config/schema.ts';

interface Case {
  readonly option: string;
  /** A whole file with the option at this value. */
  readonly file: (value: unknown) => object;
  readonly accepts: readonly unknown[];
  readonly rejects: readonly unknown[];
}

export const ABSURD_DURATIONS = ['', '5', '-5m', '1e9h', '5m30s', ' 5m', '999999h', 300, null, true, ['5m']];

export function testOptions(cases: readonly Case[]): void {
  for (const { option, file, accepts, rejects } of cases) {
    test(`${option} accepts what is allowed and nothing else`, () => {
      for (const value of accepts) {
        const { error } = configSchema.safeParse(file(value));
        assert.equal(error, undefined, `accepts ${JSON.stringify(value)}: ${error?.message}`);
      }
      for (const value of rejects) {
        const { error } = configSchema.safeParse(file(value));
        assert.ok(error, `rejects ${JSON.stringify(value)}`);
        for (const { message } of error.issues) {
          assert.match(message, /allowed here|^(is missing: it )?must |^is missing: set exactly/);
        }
      }
    });
  }
}
