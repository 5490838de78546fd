import type { Cancellable, Clock } from '../credential/ports.ts';
import { isOlder } from './is-older.ts';
import { notStarted } from './command.ts';
import { runCommand } from './process.ts';

/** The first that both caches host metadata and has the command `postgres`. */
const OLDEST = '0.298.0';
/** The first with `--ttl`. */
const OLDEST_WITH_TTL = '1.7.0';
const TIMEOUT_MS = 10_000;

export interface Installed {
  readonly command: string;
  /** Variables of this process that the CLI may see. */
  readonly childEnvironment: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** `1.13.0`, or undefined where the command does not say. @throws MintError where it cannot be started */
export async function readCliVersion(
  { command, childEnvironment, clock }: Installed,
  { signal }: Cancellable,
): Promise<string | undefined> {
  const line = { file: command, args: ['version', '-o', 'json'], env: childEnvironment };
  const { errno, stdout } = await runCommand(line, { signal, clock, timeoutMs: TIMEOUT_MS });
  if (errno !== undefined) throw notStarted(command, errno);
  return /"Version":\s*"(\d+\.\d+\.\d+)[^"]*"/.exec(stdout)?.[1];
}

/** Why this version will not do; undefined if it will. */
export function complaintAbout(version: string, hasTtl: boolean): string | undefined {
  const needed = hasTtl ? OLDEST_WITH_TTL : OLDEST;
  if (!isOlder(version, needed)) return undefined;
  return `Databricks CLI ${version} is too old: ${needed} or newer is needed${hasTtl ? ' for a ttl' : ''}`;
}
