import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import test from 'node:test';
import { inspect } from 'node:util';
import { temporaryDirectory } from '../support/cleanup.ts';
import { beforeEachStep } from '../support/sink-steps.ts';
import { systemError } from '../support/system-error.ts';

// Put in its place before the sinks are loaded, which take the functions as they are then.
let step = 0;
let failing: { readonly at: number; readonly error: Error } | undefined;
beforeEachStep(() => {
  step += 1;
  return step === failing?.at ? failing.error : undefined;
});
const { credentialOf, siblingSinks, tokenOf } = await import('../support/sink-credentials.ts');
const { SinkError } = await import('../../src/credential/errors.ts');

/** To look at, make, fill, sync and rename two files and their record takes more. */
const LEAST_STEPS = 30;

test('whichever step of a publication fails, each file holds a token that is on record, nothing else is left, and the next publication goes well', async (t) => {
  const directory = await temporaryDirectory(t);
  const sinks = Object.values(siblingSinks(directory));
  const openFiles = (): number => readdirSync('/dev/fd').length;
  let number = 0;
  const publish = async () =>
    await Promise.allSettled(sinks.map((sink) => sink.write(credentialOf(number), { signal: t.signal })));
  // By objects that remember nothing, as another process would do it.
  const published = async () =>
    await Promise.all(
      Object.values(siblingSinks(directory)).map(async (sink) => (await sink.recover({ signal: t.signal }))?.token),
    );
  await publish();
  const openBefore = openFiles();

  for (const code of ['EIO', 'ENOSPC', 'EACCES', 'EMFILE', 'ENOENT', 'EINTR'] as const) {
    let failures = 0;
    for (; ; failures += 1) {
      number += 1;
      step = 0;
      failing = { at: failures + 1, error: systemError(code) };
      const results = await publish();
      failing = undefined;
      if (step <= failures) break;

      assert.deepEqual((await readdir(directory)).toSorted(), ['.backstage.state.json', 'pgpass', 'token']);
      for (const [index, token] of (await published()).entries()) {
        const result = results[index]!;
        const isOld = token?.reveal() === tokenOf(number - 1);
        assert.ok(isOld || token?.reveal() === tokenOf(number), `${code} at step ${failures + 1}: another token`);
        if (result.status === 'fulfilled') {
          assert.ok(!isOld);
          continue;
        }
        const { reason } = result as { reason: unknown };
        assert.ok(reason instanceof SinkError, inspect(reason));
        assert.notEqual(reason.remedy, '');
        assert.ok(!inspect(reason, { depth: 9, showHidden: true }).includes(tokenOf(number)));
      }
      number += 1;
      for (const { status } of await publish()) assert.equal(status, 'fulfilled');
      for (const token of await published()) assert.equal(token?.reveal(), tokenOf(number));
    }
    assert.ok(failures > LEAST_STEPS, `only ${failures} steps`);
  }
  assert.equal(openFiles(), openBefore);
});
