import type { Clock, Credential } from './ports.ts';

export interface RefreshPolicy {
  /** Fraction of the lifetime after which a refresh is due. */
  readonly at: number;
  /** Fraction of the lifetime by which a refresh may come sooner, so that many sidecars do not mint together. */
  readonly jitter: number;
  /** A refresh is never due sooner than this after the held credential was issued. */
  readonly floorMs: number;
}

export interface BackoffPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** Numbers in [0, 1), as `Math.random` gives them. */
export type Random = () => number;

/** No retry sooner than this, however little life is left. */
const MIN_RETRY_MS = 250;
/** Without a valid credential readers are failing now: ask more often than `backoff.max` may say. */
const MAX_RETRY_WITHOUT_CREDENTIAL_MS = 15_000;
/** An attempt gets at least this, even when the credential is about to expire. */
const MIN_ATTEMPT_MS = 5_000;
/** With less life than this a token is not usable; Databricks' own clients refuse such a one, too. */
const READY_MARGIN_MS = 30_000;

export function lifetimeMs({ local }: Credential): number {
  return local.expiresAt - local.issuedAt;
}

/**
 * The service's clock minus this machine's, in milliseconds, when this token was minted; too large by the time that the mint
 * took before the service issued it, so that no token is taken for younger than it is.
 */
export function skewOf({ local, service }: Credential): number {
  return service.issuedAt - local.issuedAt;
}

/** What a mint of this duration proves of it: nothing if the service can have issued the token at any time meanwhile. */
export function provenSkewMs(minted: Credential, durationMs: number): number {
  const skewMs = skewOf(minted);
  return skewMs < 0 ? skewMs : Math.max(0, skewMs - durationMs);
}

/** Takes the greater of both clocks: a wall clock that was set back, or a suspended machine, keeps nothing alive. */
export function ageMs(credential: Credential, clock: Clock): number {
  return Math.max(clock.now() - credential.local.issuedAt, clock.monotonic() - credential.monotonicAt);
}

/** Negative once expired. */
export function remainingMs(credential: Credential, clock: Clock): number {
  return lifetimeMs(credential) - ageMs(credential, clock);
}

/** By the service's clock: ours may have been set between the two, and that of another writer is not ours. */
export function expiresLater(credential: Credential, other: Credential): boolean {
  return credential.service.expiresAt > other.service.expiresAt;
}

/** Whether a reader that takes this credential now has time to log in with it. */
export function isUsable(credential: Credential, clock: Clock): boolean {
  const leftMs = remainingMs(credential, clock);
  return leftMs > 0 && leftMs >= Math.min(READY_MARGIN_MS, lifetimeMs(credential) / 10);
}

/** When the next mint is due; each call draws its own jitter. */
export function refreshAt(credential: Credential, { at, jitter, floorMs }: RefreshPolicy, random: Random): number {
  return credential.local.issuedAt + notBelow(floorMs, (at - random() * jitter) * lifetimeMs(credential));
}

/** By the latest draw that a writer with this policy can have. */
export function latestRefreshAt(credential: Credential, policy: RefreshPolicy): number {
  return refreshAt(credential, policy, () => 0);
}

/** Sidecars that were started together, or that had lost their credentials, spread over the whole period with one draw. */
export function firstRefreshAt(credential: Credential, policy: RefreshPolicy, random: Random): number {
  return spreadRefreshAt(credential, policy, 0, random);
}

/**
 * After failures only a part of all sidecars is in step: those that were due while the workspace was out. The second
 * half of the period is enough to spread them. The first half is left to the others, whose turn comes while the service
 * still works off what the outage has left.
 */
export function refreshAfterFailuresAt(credential: Credential, policy: RefreshPolicy, random: Random): number {
  return spreadRefreshAt(credential, policy, policy.at / 2, random);
}

function spreadRefreshAt(
  credential: Credential,
  { at, floorMs }: RefreshPolicy,
  earliest: number,
  random: Random,
): number {
  const earliestMs = notBelow(floorMs, earliest * lifetimeMs(credential));
  const latestMs = notBelow(floorMs, at * lifetimeMs(credential));
  return credential.local.issuedAt + earliestMs + random() * (latestMs - earliestMs);
}

/** Unlike `Math.max` it makes NaN the floor: a refresh that is due at NaN would never come. */
function notBelow(floorMs: number, ms: number): number {
  return ms > floorMs ? ms : floorMs;
}

/** Jitter comes after the cap: the other way round, everyone who has reached the cap retries together. */
export function retryDelayMs(
  failures: number,
  policy: BackoffPolicy,
  leftMs: number | undefined,
  random: Random,
): number {
  const capMs = Math.min(policy.maxMs, isAlive(leftMs) ? leftMs / 4 : MAX_RETRY_WITHOUT_CREDENTIAL_MS);
  const ceilingMs = Math.min(capMs, policy.initialMs * 2 ** (failures - 1));
  return Math.max(MIN_RETRY_MS, ceilingMs * (0.5 + random() / 2));
}

/**
 * How long an attempt may wait for a slot: a quarter of the life that is left, so that the shortest life goes first, and
 * not at all without one. Counted from when it asks: counted from the expiry, commands that hang and have no credential
 * would go first each time they retry.
 */
export function turnWithinMs(leftMs: number | undefined): number {
  return isAlive(leftMs) ? leftMs / 4 : 0;
}

/** A third of the life that is left, so that there is time for more attempts; all of `timeoutMs` without one. */
export function attemptTimeoutMs(timeoutMs: number, leftMs: number | undefined): number {
  return isAlive(leftMs) ? Math.min(timeoutMs, Math.max(MIN_ATTEMPT_MS, leftMs / 3)) : timeoutMs;
}

/** No credential, an expired one, and one of which nobody knows (NaN) are all the same to whoever waits for the next. */
function isAlive(leftMs: number | undefined): leftMs is number {
  return leftMs !== undefined && leftMs > 0;
}
