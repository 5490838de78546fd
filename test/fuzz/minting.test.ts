import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import * as fc from 'fast-check';
import { requireBetter } from '../../src/credential/acceptance.ts';
import { MintError } from '../../src/credential/errors.ts';
import { MINT_REMEDIES } from '../../src/credential/failures.ts';
import type { Clock, Credential } from '../../src/credential/ports.ts';
import { remainingMs } from '../../src/credential/schedule.ts';
import { Secret } from '../../src/credential/secret.ts';
import { CommandMinter } from '../../src/minters/command.ts';
import { diagnose } from '../../src/minters/diagnose.ts';
import type { CommandResult } from '../../src/minters/process.ts';
import { parseResponse } from '../../src/minters/response.ts';
import { scrub } from '../../src/minters/scrub.ts';
import { FORMATS } from '../../src/credential/formats.ts';
import { render } from '../../src/sinks/render.ts';
import { connection } from '../support/sink-credentials.ts';
import { readTranscripts } from '../support/cli-transcripts.ts';
import { damaged, everythingOf, jwt, printableToken, property } from '../support/fuzz.ts';

const NOW = Date.parse('2030-01-01T00:00:00Z');
/** A piece of a token of this length would be told apart from a coincidence. */
const PIECE = 12;

const clock: Clock = {
  now: () => NOW,
  monotonic: () => 0,
  sleep: () => Promise.reject(new Error('nothing waits here')),
};

const token = fc.oneof({ weight: 3, arbitrary: jwt }, printableToken);
const time = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .date({ min: new Date(NOW), max: new Date(NOW + 7_200_000), noInvalidDate: true })
      .map((date) => date.toISOString()),
  },
  fc.string(),
  fc.anything({ maxDepth: 1 }),
);
const answer = fc.record(
  {
    token: fc.oneof({ weight: 4, arbitrary: token }, fc.anything({ maxDepth: 1 })),
    expire_time: time,
    expiration_time: time,
  },
  { requiredKeys: ['token'] },
);
const valid = fc
  .tuple(token, fc.integer({ min: 1, max: 3_600_000 }))
  .map(([token, leftMs]) => JSON.stringify({ token, expire_time: new Date(NOW + leftMs).toISOString() }));
const stdout = fc.oneof(
  answer.map((value) => JSON.stringify(value)),
  valid,
  damaged(valid),
  fc.json({ maxDepth: 2 }),
  fc.string(),
);
const ttlMs = fc.option(
  fc.integer({ min: 300, max: 3_600 }).map((seconds) => seconds * 1_000),
  { nil: undefined },
);

property(
  'what the CLI prints is a credential that can be published, or a bad response that shows nothing of it',
  fc.tuple(stdout, ttlMs),
  ([stdout, ttlMs]) => {
    let credential: Credential;
    try {
      credential = parseResponse(stdout, { issuedAt: NOW, monotonicAt: 0, ttlMs });
    } catch (error) {
      assert.ok(error instanceof MintError && error.failure === 'bad_response', String(error));
      assertShowsNothing(everythingOf(error), stdout);
      return;
    }
    const answer = JSON.parse(stdout) as { readonly token: string };
    const { local, service, fingerprint } = credential;
    assert.equal(credential.token.reveal(), answer.token);
    assert.match(answer.token, /^[!-~]+$/);
    assert.equal(fingerprint, hash('sha256', answer.token));
    for (const at of [local.issuedAt, local.expiresAt, service.issuedAt, service.expiresAt])
      assert.ok(Number.isFinite(at));
    assert.ok(local.expiresAt - local.issuedAt <= (ttlMs ?? 3_600_000));
    for (const format of FORMATS) assert.ok(render(format, credential, connection).length > 0);
    try {
      requireBetter(credential, undefined, { requestedMs: ttlMs ?? 3_600_000, isShared: false }, clock);
      assert.ok(remainingMs(credential, clock) > 0);
    } catch (error) {
      assert.ok(error instanceof MintError && error.failure === 'short_lived', String(error));
    }
  },
);

const noise = fc.string({ unit: 'binary', maxLength: 60 });
const words = fc.oneof(noise, fc.constantFrom(...readTranscripts().map(({ stderr }) => stderr)));
const secret = fc.oneof(jwt, printableToken, fc.string({ unit: 'grapheme', minLength: PIECE, maxLength: 80 }));
const wrapping = fc.constantFrom(
  '',
  ' ',
  '"',
  "'",
  'token=',
  '"token":"',
  'Bearer ',
  '\n',
  ':',
  '=',
  '\\"',
  'https://a/?x=',
  '🙂',
);
/** A secret, or what was torn off it, among words. */
const leak = fc
  .tuple(words, wrapping, secret, fc.nat(100), fc.option(fc.integer({ min: 1, max: 200 })), wrapping, words)
  .map(([before, open, secret, from, length, close, after]) => {
    const start = from % secret.length;
    const piece = length === null ? secret : secret.slice(start, start + length);
    return { secret, text: before + open + piece + close + after };
  });

property(
  'no piece of a secret that is known gets through the words of the CLI, and they stay short',
  leak,
  ({ secret, text }) => {
    const clean = scrub(text, [new Secret(secret)]);
    assertShowsNothing(clean, secret);
    assert.ok(clean.length <= 801 && !/[\r\n]/.test(clean));
  },
);

property(
  'a JWT that nobody knows gets through nowhere in the words of the CLI',
  fc.tuple(noise, wrapping, jwt, noise, fc.array(fc.tuple(jwt, fc.nat(400), fc.nat(400)), { maxLength: 3 })),
  ([before, open, jwt, after, others]) => {
    const [, payload = '', signature = ''] = jwt.split('.');
    // What is known may have pieces of it: tokens of one workspace do.
    const known = others.map(([other, from, length]) => {
      const to = from + length;
      return new Secret(jwt.slice(0, from) + other.slice(from, to) + jwt.slice(to));
    });
    const clean = scrub(`${before}${open}${jwt}${after}`, known);
    for (const part of [payload, signature]) assertShowsNothing(clean, part);
  },
);

property('whatever the CLI says is one of the reasons, in words of our own', leak, ({ secret, text }) => {
  const { failure, message, remedy } = diagnose(text);
  assert.ok(failure in MINT_REMEDIES);
  assertShowsNothing(`${message} ${remedy ?? ''}`, secret);
});

const result: fc.Arbitrary<CommandResult> = fc.record({
  stdout,
  stderr: fc.oneof(
    words,
    leak.map(({ text }) => text),
    stdout,
  ),
  exitCode: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
  killedBy: fc.constantFrom(undefined, 'SIGKILL', 'SIGSEGV'),
  errno: fc.constantFrom(undefined, undefined, undefined, 'ENOENT', 'EACCES', 'EAGAIN'),
  hasTimedOut: fc.constantFrom(false, false, false, true),
  isTooLong: fc.constantFrom(false, false, false, true),
});

property(
  'however the CLI ends, minting gives a credential or an error that has no token, not even one minted before',
  fc.tuple(valid, result, wrapping),
  async ([good, result, open]) => {
    const { token } = JSON.parse(good) as { token: string };
    const results: CommandResult[] = [
      { ...FINE, stdout: good },
      { ...result, stderr: `${result.stderr}${open}${token}` },
    ];
    const run = () => Promise.resolve({ ...results.shift()!, secrets: [] });
    const cli = { command: 'databricks', run };
    const request = { resource: { kind: 'endpoint', name: 'e' }, ttlMs: undefined } as const;
    const minter = new CommandMinter(cli, request, clock);
    const options = { signal: new AbortController().signal, slot: 0, timeoutMs: 1_000 };
    await minter.mint(options);
    try {
      assert.ok((await minter.mint(options)).token instanceof Secret);
    } catch (error) {
      assert.ok(error instanceof MintError, String(error));
      assertShowsNothing(everythingOf(error), token);
      assert.ok(result.exitCode !== 0 || result.errno !== undefined || error.detail === undefined);
    }
  },
);

const FINE: CommandResult = {
  stdout: '',
  stderr: '',
  exitCode: 0,
  killedBy: undefined,
  errno: undefined,
  hasTimedOut: false,
  isTooLong: false,
};

/** No piece that is long enough to be no coincidence. */
function assertShowsNothing(said: string, secret: string): void {
  for (let at = 0; at + PIECE <= secret.length; at += 1) {
    const piece = secret.slice(at, at + PIECE);
    if (said.includes(piece)) assert.fail(`${JSON.stringify(piece)} shows in ${JSON.stringify(said)}`);
  }
}
