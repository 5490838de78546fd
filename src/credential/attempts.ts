import type { MintError } from './errors.ts';
import type { CredentialStatus } from './status.ts';

/** What became of the attempts to mint; by the wall clock. */
export class Attempts {
  #failures = 0;
  #hasFailed = false;
  #lastFailure: CredentialStatus['lastFailure'];
  #lastAttemptAt: number | undefined;
  #lastSuccessAt: number | undefined;

  /** Since the last one that succeeded, or since there is nothing to try again. */
  get failures(): number {
    return this.#failures;
  }

  /** The last one did, whatever came after it. */
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

  failed({ failure, remedy }: MintError, at: number): void {
    this.#failures += 1;
    this.#hasFailed = true;
    this.#lastFailure = { code: failure, remedy, at };
  }
}
