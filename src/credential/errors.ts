import { MINT_REMEDIES, type MintFailure, SINK_REMEDIES, type SinkFailure } from './failures.ts';

/** Where a bad setting stands and what is allowed there. */
export interface ConfigIssue {
  /** Dotted path in the file (`credentials[0].ttl`), the name of a variable, or a flag; empty where no one place is wrong. */
  readonly path: string;
  readonly message: string;
}

export function issueText({ path, message }: ConfigIssue): string {
  return path === '' ? message : `${path}: ${message}`;
}

/** An error that was foreseen. Anything else that is thrown is a bug and ends the process with exit code 1. */
export abstract class AppError extends Error {
  abstract readonly code: 'config' | 'usage' | 'mint' | 'sink' | 'sinks' | 'startup';
}

/** The configuration cannot be used; every problem is listed. Exit code 78. */
export class ConfigError extends AppError {
  override readonly name = 'ConfigError';
  override readonly code = 'config';
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    super(issues.map(issueText).join('\n'));
    this.issues = issues;
  }
}

/** The command line cannot be understood. Exit code 64. */
export class UsageError extends AppError {
  override readonly name = 'UsageError';
  override readonly code = 'usage';
}

/** Where no remedy is given, that of the failure in general counts. */
interface MintErrorOptions {
  readonly remedy?: string | undefined;
  readonly detail?: string | undefined;
}

/** One attempt to mint failed. Never carries the command's result as its cause: that holds the token. */
export class MintError extends AppError {
  override readonly name = 'MintError';
  override readonly code = 'mint';
  readonly failure: MintFailure;
  /** The one thing to do about it. Neither this nor the message has any of the command's own words. */
  readonly remedy: string;
  /** The command's own words, scrubbed; for the log and the terminal only. */
  readonly detail: string | undefined;

  constructor(failure: MintFailure, message: string, { remedy, detail }: MintErrorOptions = {}) {
    super(message);
    this.failure = failure;
    this.remedy = remedy ?? MINT_REMEDIES[failure];
    this.detail = detail;
  }
}

interface SinkErrorOptions extends ErrorOptions {
  readonly remedy?: string | undefined;
  readonly retryAfterMs?: number;
}

/** One sink could not be written or does not hold what it should. */
export class SinkError extends AppError {
  override readonly name = 'SinkError';
  override readonly code = 'sink';
  readonly failure: SinkFailure;
  /** The one thing to do about it. */
  readonly remedy: string;
  /** No write is worth trying sooner. */
  readonly retryAfterMs: number;

  constructor(failure: SinkFailure, message: string, { remedy, retryAfterMs = 0, ...options }: SinkErrorOptions = {}) {
    super(message, options);
    this.failure = failure;
    this.remedy = remedy ?? SINK_REMEDIES[failure];
    this.retryAfterMs = retryAfterMs;
  }
}

/** A problem and, in a line of its own, what to do about it. */
export function withRemedy(problem: string, remedy: string): string {
  return `${problem}\n→ ${remedy}`;
}

/** The process cannot start as configured: a taken port, a missing command. Exit code 69. */
export class StartupError extends AppError {
  override readonly name = 'StartupError';
  override readonly code = 'startup';
}

/** The Databricks CLI cannot be started as configured. */
export class CliError extends StartupError {
  readonly problem: string;
  readonly remedy: string;

  constructor(problem: string, remedy: string) {
    super(withRemedy(problem, remedy));
    this.problem = problem;
    this.remedy = remedy;
  }
}

/** Sinks that cannot be used as configured; all of them are listed, each with what to do. Exit code 73. */
export class SinksError extends AppError {
  override readonly name = 'SinksError';
  override readonly code = 'sinks';

  /** @param others what else went wrong meanwhile, each with its remedy */
  constructor(problems: readonly SinkError[], others: readonly string[] = []) {
    const texts = [...problems.map(({ message, remedy }) => withRemedy(message, remedy)), ...others];
    super([...new Set(texts)].join('\n'), { cause: problems[0] });
  }
}
