import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { shellWord } from '../../src/sinks/render.ts';
import { temporaryDirectory, type Cleanup } from './cleanup.ts';

export interface Cli {
  /** For the titles of tests. */
  readonly name: string;
  readonly path: string;
  readonly isReal: boolean;
}

const STAND_IN: Cli = { name: 'the stand-in CLI', path: join(import.meta.dirname, 'databricks'), isReal: false };
const realPath = process.env['DATABRICKS_CLI'];

/** Every program that a test which goes through a CLI should run with. */
export const clis: readonly Cli[] =
  realPath === undefined ? [STAND_IN] : [STAND_IN, { name: 'the real CLI', path: realPath, isReal: true }];

export const NO_REAL_CLI = 'set DATABRICKS_CLI=/path/to/databricks and run `npm test`';

export interface StandInCliOptions {
  readonly version?: string;
  readonly startDelayMs?: number;
  readonly ignoresSigterm?: boolean;
}

/**
 * A stand-in CLI that differs from the usual one, as an executable file named `databricks` in a directory of its own; by a
 * file, because the sidecar passes no strange variables on.
 */
export async function standInCli(t: Cleanup, options: StandInCliOptions): Promise<string> {
  const path = join(await temporaryDirectory(t), 'databricks');
  await writeFile(path, `#!/bin/sh\nexec ${shellWord(STAND_IN.path)} '--stand-in=${JSON.stringify(options)}' "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

/** Of a shell script in the place of the CLI: it knows its own version, so that only minting is odd. */
export const TELLS_VERSION = `if [ "$1" = version ]; then echo '{"Version": "1.13.0"}'; exit; fi`;
