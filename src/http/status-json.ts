import { rfc3339, shortFingerprint, wholeSeconds } from '../credential/display.ts';
import type { MintFailure, SinkFailure } from '../credential/failures.ts';
import type { Clock, Sink } from '../credential/ports.ts';
import { isUsable, lifetimeMs, remainingMs } from '../credential/schedule.ts';
import { type CredentialStatus, readinessChecks, type SinkStatus } from '../credential/status.ts';

/**
 * What `/status` tells programs. Every key is always there, `null` where nothing is known. Times are RFC 3339: those of
 * a credential by the service's clock, all others by this machine's. Never the token, nor the words of the CLI.
 */
export interface StatusReport {
  readonly version: string;
  readonly now: string;
  /** As `/readyz` answers. */
  readonly ready: boolean;
  readonly credentials: readonly CredentialReport[];
}

/**
 * `pending`: none yet; `fresh`; `retrying`: valid, but the last attempt failed, and is tried again; `expiring`: too little
 * life left to log in with; `expired`.
 */
export type State = 'pending' | 'fresh' | 'retrying' | 'expiring' | 'expired';

export interface CredentialReport {
  readonly name: string;
  readonly resource: string;
  readonly state: State;
  /** Negative once expired. */
  readonly remainingSeconds: number | null;
  readonly lifetimeSeconds: number | null;
  readonly issuedAt: string | null;
  readonly expiresAt: string | null;
  /** Of the next refresh, or of the next attempt after one that failed. */
  readonly nextRefreshAt: string;
  readonly isMinting: boolean;
  readonly lastAttemptAt: string | null;
  readonly lastSuccessAt: string | null;
  readonly consecutiveFailures: number;
  readonly lastFailure: { readonly code: MintFailure; readonly at: string; readonly remedy: string } | null;
  /** The first digits of the token's SHA-256. */
  readonly fingerprint: string | null;
  readonly sinks: readonly SinkReport[];
}

export interface SinkReport {
  readonly name: string;
  readonly kind: Sink['kind'];
  /** `lacks`: a reader gets nothing, or something that is not ours. */
  readonly state: 'holds' | 'lacks';
  /** A reader that takes it now has time to log in with it. */
  readonly ready: boolean;
  /** Of what it holds; negative once expired. */
  readonly remainingSeconds: number | null;
  readonly expiresAt: string | null;
  readonly fingerprint: string | null;
  readonly lastWriteAt: string | null;
  /** Why it lacks the credential. */
  readonly problem: { readonly code: SinkFailure; readonly remedy: string } | null;
  /** The last write failed. */
  readonly failure: {
    readonly code: SinkFailure;
    readonly at: string;
    readonly retryAt: string;
    readonly remedy: string;
  } | null;
}

export function reportStatus(statuses: readonly CredentialStatus[], clock: Clock, version: string): StatusReport {
  const checks = readinessChecks(statuses, clock);
  return {
    version,
    now: rfc3339(clock.now()),
    ready: checks.length > 0 && checks.every(({ isOk }) => isOk),
    credentials: statuses.map((status) => reportCredential(status, clock)),
  };
}

function reportCredential(status: CredentialStatus, clock: Clock): CredentialReport {
  const { current, lastFailure } = status;
  return {
    name: status.name,
    resource: status.resource,
    state: stateOf(status, clock),
    remainingSeconds: current ? wholeSeconds(remainingMs(current, clock)) : null,
    lifetimeSeconds: current ? wholeSeconds(lifetimeMs(current)) : null,
    issuedAt: optionalTime(current?.service.issuedAt),
    expiresAt: optionalTime(current?.service.expiresAt),
    nextRefreshAt: rfc3339(status.wakeAt),
    isMinting: status.isMinting,
    lastAttemptAt: optionalTime(status.lastAttemptAt),
    lastSuccessAt: optionalTime(status.lastSuccessAt),
    consecutiveFailures: status.consecutiveFailures,
    lastFailure: lastFailure
      ? { code: lastFailure.code, at: rfc3339(lastFailure.at), remedy: lastFailure.remedy }
      : null,
    fingerprint: current ? shortFingerprint(current.fingerprint) : null,
    sinks: status.sinks.map((sink) => reportSink(sink, clock)),
  };
}

function reportSink({ name, kind, holding, lastWriteAt, failure }: SinkStatus, clock: Clock): SinkReport {
  const held = holding.state === 'holds' ? holding.credential : undefined;
  const problem = holding.state === 'lacks' ? holding.problem : undefined;
  return {
    name,
    kind,
    state: holding.state,
    ready: held !== undefined && isUsable(held, clock),
    remainingSeconds: held ? wholeSeconds(remainingMs(held, clock)) : null,
    expiresAt: optionalTime(held?.service.expiresAt),
    fingerprint: held ? shortFingerprint(held.fingerprint) : null,
    lastWriteAt: optionalTime(lastWriteAt),
    problem: problem ? { code: problem.failure, remedy: problem.remedy } : null,
    failure: failure ? reportFailure(failure) : null,
  };
}

function reportFailure({ error, at, retryAt }: NonNullable<SinkStatus['failure']>): SinkReport['failure'] {
  return { code: error.failure, at: rfc3339(at), retryAt: rfc3339(retryAt), remedy: error.remedy };
}

function stateOf({ current, consecutiveFailures }: CredentialStatus, clock: Clock): State {
  if (current === undefined) return 'pending';
  if (remainingMs(current, clock) <= 0) return 'expired';
  if (!isUsable(current, clock)) return 'expiring';
  return consecutiveFailures > 0 ? 'retrying' : 'fresh';
}

function optionalTime(at: number | undefined): string | null {
  return at === undefined ? null : rfc3339(at);
}
