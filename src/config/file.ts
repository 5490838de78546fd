import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { LineCounter, parseAllDocuments } from 'yaml';
import { ConfigError } from '../credential/errors.ts';

/** A thousand credentials fit. */
const MAX_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Aliases of aliases count as often as they are repeated. */
const MAX_ALIASES = 1_000;

/** The mapping that the file holds. @throws ConfigError that names positions, never what stands there. */
export function readConfigFile(path: string): Record<string, unknown> {
  const text = decode(path, readBytes(path));
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, logLevel: 'silent', prettyErrors: false });
  const [document] = documents;
  if (document === undefined) throw problem(path, 'is empty');
  // The parser's own messages quote the text, so only their code is shown.
  const faults = documents.flatMap(({ errors, warnings }) => [...errors, ...warnings]);
  if (faults.length > 0) {
    throw new ConfigError(
      faults.slice(0, 10).map(({ code, pos }) => {
        const { line, col } = lines.linePos(pos[0]);
        return {
          path,
          message: `invalid YAML at line ${line}, column ${col} (${code.toLowerCase().replaceAll('_', ' ')})`,
        };
      }),
    );
  }
  if (documents.length > 1) throw problem(path, 'must hold one YAML document');
  const value = toValue(path, document);
  if (value === null) throw problem(path, 'is empty');
  if (typeof value !== 'object' || Array.isArray(value))
    throw problem(path, 'must be a mapping with the key credentials');
  return { ...value };
}

/** Synchronous, which is milliseconds faster: at a start nothing else is to be done, and a file is read once per change. */
function readBytes(path: string): Buffer {
  try {
    const file = openSync(path, 'r');
    try {
      if (fstatSync(file).isDirectory()) throw problem(path, 'is a directory, not a file');
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

function toValue(path: string, document: { toJS(options: { maxAliasCount: number }): unknown }): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof ReferenceError)
      throw problem(path, 'has an alias without an anchor, or aliases that expand too far');
    throw error;
  }
}

function problem(path: string, message: string): ConfigError {
  return new ConfigError([{ path, message }]);
}
