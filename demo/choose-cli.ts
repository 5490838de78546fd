import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../src/credential/errors.ts';
import type { Cancellable } from '../src/credential/ports.ts';
import { complaintAbout, readCliVersion } from '../src/minters/version.ts';
import { systemClock as clock } from '../src/platform/clock.ts';
import { findCommand } from '../src/platform/find-command.ts';

export interface ChosenCli {
  readonly command: string;
  readonly isReal: boolean;
  /** Which it is, and why. */
  readonly title: string;
  /** How long it takes to start on this machine. */
  readonly startMs: number;
}

const STAND_IN = join(import.meta.dirname, '../test/support/databricks');

/** The Databricks CLI of the machine where it has one that can mint, else the stand-in. */
export async function chooseCli(searchPath: string, options: Cancellable): Promise<ChosenCli> {
  const found = findReal(searchPath);
  if (found === undefined) return await standIn('there is no databricks on the PATH', searchPath, options);
  try {
    const { version, startMs } = await ask(found, searchPath, options);
    const complaint = version === undefined ? `${found} does not tell its version` : complaintAbout(version, false);
    if (complaint !== undefined) return await standIn(complaint, searchPath, options);
    return { command: found, isReal: true, title: `the Databricks CLI ${version} (${found})`, startMs };
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof AppError)) throw error;
    return await standIn(error.message, searchPath, options);
  }
}

function findReal(searchPath: string): string | undefined {
  try {
    const command = findCommand('databricks', { PATH: searchPath });
    return realpathSync(command) === STAND_IN ? undefined : command;
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

async function standIn(reason: string, searchPath: string, options: Cancellable): Promise<ChosenCli> {
  const { startMs } = await ask(STAND_IN, searchPath, options);
  return { command: STAND_IN, isReal: false, title: `a stand-in CLI (${reason})`, startMs };
}

async function ask(command: string, searchPath: string, options: Cancellable) {
  const startedAt = clock.monotonic();
  const version = await readCliVersion({ command, childEnvironment: { PATH: searchPath }, clock }, options);
  return { version, startMs: clock.monotonic() - startedAt };
}
