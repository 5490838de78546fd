import { wholeSeconds } from './display.ts';
import { MintError } from './errors.ts';
import type { Clock, Credential, Recovered } from './ports.ts';
import { lifetimeMs, remainingMs } from './schedule.ts';

/** The service's own default and maximum. */
export const LONGEST_LIFETIME_MS = 3_600_000;
/** A clock is not read more exactly than this across a restart. */
const FUTURE_TOLERANCE_MS = 5_000;

/** Throws where taking `fresh` would leave readers worse off than they are with `present`. */
export function requireBetter(
  fresh: Credential,
  present: Credential | undefined,
  requestedMs: number,
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
  if (isForSomebodyElse(fresh, present) && remainingMs(present, clock) > 0) {
    throw new MintError('bad_response', 'the new token is for another identity than the present one', {
      remedy: 'find out why the CLI logs in as somebody else; the present token stays until it expires',
    });
  }
  const outlives = present === undefined || leftMs > remainingMs(present, clock);
  if (lifetimeMs(fresh) < requestedMs / 2 && !outlives) {
    throw new MintError(
      'short_lived',
      `the new token lives ${wholeSeconds(lifetimeMs(fresh))} s, less than half of the ${wholeSeconds(requestedMs)} s asked for, and expires before the present one`,
    );
  }
}

/**
 * The latest-expiring of what earlier processes left that is still valid. One issued in the future is none: the clock
 * was set back since, and nobody can tell how old it is.
 */
export function chooseRecovered(found: readonly Recovered[], clock: Clock): Credential | undefined {
  return found
    .map((recovered) => ({ ...recovered, monotonicAt: clock.monotonic() }))
    .filter((credential) => credential.local.issuedAt <= clock.now() + FUTURE_TOLERANCE_MS)
    .filter((credential) => remainingMs(credential, clock) > 0)
    .reduce<Credential | undefined>(
      (best, credential) =>
        best === undefined || credential.local.expiresAt > best.local.expiresAt ? credential : best,
      undefined,
    );
}

/** Tokens that do not say who they are for are taken on trust. */
function isForSomebodyElse(fresh: Credential, present: Credential | undefined): present is Credential {
  return present?.subject !== undefined && fresh.subject !== undefined && fresh.subject !== present.subject;
}
