import { hash } from 'node:crypto';
import { SinkError } from '../../src/credential/errors.ts';
import type { SinkFailure } from '../../src/credential/failures.ts';
import type { Clock, Credential } from '../../src/credential/ports.ts';
import { Secret } from '../../src/credential/secret.ts';
import type { CredentialStatus, SinkStatus } from '../../src/credential/status.ts';
import { HOUR_MS, MINUTE_MS } from './fakes.ts';

export const NOW = Date.parse('2026-11-23T12:00:00Z');
/** Must appear in no log line, answer or metric. */
export const CANARY = 'canary-token-5f2d9c';

/** For what asks the time but never waits. */
export const frozenClock: Clock = {
  now: () => NOW,
  monotonic: () => 0,
  sleep: () => Promise.reject(new Error('nothing waits here')),
};

/** Of one hour, unless said otherwise. The service's clock is 2 s ahead of ours. */
export function credentialWith({ leftMs = 40 * MINUTE_MS, lifetimeMs = HOUR_MS, token = CANARY } = {}): Credential {
  const issuedAt = NOW + leftMs - lifetimeMs;
  return {
    token: new Secret(token),
    local: { issuedAt, expiresAt: issuedAt + lifetimeMs },
    service: { issuedAt: issuedAt + 2_000, expiresAt: issuedAt + lifetimeMs + 2_000 },
    fingerprint: hash('sha256', token),
    monotonicAt: 0 - (NOW - issuedAt),
  };
}

export function holding(credential: Credential, name = 'file:/run/lakebase/pgpass'): SinkStatus {
  const kind = name.startsWith('secret:') ? 'secret' : 'file';
  return { name, kind, holding: { state: 'holds', credential }, lastWriteAt: NOW - MINUTE_MS, failure: undefined };
}

export function lacking(failure: SinkFailure, message: string, name = 'file:/run/lakebase/pgpass'): SinkStatus {
  const kind = name.startsWith('secret:') ? 'secret' : 'file';
  const problem = new SinkError(failure, message);
  return { name, kind, holding: { state: 'lacks', problem }, lastWriteAt: undefined, failure: undefined };
}

/** What was said is for the log only, and what to do is shown as it is. */
export const lastFailure = {
  code: 'auth',
  message: 'it is not ours',
  remedy: 'check `the secret` & <the policy>',
  at: NOW - 5_000,
} as const satisfies CredentialStatus['lastFailure'];

export function statusWith(overrides: Partial<CredentialStatus> = {}): CredentialStatus {
  const current = 'current' in overrides ? overrides.current : credentialWith();
  return {
    name: 'backstage',
    resource: 'projects/backstage/branches/production/endpoints/primary',
    current,
    sinks: current === undefined ? [] : [holding(current)],
    refresh: { at: 0.667, jitter: 0.1, floorMs: 10_000 },
    wakeAt: NOW + 18 * MINUTE_MS,
    isMinting: false,
    lastAttemptAt: NOW - 20 * MINUTE_MS,
    lastSuccessAt: NOW - 20 * MINUTE_MS,
    consecutiveFailures: 0,
    lastFailure: undefined,
    ...overrides,
  };
}
