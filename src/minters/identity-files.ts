import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { MintError } from '../credential/errors.ts';
import { Secret } from '../credential/secret.ts';

/** In no secret; a variable of the environment cannot even hold the last of them. */
const FOREIGN = ['\n', '\r', '\0'];

/** Synchronous, like all that comes before the command: nothing else is worth doing until it runs. */
export function readSecret(file: string): Secret {
  let text: string | undefined;
  try {
    text = readFile(file)?.trim();
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new MintError('auth', `the client secret file ${file} cannot be read (${code})`, {
      remedy: 'let DATABRICKS_CLIENT_SECRET_FILE name a file that the user the sidecar runs as can read',
    });
  }
  if (text === undefined) throw noFile(file);
  if (text === '') {
    throw new MintError('auth', `the client secret file ${file} is empty`, {
      remedy: 'put the OAuth secret of the service principal into the file',
    });
  }
  if (FOREIGN.some((character) => text.includes(character))) {
    throw new MintError('auth', `the client secret file ${file} holds more than one line of text`, {
      remedy: 'put nothing but the OAuth secret of the service principal into the file, as plain text',
    });
  }
  return new Secret(text);
}

/**
 * The CLI reads this file itself and says what is wrong with it; here it only becomes known as a secret.
 *
 * @throws MintError for what is no file: at a pipe the CLI would wait, and seem to wait for the workspace.
 */
export function readOidcToken(file: string): Secret[] {
  let text: string | undefined;
  try {
    text = readFile(file)?.trim();
  } catch {
    return [];
  }
  if (text === undefined) throw noFile(file);
  return text === '' ? [] : [new Secret(text)];
}

/**
 * Undefined for a pipe or a device: never waits for the other end, which nobody might ever open.
 *
 * @throws an error of the system
 */
export function readFile(path: string): string | undefined {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    return stats.isFile() || stats.isDirectory() ? readFileSync(file, 'utf8') : undefined;
  } finally {
    closeSync(file);
  }
}

function noFile(path: string): MintError {
  return new MintError('auth', `${path} is a pipe or a device, not a file`, {
    remedy: 'let the variable that names it name a regular file, which is read at each mint',
  });
}
