import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MintError } from '../../src/credential/errors.ts';
import { complaintAbout, readCliVersion } from '../../src/minters/version.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

test('a CLI is old by its numbers, not by the text that they make', () => {
  const cases: readonly (readonly [version: string, hasTtl: boolean, isOld: boolean])[] = [
    ['0.297.9', false, true],
    ['0.298.0', false, false],
    ['0.1000.0', false, false],
    ['1.0.0', false, false],
    ['1.6.12', true, true],
    ['1.7.0', true, false],
    ['1.7.1', true, false],
    ['1.13.0', true, false],
    ['2.0.0', true, false],
    // What every build but a release said until 1.12.0, however new it was (internal/build/info.go of the CLI's v1.11.0).
    ['0.0.0', true, false],
  ];
  for (const [version, hasTtl, isOld] of cases) {
    assert.equal(complaintAbout(version, hasTtl) !== undefined, isOld, version);
  }
});

test(
  'a CLI that is ended, or is too slow, while it is asked for its version is told as such',
  { timeout: 60_000 },
  async (t) => {
    const command = join(await temporaryDirectory(t), 'databricks');
    const childEnvironment = { PATH: process.env['PATH'] ?? '' };
    const complaintOf = async (script: string): Promise<string> => {
      await writeFile(command, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      const error: unknown = await readCliVersion({ command, childEnvironment, clock }, t).then(
        assert.fail,
        (it) => it,
      );
      assert.ok(error instanceof MintError);
      return `${error.message}: ${error.remedy}`;
    };
    assert.match(await complaintOf('kill -KILL $$'), /^the CLI was ended by SIGKILL: raise the memory limit/);
    assert.match(
      await complaintOf('exec sleep 60'),
      /^the CLI ".+" did not print its version within 10 s: raise the CPU/,
    );
  },
);
