import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { StartupError } from '../credential/errors.ts';

/** The path of a program that can be started, looked up as the system would. @throws StartupError */
export function findCommand(command: string, searchPath: string): string {
  const candidates = command.includes('/')
    ? [command]
    : searchPath.split(delimiter).map((folder) => join(folder, command));
  const found = candidates.filter(isFile);
  const [path] = found;
  if (path === undefined) {
    const where = command.includes('/') ? 'there is no such file' : `not on the PATH (${searchPath})`;
    throw new StartupError(`the Databricks CLI "${command}" is missing: ${where}`);
  }
  const executable = found.find(isExecutable);
  if (executable === undefined) throw new StartupError(`the Databricks CLI ${path} is not executable by this user`);
  return executable;
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
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
