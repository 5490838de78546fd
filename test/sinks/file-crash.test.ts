import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseToken } from '../../src/sinks/render.ts';
import { credentialOf, isWholeToken, siblingSinks } from '../support/sink-credentials.ts';
import { program } from './programs.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

const PUBLICATIONS = 1_000;
const KILLS = 200;
/** Some publications long, so that a kill hits any step of one. */
const LONGEST_LIFE_MS = 30;

test('a reader sees only whole tokens with the right mode during a thousand publications', async (t) => {
  const directory = await temporaryDirectory(t);
  const { pgpass, token } = siblingSinks(directory);
  const publish = async (number: number) => {
    const credential = credentialOf(number);
    await Promise.all([pgpass, token].map((sink) => sink.write(credential, { signal: t.signal })));
  };
  await publish(0);

  const { child, lines } = start(t, 'reader', directory);
  assert.equal(await nextLine(lines), 'reading');
  for (let number = 1; number <= PUBLICATIONS; number += 1) await publish(number);
  child.stdin.end();

  const { reads, distinct, problems } = JSON.parse(await nextLine(lines)) as Record<string, unknown>;
  assert.deepEqual(problems, []);
  // Less would mean that the reader had hardly looked.
  assert.ok(Number(distinct) > PUBLICATIONS / 10, `${String(distinct)} tokens in ${String(reads)} reads`);
});

test('a process that is killed leaves whole files, and the next one adopts them and tidies up', async (t) => {
  const directory = await temporaryDirectory(t);
  // Most of the time goes into starting the programs.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(await temporaryDirectory(t), 'compiled') };
  let expected: string | undefined;
  let adoptions = 0;

  for (let kill = 0; kill < KILLS; kill += 1) {
    const { child, lines } = start(t, 'publisher', directory, env);
    const { names, adopted } = JSON.parse(await nextLine(lines)) as { names: string[]; adopted?: string };
    assert.deepEqual(
      names.filter((name) => name.endsWith('.tmp')),
      [],
    );
    assert.equal(adopted, expected);
    if (adopted !== undefined) adoptions += 1;

    await delay(Math.random() * LONGEST_LIFE_MS);
    child.kill('SIGKILL');
    await once(child, 'close');
    expected = await latestFingerprint(directory);
  }
  assert.ok(adoptions > KILLS / 2, `only ${adoptions} starts found something to adopt`);
});

/** Of the files that are there, the token that expires last: the series counts upwards. */
async function latestFingerprint(directory: string): Promise<string | undefined> {
  const tokens: string[] = [];
  for (const format of ['pgpass', 'token'] as const) {
    const content = await readFile(join(directory, format), 'utf8').catch(() => undefined);
    if (content === undefined) continue; // killed before the first publication
    const token = parseToken(format, content);
    assert.ok(token !== undefined && isWholeToken(token), `${format} is not whole`);
    tokens.push(token);
  }
  const latest = tokens.sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))[0];
  return latest === undefined ? undefined : hash('sha256', latest);
}

interface Program {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  readonly lines: AsyncIterator<string>;
}

function start(t: TestContext, name: string, directory: string, env = process.env): Program {
  const child = spawn(process.execPath, [program(name), directory], { stdio: ['pipe', 'pipe', 'inherit'], env });
  t.after(() => child.kill('SIGKILL'));
  return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator]() };
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done === true) throw new Error('the program ended without a word');
  return value;
}
