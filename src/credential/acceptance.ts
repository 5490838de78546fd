import { wholeSeconds } from './display.ts';
import { MintError } from './errors.ts';
import { type Clock, type Credential, LONGEST_LIFETIME_MS, type Recovered } from './ports.ts';
import { expiresLater, lifetimeMs, remainingMs } from './schedule.ts';

/** How far in the future a credential may seem to be issued: across a restart clocks are no more exact. */
const FUTURE_TOLERANCE_MS = 5_000;

const SHORTER_THAN_ASKED =
  'find out why the service gives less than it was asked for, as with a ttl above its limit; the present token stays until a new one outlives it';

export interface Demands {
  /** Lifetime that was asked for. */
  readonly requestedMs: number;
  /** Several writers share a sink, which takes nothing that does not expire later than what it holds. */
  readonly isShared: boolean;
}

/** Throws where taking `fresh` would leave readers worse off than they are with `present`. */
export function requireBetter(
  fresh: Credential,
  present: Credential | undefined,
  { requestedMs, isShared }: Demands,
  clock: Clock,
): void {
  const leftMs = remainingMs(fresh, clock);
  // Not `leftMs <= 0`: that would let NaN pass.
  if (!(leftMs > 0)) {
    throw new MintError(
      'short_lived',
      `the new token is already expired by ${wholeSeconds(-leftMs)} s by this machine's clock`,
    );
  }
  if (present === undefined) return;
  // Taken as new it would seem to be issued just now, and to live longer than it does.
  if (fresh.fingerprint === present.fingerprint && !expiresLater(fresh, present)) {
    throw new MintError('short_lived', 'the service gave the present token again', {
      remedy: 'find out what between the CLI and the service answers from a cache; the present token stays',
    });
  }
  const seemsExpired = remainingMs(present, clock) <= 0;
  if (!seemsExpired && isForSomebodyElse(fresh, present)) {
    throw new MintError('bad_response', 'the new token is for another identity than the present one', {
      remedy: 'find out why the CLI logs in as somebody else; the present token stays until it expires',
    });
  }
  // By the service's clock, which all tokens and all writers share. By ours the present token may only seem to have
  // expired: because our clock was set forward.
  const outlives = expiresLater(fresh, present);
  if (lifetimeMs(fresh) < requestedMs / 2 && !outlives) {
    throw new MintError(
      'short_lived',
      `the new token lives ${wholeSeconds(lifetimeMs(fresh))} s, less than half of the ${wholeSeconds(requestedMs)} s asked for, and expires before the present one`,
      { remedy: saysWhenIssued(fresh) ? SHORTER_THAN_ASKED : undefined },
    );
  }
  if (isShared && !seemsExpired && !outlives) {
    throw new MintError('short_lived', 'the new token expires no later than the one in the Secret, which stays', {
      remedy: 'nothing where the ttl has just been made shorter; else find out who writes the Secret with a longer one',
    });
  }
}

/** If it does not, this machine's clock stands for the service's, and may be why its life seems short. */
function saysWhenIssued(credential: Credential): boolean {
  return skewOf(credential) !== 0;
}

/** The service's clock minus this machine's, in milliseconds, when this token was minted. */
export function skewOf({ local, service }: Credential): number {
  return service.issuedAt - local.issuedAt;
}

/**
 * The skew as it is now: larger, if this machine's clock was set back since the mint. A clock that went forward changes nothing,
 * because a machine that was suspended looks the same.
 */
export function presentSkewMs(minted: Credential, clock: Clock): number {
  const aheadMs = minted.local.issuedAt - minted.monotonicAt;
  return skewOf(minted) + Math.max(0, aheadMs - (clock.now() - clock.monotonic()));
}

/** Adds the local times that it has on this machine, whose clock is `skewMs` behind the service's. */
export function localise(
  { local, monotonicAt: readAt = Infinity, ...found }: Recovered,
  skewMs: number,
  clock: Clock,
): Credential {
  const seemsAt = local?.issuedAt ?? found.service.issuedAt - skewMs;
  // The monotonic clock tells of a wall clock that was set back since, also while no process ran.
  const issuedAt = Math.min(seemsAt, Math.floor(clock.now() - (clock.monotonic() - readAt)));
  const lifetimeMs = Math.min(found.service.expiresAt - found.service.issuedAt, LONGEST_LIFETIME_MS);
  // Local times from a state file are capped, too: whoever can write the file could make a token live for ever.
  const lastsMs = local === undefined ? lifetimeMs : Math.min(lifetimeMs, local.expiresAt - local.issuedAt);
  const lifespan = { issuedAt, expiresAt: issuedAt + lastsMs };
  // Dated back to when it was issued, so that a clock that is set back later does not make it younger than it is now.
  const monotonicAt = clock.monotonic() - Math.max(0, clock.now() - issuedAt);
  return { ...found, local: lifespan, monotonicAt };
}

/** Without the local times, which are to be worked out anew. */
export function asFound({ token, service, fingerprint, subject }: Credential): Recovered {
  return { token, service, fingerprint, subject };
}

/** Whether it is alive, and was issued before now, as far as this machine's clock can tell. */
export function isPlausible(credential: Credential, clock: Clock): boolean {
  return !isFromFuture(credential, clock) && remainingMs(credential, clock) > 0;
}

/**
 * One issued in the future is not to be trusted: this clock was set back since, or nobody knows yet how far it is off,
 * or somebody wrote what is not true.
 */
export function isFromFuture({ local }: Credential, clock: Clock): boolean {
  return local.issuedAt > clock.now() + FUTURE_TOLERANCE_MS;
}

/** The latest-expiring of what earlier processes and other writers left that is still valid. */
export function chooseRecovered(found: readonly (Credential | undefined)[], clock: Clock): Credential | undefined {
  return found
    .filter((credential) => credential !== undefined)
    .filter((credential) => isPlausible(credential, clock))
    .reduce<Credential | undefined>(
      (best, credential) => (best === undefined || expiresLater(credential, best) ? credential : best),
      undefined,
    );
}

/** Tokens that do not say who they are for are taken on trust. */
export function isForSomebodyElse(fresh: Credential, present: Credential): boolean {
  return present.subject !== undefined && fresh.subject !== undefined && fresh.subject !== present.subject;
}
