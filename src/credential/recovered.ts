import { type Clock, type Credential, LONGEST_LIFETIME_MS, type Recovered } from './ports.ts';
import { expiresLater, remainingMs, skewOf } from './schedule.ts';

// What earlier processes and other writers left: how old it is by the clocks of this machine, and what of it is of use.

/** How far in the future a credential may seem to be issued: across a restart clocks are no more exact. */
const FUTURE_TOLERANCE_MS = 5_000;

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
