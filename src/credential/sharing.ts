import { isForSomebodyElse, isFromFuture, isPlausible } from './acceptance.ts';
import type { Clock, Credential } from './ports.ts';
import { expiresLater, latestRefreshAt, type RefreshPolicy, remainingMs } from './schedule.ts';

// What several writers of one sink agree on, each by itself: what is there is all that they know of each other.

/** Whether another writer's credential is to be used instead of the present one. */
export function isBetter(found: Credential, present: Credential | undefined, clock: Clock): boolean {
  if (!isPlausible(found, clock)) return false;
  if (present === undefined || remainingMs(present, clock) <= 0) return true;
  return expiresLater(found, present) && !isForSomebodyElse(found, present);
}

export interface Situation {
  /** Fingerprint of what the sink held when it was looked at before the last mint. */
  readonly heldBefore: string | undefined;
  readonly refresh: RefreshPolicy;
  /** The service has told its time, by a mint of ours. */
  readonly isTimeKnown: boolean;
}

/**
 * Whether another writer's credential may stand where ours is wanted. What expires later is never replaced, unless it
 * cannot be true: whoever cannot mint, on a clock that is off, must not put an old one in its place. Neither, for now,
 * is what came after the look before our mint: those that minted at once, or while nobody could write, then write once
 * together, and not each in turn what is hardly newer. Ours takes its place when nobody has refreshed it in time.
 */
export function mayStay(
  held: Credential,
  wanted: Credential,
  { heldBefore, refresh, isTimeKnown }: Situation,
  clock: Clock,
): boolean {
  if (isForSomebodyElse(held, wanted)) return false;
  // What expires with ours is no forgery that gains anything; it may have been read by a clock that was set back since.
  if (!expiresLater(wanted, held)) return !isTimeKnown || !isFromFuture(held, clock) || !expiresLater(held, wanted);
  return isPlausible(held, clock) && held.fingerprint !== heldBefore && clock.now() < latestRefreshAt(held, refresh);
}
