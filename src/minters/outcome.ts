import { wholeSeconds } from '../credential/display.ts';
import { MintError } from '../credential/errors.ts';
import { MINT_REMEDIES } from '../credential/failures.ts';
import type { Credential } from '../credential/ports.ts';
import type { Secret } from '../credential/secret.ts';
import type { CliResult } from './cli.ts';
import type { Diagnosis } from './cli-words.ts';
import { diagnose } from './diagnose.ts';
import { endedBy, MORE_MEMORY, notStarted } from './endings.ts';
import { type MintContext, parseResponse } from './response.ts';
import { scrub } from './scrub.ts';

export interface Run extends MintContext {
  readonly command: string;
  readonly timeoutMs: number;
  /** Tokens that the command may have printed, besides its own secrets. */
  readonly tokens: readonly Secret[];
}

/** A CLI that starts slowly has not even asked yet: a LimitRange may set a low limit that nobody has asked for. */
const SLOW_OR_UNANSWERED = `${MINT_REMEDIES.timeout}; or raise the CPU limit of the container, if it is too low for the CLI to start in time`;

/** What a shell makes of SIGKILL. */
const KILLED = 128 + 9;

/** The credential that a run of the CLI has brought. @throws MintError that says why there is none */
export function readOutcome(result: CliResult, run: Run): Credential {
  if (result.errno !== undefined) throw notStarted(run.command, result.errno);
  if (result.hasTimedOut) throw tooSlow(run.timeoutMs);
  if (result.isTooLong) throw new MintError('bad_response', 'the CLI printed far more than a credential');
  if (result.exitCode !== 0) throw explain(result, run.tokens);
  return parseResponse(result.stdout, run);
}

function explain({ stderr, exitCode, killedBy, secrets }: CliResult, tokens: readonly Secret[]): MintError {
  if (exitCode === undefined) return endedBy(killedBy);
  if (stderr.trim() === '') return endedWith(exitCode);
  const { failure, message, remedy } = ofShell(exitCode) ?? diagnose(stderr);
  const detail = scrub(stderr, [...secrets, ...tokens]);
  return new MintError(failure, message, { remedy, detail });
}

/** What only a script around the CLI ends with, whatever it says: the CLI itself ends with 0 or 1. */
function ofShell(exitCode: number): Diagnosis | undefined {
  switch (exitCode) {
    case 126:
    case 127:
      return {
        failure: 'spawn',
        message: `the CLI ended with ${exitCode}, as a shell does when it cannot start a program`,
        remedy: 'check the program that minter.cli.command names: it cannot start the Databricks CLI',
      };
    case KILLED:
      return endedBy('SIGKILL');
    default:
      return undefined;
  }
}

/** The Databricks CLI has words for each of its failures, so it is what runs it that is silent, such as a script. */
function endedWith(exitCode: number): MintError {
  return new MintError('unknown', `the CLI ended with ${exitCode} and without any output`, {
    remedy:
      exitCode === KILLED
        ? MORE_MEMORY
        : 'check the program that minter.cli.command names: the Databricks CLI says why it fails',
  });
}

function tooSlow(timeoutMs: number): MintError {
  return new MintError(
    'timeout',
    `the CLI did not finish within ${wholeSeconds(timeoutMs)} s: the workspace did not answer, refused connections or throttled, all of which the CLI retries silently`,
    { remedy: SLOW_OR_UNANSWERED },
  );
}
