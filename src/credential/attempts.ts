import type { MintError } from './errors.ts';
import type { CredentialStatus } from './status.ts';

/** What became of the attempts to mint; by the wall clock. */
export class Attempts {
  #failures = 0;
  #hasFailed = false;
  #lastFailure: CredentialStatus['lastFailure'];
  #lastAttemptAt: number | undefined;
  #lastSuccessAt: number | undefined;

  /** Failures in a row, since the last success or since another writer's credential came into use. */
  get failures(): number {
    return this.#failures;
  }

  /** Whether the last attempt failed, also where another writer's credential has come into use since. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  get summary(): Pick<CredentialStatus, 'consecutiveFailures' | 'lastAttemptAt' | 'lastFailure' | 'lastSuccessAt'> {
    return {
      lastAttemptAt: this.#lastAttemptAt,
      lastSuccessAt: this.#lastSuccessAt,
      consecutiveFailures: this.#failures,
      lastFailure: this.#lastFailure,
    };
  }

  started(at: number): void {
    this.#lastAttemptAt = at;
  }

  succeeded(at: number): void {
    this.superseded();
    this.#hasFailed = false;
    this.#lastSuccessAt = at;
  }

  /** Another writer's credential came into use: what failed is not tried again before the next refresh. */
  superseded(): void {
    this.#failures = 0;
    this.#lastFailure = undefined;
  }

  failed({ failure, message, remedy }: MintError, at: number): void {
    this.#failures += 1;
    this.#hasFailed = true;
    this.#lastFailure = { code: failure, message, remedy, at };
  }
}
