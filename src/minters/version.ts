import { MintError } from '../credential/errors.ts';
import type { Cancellable, Clock } from '../credential/ports.ts';
import { endedBy, notStarted } from './endings.ts';
import { isOlder } from './is-older.ts';
import { runCommand } from './process.ts';

/** The first that both caches host metadata and has the command `postgres`. */
const OLDEST = '0.298.0';
/** The first with `--ttl`. */
const OLDEST_WITH_TTL = '1.7.0';
/** Before 1.12.0, every build that is not a release has this version, whatever its age. */
const NO_RELEASE = '0.0.0';
const TIMEOUT_MS = 10_000;

export interface Installed {
  readonly command: string;
  /** Variables of this process that the CLI may see. */
  readonly childEnvironment: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** Such as `1.13.0`. @throws MintError where the command does not say */
export async function readCliVersion(
  { command, childEnvironment, clock }: Installed,
  { signal }: Cancellable,
): Promise<string> {
  const line = { file: command, args: ['version', '-o', 'json'], env: childEnvironment };
  const { errno, exitCode, hasTimedOut, killedBy, stdout } = await runCommand(line, {
    signal,
    clock,
    timeoutMs: TIMEOUT_MS,
  });
  if (errno !== undefined) throw notStarted(command, errno);
  if (hasTimedOut) throw tooSlow(command);
  if (exitCode === undefined) throw endedBy(killedBy);
  const [, version] = /"Version":\s*"(\d+\.\d+\.\d+)[^"]*"/.exec(stdout) ?? [];
  if (version === undefined) throw nameless(command);
  return version;
}

export const INSTALL_NEWER = 'install a newer Databricks CLI';

/** Why this version will not do; undefined if it will. */
export function complaintAbout(version: string, hasTtl: boolean): string | undefined {
  const needed = hasTtl ? OLDEST_WITH_TTL : OLDEST;
  if (version === NO_RELEASE || !isOlder(version, needed)) return undefined;
  return `Databricks CLI ${version} is too old: ${needed} or newer is needed${hasTtl ? ' for a ttl' : ''}`;
}

/** It asks nobody, so the network has no part in it. */
function tooSlow(command: string): MintError {
  return new MintError('timeout', `the CLI "${command}" did not print its version within ${TIMEOUT_MS / 1_000} s`, {
    remedy:
      'raise the CPU limit of the container, or check the program that minter.cli.command names: printing the version needs no network',
  });
}

function nameless(command: string): MintError {
  return new MintError('unknown', `the CLI "${command}" does not print its version`, {
    remedy: 'set minter.cli.command to the Databricks CLI; the deprecated CLI from pip (databricks-cli) does not work',
  });
}
