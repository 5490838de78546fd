import type { MintError } from './errors.ts';
import type { CredentialStatus } from './status.ts';

/** What became of the attempts to mint; by the wall clock. */
export class Attempts {
  #failures = 0;
  #lastFailure: CredentialStatus['lastFailure'];
  #lastAttemptAt: number | undefined;
  #lastSuccessAt: number | undefined;

  /** Since the last one that succeeded. */
  get failures(): number {
    return this.#failures;
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
    this.#failures = 0;
    this.#lastFailure = undefined;
    this.#lastSuccessAt = at;
  }

  failed({ failure, remedy }: MintError, at: number): void {
    this.#failures += 1;
    this.#lastFailure = { code: failure, remedy, at };
  }
}
