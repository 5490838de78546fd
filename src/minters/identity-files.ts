import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { isInQuotes } from '../credential/display.ts';
import { MintError } from '../credential/errors.ts';
import { Secret } from '../credential/secret.ts';

/** Characters that no secret has; an environment variable cannot even hold the last of them. */
const FOREIGN = ['\n', '\r', '\0'];

/** More than any token or secret. */
const MAX_BYTES = 1024 * 1024;

/** Synchronous, like all that comes before the command: nothing else is worth doing until it runs. */
export function readSecret(file: string): Secret {
  let text: string;
  try {
    text = readFile(file).trim();
  } catch (error) {
    if (error instanceof MintError) throw error;
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new MintError('auth', `the client secret file ${file} cannot be read (${code})`, {
      remedy: 'set DATABRICKS_CLIENT_SECRET_FILE to the path of a file that the user the sidecar runs as can read',
    });
  }
  if (text === '') {
    throw new MintError('auth', `the client secret file ${file} is empty`, {
      remedy: 'put the OAuth secret of the service principal into the file',
    });
  }
  if (FOREIGN.some((character) => text.includes(character))) {
    throw new MintError('auth', `the client secret file ${file} has more than one line of text`, {
      remedy: 'put only the OAuth secret of the service principal into the file, as plain text',
    });
  }
  if (isInQuotes(text)) {
    throw new MintError('auth', `the client secret file ${file} has quotes around the secret`, {
      remedy: 'put only the OAuth secret of the service principal into the file, without quotes',
    });
  }
  return new Secret(text);
}

/**
 * The CLI reads this file itself and says what is wrong with it; here it only becomes known as a secret.
 *
 * @throws MintError for what is no file: at a pipe the CLI would wait, and seem to wait for the workspace. And for one of
 * gigabytes, which the CLI would read, too.
 */
export function readOidcToken(file: string): Secret[] {
  let text: string;
  try {
    text = readFile(file).trim();
  } catch (error) {
    if (error instanceof MintError) throw error;
    return [];
  }
  return text === '' ? [] : [new Secret(text)];
}

/**
 * The CLI takes a file that is missing for one without profiles, and says only that it finds no identity.
 *
 * @throws MintError where it is missing; of all else that may be wrong with it, the CLI says what
 */
export function requireProfiles(file: string): void {
  try {
    statSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
    throw new MintError('auth', `the file of the profile, ${file}, does not exist`, {
      remedy: 'set DATABRICKS_CONFIG_FILE to the path of the file that contains the profile',
    });
  }
}

/**
 * Never waits for the other end of a pipe, which nobody might ever open.
 *
 * @throws MintError for what cannot hold a token or a secret; an error of the system
 */
export function readFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile() && !stats.isDirectory()) throw unfit(path, 'is a pipe or a device, not a file');
    if (stats.size > MAX_BYTES) throw unfit(path, 'is larger than any token or secret');
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

function unfit(path: string, reason: string): MintError {
  return new MintError('auth', `${path} ${reason}`, {
    remedy:
      'set the variable that names it to the path of a regular file with nothing else in it; it is read at each mint',
  });
}
