import { wholeSeconds } from '../credential/display.ts';
import { MintError } from '../credential/errors.ts';
import { OPEN_FILES_REMEDIES } from '../credential/failures.ts';
import type { Clock, Credential, Minter, MintOptions } from '../credential/ports.ts';
import type { Secret } from '../credential/secret.ts';
import type { CliResult, DatabricksCli } from './cli.ts';
import type { Diagnosis } from './cli-words.ts';
import { diagnose } from './diagnose.ts';
import { scrub } from './scrub.ts';

/** What to mint for. Lakebase Autoscaling has endpoints, Lakebase Provisioned has instances and no ttl. */
export interface MintRequest {
  readonly resource: { readonly kind: 'endpoint' | 'instance'; readonly name: string };
  readonly ttlMs: number | undefined;
}

/** Mints by running the Databricks CLI once. */
export class CommandMinter implements Minter {
  readonly #cli: Pick<DatabricksCli, 'command' | 'run'>;
  readonly #request: MintRequest;
  readonly #clock: Clock;
  /** The last token, to be redacted from what a later run prints, even if it was never used. */
  #minted: Secret | undefined;

  constructor(cli: Pick<DatabricksCli, 'command' | 'run'>, request: MintRequest, clock: Clock) {
    this.#cli = cli;
    this.#request = request;
    this.#clock = clock;
  }

  async mint(options: MintOptions): Promise<Credential> {
    const issuedAt = this.#clock.now();
    const monotonicAt = this.#clock.monotonic();
    // What reads the answer is loaded while the command runs.
    const [result, { parseResponse }] = await Promise.all([
      this.#cli.run(mintArguments(this.#request), options),
      import('./response.ts'),
    ]);
    if (result.errno !== undefined) throw notStarted(this.#cli.command, result.errno);
    if (result.hasTimedOut) throw tooSlow(options.timeoutMs);
    if (result.isTooLong) throw new MintError('bad_response', 'the CLI printed far more than a credential');
    if (result.exitCode !== 0) throw this.#explain(result, options);
    const credential = parseResponse(result.stdout, { issuedAt, monotonicAt, ttlMs: this.#request.ttlMs });
    this.#minted = credential.token;
    return credential;
  }

  #explain({ stderr, exitCode, killedBy, secrets }: CliResult, { held }: MintOptions): MintError {
    if (exitCode === undefined) return endedBy(killedBy);
    if (stderr.trim() === '') return endedWith(exitCode);
    const { failure, message, remedy } = ofShell(exitCode) ?? diagnose(stderr);
    const tokens = [this.#minted, held].filter((token) => token !== undefined);
    const detail = scrub(stderr, [...secrets, ...tokens]);
    return new MintError(failure, message, { remedy, detail });
  }
}

/** What a shell makes of SIGKILL. */
const KILLED = 128 + 9;
const MORE_MEMORY = 'raise the memory limit of the container: a program that exceeds it is ended like that';

/** It has left no words. Our own SIGKILL follows a deadline, which is told as such. */
export function endedBy(signal = 'a signal'): MintError {
  return new MintError('unknown', `the CLI was ended by ${signal}`, {
    remedy: signal === 'SIGKILL' ? MORE_MEMORY : 'find out what ends it: by itself, the CLI ends with an exit code',
  });
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

function mintArguments({ resource: { kind, name }, ttlMs }: MintRequest): string[] {
  if (kind === 'instance') {
    const body = JSON.stringify({ instance_names: [name] });
    return ['database', 'generate-database-credential', '--json', body, '-o', 'json'];
  }
  // The CLI takes seconds only: it refuses `15m`.
  const ttl = ttlMs === undefined ? [] : ['--ttl', `${ttlMs / 1_000}s`];
  return ['postgres', 'generate-database-credential', name, '-o', 'json', ...ttl];
}

/** For errors that keep any other program from being started as well. */
const REMEDY_BY_ERRNO: Readonly<Record<string, string>> = {
  EAGAIN: 'raise the limit on processes, of the pod (podPidsLimit of the kubelet) or of the user (ulimit -u)',
  ...OPEN_FILES_REMEDIES,
  ENOMEM: 'raise the memory limit of the container, or find out what uses up the memory of this machine',
  E2BIG:
    'shorten the environment variables that the CLI gets, such as PATH, proxies and the client secret: each may have 128 KiB',
  ETXTBSY: 'wait until the installation of the CLI, which still writes to its file, has finished',
};

export function notStarted(command: string, errno: string): MintError {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist, or is not a program that this machine can run',
    EACCES: 'is not executable',
    ENOEXEC: 'is not a program for this machine',
  };
  const reason = reasons[errno] ?? `cannot be started (${errno})`;
  return new MintError('spawn', `the CLI "${command}" ${reason}`, { remedy: REMEDY_BY_ERRNO[errno] });
}

function tooSlow(timeoutMs: number): MintError {
  return new MintError(
    'timeout',
    `the CLI did not finish within ${wholeSeconds(timeoutMs)} s: the workspace did not answer, refused connections or throttled, all of which the CLI retries silently`,
  );
}
