import assert from 'node:assert/strict';
import { execFile as execFileWithCallback } from 'node:child_process';
import { PassThrough, Readable } from 'node:stream';
import test from 'node:test';
import { promisify } from 'node:util';
import { linesOf, parse } from '../../src/kubernetes/answer.ts';

const execFile = promisify(execFileWithCallback);

/** What is told of a watch whose answer arrives in these pieces. */
async function linesIn(pieces: readonly Buffer[]): Promise<string[]> {
  const response = new PassThrough();
  for (const piece of pieces) response.write(piece);
  response.end();
  return (await Readable.from(linesOf(response)).toArray()) as string[];
}

test('an event of a watch is told once and whole, wherever the pieces were cut in which it arrives', async () => {
  const events = ['{"type":"ADDED"}', '{"by":"Jürgen"}', '{"type":"DELETED"}'];
  const all = Buffer.from(`${events.join('\n')}\n`);
  for (let cut = 1; cut < all.length; cut += 1) {
    assert.deepEqual(await linesIn([all.subarray(0, cut), all.subarray(cut)]), events, `cut at ${cut}`);
  }
});

test('half an event at the end of a watch is nothing', async () => {
  assert.deepEqual(await linesIn([Buffer.from('{"type":"ADDED"}\n{"type":"DEL')]), ['{"type":"ADDED"}']);
});

test('a watch that sends no end of a line is given up when it is longer than any event', async () => {
  const mebibyte = Buffer.alloc(1024 ** 2, 'x');
  await assert.rejects(
    linesIn([mebibyte, mebibyte, mebibyte, mebibyte]),
    /it sent more than 3 MiB, more than any Secret needs/,
  );
});

test('a watch that sends without a pause leaves others their turn', async () => {
  const pieces = Array.from({ length: 10 }, () => Buffer.from('\n'.repeat(1_000)));
  const response = Readable.from(pieces, { objectMode: false });
  let turns = 0;
  const count = (): void => {
    turns += 1;
    turn = setImmediate(count);
  };
  let turn = setImmediate(count);
  for await (const line of linesOf(response)) assert.equal(line, '');
  clearImmediate(turn);
  assert.ok(turns > 1, `${turns} turns`);
});

test('an answer in pieces of one byte takes no more memory than one in a piece', async () => {
  const script = `
    import { Readable } from 'node:stream';
    import { toAnswer } from '${import.meta.resolve('../../src/kubernetes/answer.ts')}';
    let left = 2 ** 20;
    const response = new Readable({
      read() {
        setImmediate(() => {
          for (let count = 0; count < 1_000 && left > 0; count += 1, left -= 1) this.push(Buffer.from(' '));
          if (left === 0) this.push(Buffer.from('{}')), this.push(null);
        });
      },
    });
    const { body } = await toAnswer(Object.assign(response, { headers: {} }));
    console.log(JSON.stringify(body));
  `;
  const flags = ['--max-old-space-size=64', '--max-semi-space-size=1', '--input-type=module'];
  const { stdout } = await execFile(process.execPath, [...flags, '--eval', script]);
  assert.equal(stdout, '{}\n');
});

test('an answer with more objects in it than an API server sends is not read, and what is no JSON is nothing', () => {
  assert.deepEqual(parse('{"a":[1]}'), { a: [1] });
  const many = `${'[],'.repeat(50_000)}[]]`;
  for (const text of ['', '{"a":', '<html>', `[${many}`, `["a",${many}`]) assert.equal(parse(text), undefined);
});

test('brackets in a text are no objects, however many somebody writes into an annotation', () => {
  for (const note of ['{'.repeat(60_000), '\\"'.repeat(9) + '['.repeat(60_000), `${'"{'.repeat(60_000)}\\`]) {
    const text = JSON.stringify({ metadata: { annotations: { note } } });
    assert.deepEqual(parse(text), JSON.parse(text));
  }
  for (const cutOff of ['"'.repeat(3), `"${'\\'.repeat(9)}`, '{"a":"{']) assert.equal(parse(cutOff), undefined);
  assert.equal(parse(`["\\"",${'[],'.repeat(50_000)}[]]`), undefined, 'a quote in a text does not end it');
});
