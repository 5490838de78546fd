import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { CORE_SCHEMA, loadAll, mergeTag, YAMLException } from 'js-yaml';
import { ConfigError } from '../credential/errors.ts';
import { isRecord } from '../credential/json.ts';

/** A thousand credentials fit. */
const MAX_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/**
 * Descriptors that were open when this process started, such as `/dev/stdin`: whoever gave them writes to them. Any other
 * named pipe is refused, because nobody might ever write to it.
 */
const GIVEN = /^\/(?:dev\/(?:stdin|fd\/\d+)|proc\/self\/fd\/\d+)$/;
/** Of the whole file, with each alias counted as often as it is repeated. */
const MAX_NODES = 100_000;

/** YAML reads a template that nobody has filled in as such a key. */
const KEY_IS_NO_TEXT = 'invalid YAML: a mapping or a list stands where a key should, as in {{ … }}';

/** With `<<`, as kubectl and Helm read YAML: what several credentials share is written once. */
const SCHEMA = CORE_SCHEMA.withTags(mergeTag);

/** The mapping that the file holds. @throws ConfigError that names positions, never what stands there. */
export function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  const documents = parse(path, decode(path, readBytes(path)));
  if (documents.length > 1) throw problem(path, 'must contain exactly one YAML document');
  const value = documents[0] ?? null;
  if (value === null) throw problem(path, 'is empty');
  if (!isRecord(value)) throw problem(path, 'must be a mapping with the key credentials');
  if (isLarge(value)) throw problem(path, 'has aliases that expand too far');
  return value;
}

function parse(path: string, text: string): unknown[] {
  try {
    return loadAll(text, { schema: SCHEMA });
  } catch (error) {
    if (!(error instanceof YAMLException) || error.mark === undefined) throw problem(path, 'cannot be read as YAML');
    const { reason, mark } = error;
    if (reason.endsWith('complex keys')) throw problem(path, KEY_IS_NO_TEXT); // its position is that of the first line
    const rule = reason.replace(/\s*(?:!?<|"|: ).*$/s, ''); // after it comes what stands in the file
    throw problem(path, `invalid YAML at line ${mark.line + 1}, column ${mark.column + 1} (${rule})`);
  }
}

/** Also comes to an end where an alias stands for a node that it is itself a part of. */
function isLarge(value: unknown): boolean {
  const open = [value];
  for (let count = 0; open.length > 0; count++) {
    if (count === MAX_NODES) return true;
    const node = open.pop();
    if (typeof node === 'object' && node !== null) for (const child of Object.values(node)) open.push(child);
  }
  return false;
}

/** Synchronous, which is milliseconds faster: at a start nothing else is to be done, and a file is read once per change. */
function readBytes(path: string): Buffer {
  try {
    const isGiven = GIVEN.test(path);
    const file = openSync(path, isGiven ? constants.O_RDONLY : constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(file);
      if (stats.isDirectory()) throw problem(path, 'is a directory, not a file');
      if (stats.isFIFO() && !isGiven) throw problem(path, 'is a named pipe, not a file');
      const chunks: Buffer[] = [];
      let size = 0;
      // Not by the size that fstat tells: a pipe has none.
      for (;;) {
        const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
        const length = readSync(file, chunk);
        if (length === 0) return Buffer.concat(chunks);
        chunks.push(chunk.subarray(0, length));
        size += length;
        if (size > MAX_BYTES) throw problem(path, `is larger than ${MAX_BYTES} bytes`);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') {
      throw problem(path, `cannot be read: ${getSystemErrorMessage(error.errno)}`);
    }
    throw error;
  }
}

function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw problem(path, 'is not UTF-8 text');
  }
}

function problem(path: string, message: string): ConfigError {
  return new ConfigError([{ path, message }]);
}
