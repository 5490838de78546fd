import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { parseToken } from '../../src/sinks/render.ts';
import { credentialOf, isWholeToken, siblingSinks, tokenOf } from '../support/sink-credentials.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { program } from './programs.ts';

const PUBLICATIONS = 1_000;
/** To make, fill, sync and rename two files and their record takes as many, and so do the probes before. */
const LEAST_STEPS = 15;

test('a reader sees only whole tokens with the right mode during a thousand publications', async (t) => {
  const directory = await temporaryDirectory(t);
  const { pgpass, token } = siblingSinks(directory);
  const publish = async (number: number) => {
    const credential = credentialOf(number);
    await Promise.all([pgpass, token].map((sink) => sink.write(credential, { signal: t.signal })));
  };
  await publish(0);

  const { child, lines } = start(t, 'reader', [directory]);
  assert.equal(await nextLine(lines), 'reading');
  for (let number = 1; number <= PUBLICATIONS; number += 1) await publish(number);
  child.stdin.end();

  const { reads, distinct, problems } = JSON.parse(await nextLine(lines)) as Record<string, unknown>;
  assert.deepEqual(problems, []);
  // Less would mean that the reader had hardly looked.
  assert.ok(Number(distinct) > PUBLICATIONS / 10, `${String(distinct)} tokens in ${String(reads)} reads`);
});

test('wherever it is killed, a process leaves whole files, and the next one adopts them and tidies up', async (t) => {
  // Most of the time goes into starting the programs.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(await temporaryDirectory(t), 'compiled') };
  for (const publishedBefore of [0, 1]) {
    let kills = 0;
    for (let code: number | null = null; code === null; kills += 1) {
      const directory = await temporaryDirectory(t);
      const sinks = Object.values(siblingSinks(directory));
      for (let number = 0; number < publishedBefore; number += 1) {
        await Promise.all(sinks.map((sink) => sink.write(credentialOf(number), { signal: t.signal })));
      }
      const { child } = start(t, 'publisher', [directory, `${kills + 1}`], env);
      [code] = (await once(child, 'close')) as [typeof code];

      const tokens = await publishedTokens(directory);
      if (publishedBefore > 0) assert.equal(tokens.length, sinks.length);
      if (code !== null) assert.deepEqual([code, tokens], [0, sinks.map(() => tokenOf(publishedBefore))]);
      // By objects that remember nothing, as another process would do it.
      const next = Object.values(siblingSinks(directory));
      const recovered = await Promise.all(next.map((sink) => sink.recover({ signal: t.signal })));
      assert.deepEqual(
        recovered.flatMap((found) => (found === undefined ? [] : [found.token.reveal()])),
        tokens,
      );
      assert.deepEqual(
        (await readdir(directory)).filter((name) => name.endsWith('.tmp')),
        [],
      );
      const later = publishedBefore + 1;
      await Promise.all(next.map((sink) => sink.write(credentialOf(later), { signal: t.signal })));
      assert.deepEqual(
        await publishedTokens(directory),
        next.map(() => tokenOf(later)),
      );
    }
    assert.ok(kills > LEAST_STEPS, `killed at ${kills} steps only`);
  }
});

/** Of the files that are there: each is whole. */
async function publishedTokens(directory: string): Promise<string[]> {
  const tokens: string[] = [];
  for (const format of ['pgpass', 'token'] as const) {
    const content = await readFile(join(directory, format), 'utf8').catch(() => undefined);
    if (content === undefined) continue; // killed before the first publication
    const token = parseToken(format, content);
    assert.ok(token !== undefined && isWholeToken(token), `${format} is not whole`);
    tokens.push(token);
  }
  return tokens;
}

interface Program {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  readonly lines: AsyncIterator<string>;
}

function start(t: TestContext, name: string, args: readonly string[], env = process.env): Program {
  const child = spawn(process.execPath, [program(name), ...args], { stdio: ['pipe', 'pipe', 'inherit'], env });
  t.after(() => child.kill('SIGKILL'));
  return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator]() };
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done === true) throw new Error('the program ended without a word');
  return value;
}
