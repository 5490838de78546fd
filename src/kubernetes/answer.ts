import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { parseJson } from '../credential/json.ts';

export interface ApiAnswer {
  readonly status: number;
  /** An object of Kubernetes, or its `Status`; undefined where something else answers. */
  readonly body: unknown;
  readonly retryAfterMs: number;
}

/**
 * A Secret holds at most 1 MiB, which is 1.4 as base64, and 256 KiB of annotations, which are 1.5 MiB where each sign is
 * escaped: an annotation alone must not make it unreadable.
 */
const MAX_ANSWER_BYTES = 3 * 1024 * 1024;
/** Most answers are shorter. */
const FIRST_BYTES = 16 * 1024;
const TOO_LONG = `it sent more than ${MAX_ANSWER_BYTES / 1024 ** 2} MiB, more than any Secret needs`;
/** Of objects and lists: once it is parsed, `{}` may take a hundred times its two characters. A large Secret has some thousand. */
const MAX_NODES = 50_000;
/** A longer `Retry-After` is cut to this: a proxy under maintenance may ask for an hour, in which a token expires. */
const MAX_RETRY_AFTER_MS = 60_000;

/** @throws Error for one that is too long */
export async function toAnswer(response: IncomingMessage): Promise<ApiAnswer> {
  const body = parse(await readAll(response));
  return { status: response.statusCode ?? 0, body, retryAfterMs: retryAfterMs(response) };
}

/** Of an answer that goes on, as that of a watch does: each line as soon as it is whole. @throws Error for one that is too long */
export async function* linesOf(response: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = `${rest}${chunk as string}`.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_ANSWER_BYTES) throw new Error(TOO_LONG);
    yield* lines;
    // Of what arrives without a pause Node.js hands on one piece after the other, and nothing else would get a turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  // Not the pieces as they come: each of them takes hundreds of bytes, also where it holds one only.
  let bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const needed = size + chunk.length;
    if (needed > MAX_ANSWER_BYTES) throw new Error(TOO_LONG);
    if (needed > bytes.length) bytes = Buffer.concat([bytes], 2 * needed);
    chunk.copy(bytes, size);
    size = needed;
  }
  return bytes.toString('utf8', 0, size);
}

/** Undefined for what is no JSON, such as a proxy's page, or has more in it than an API server sends. */
export function parse(text: string): unknown {
  return hasTooManyNodes(text) ? undefined : parseJson(text);
}

/** Without those brackets that stand in a text, as in an annotation. */
function hasTooManyNodes(json: string): boolean {
  // So it is with nearly every answer, and counting would soon have V8 load its optimising compiler: 5 MB.
  if (json.length <= MAX_NODES) return false;
  let nodes = 0;
  let isInText = false;
  for (let at = 0; at < json.length && nodes <= MAX_NODES; at += 1) {
    const sign = json[at];
    if (sign === '"') isInText = !isInText;
    else if (!isInText && (sign === '{' || sign === '[')) nodes += 1;
    else if (isInText && sign === '\\') at += 1; // what follows does not end it
  }
  return nodes > MAX_NODES;
}

/** Seconds, or a date, which is compared with the sender's own clock only: ours may differ. */
function retryAfterMs({ headers }: IncomingMessage): number {
  const { date = '', 'retry-after': asked = '' } = headers;
  const seconds = Number(asked);
  const ms = Number.isNaN(seconds) ? Date.parse(asked) - Date.parse(date) : seconds * 1_000;
  return ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : 0;
}
