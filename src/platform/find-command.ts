import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { delimiter, isAbsolute, resolve } from 'node:path';
import { CliError } from '../credential/errors.ts';

const INSTALL = 'install the Databricks CLI and put its directory on the PATH, or set minter.cli.command to its path';
const PERMIT = 'make it executable for the user the sidecar runs as, or set minter.cli.command to another one';

/** The path of a program that can be started, looked up as for a child with this environment. @throws CliError */
export function findCommand(command: string, { PATH: searchPath = '' }: Readonly<Record<string, string>>): string {
  const folders = searchPath.split(delimiter);
  // The command runs in `/`, and what is relative counts from there.
  const candidates = command.includes('/') ? [command] : folders.map((folder) => resolve('/', folder, command));
  const executable = candidates.find((path) => isFile(path) && isExecutable(path));
  if (executable !== undefined) return executable;
  const forbidden = candidates.find(isFile);
  if (forbidden !== undefined) {
    throw new CliError(`the Databricks CLI ${forbidden} is not executable by this user`, PERMIT);
  }
  const folder = candidates.find(isFolder);
  if (folder !== undefined) throw new CliError(`the Databricks CLI ${folder} is a directory, not a program`, INSTALL);
  const hint = folders.every((folder) => isAbsolute(folder)) ? '' : ', where a folder must be an absolute path';
  const where = command.includes('/') ? 'there is no such file' : `not on the PATH (${searchPath})${hint}`;
  throw new CliError(`the Databricks CLI "${command}" is missing: ${where}`, INSTALL);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isFile(path: string): boolean {
  return statsOf(path)?.isFile() === true;
}

function isFolder(path: string): boolean {
  return statsOf(path)?.isDirectory() === true;
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
