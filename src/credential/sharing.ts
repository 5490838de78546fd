import { isForSomebodyElse } from './acceptance.ts';
import type { Clock, Credential } from './ports.ts';
import { isFromFuture, isPlausible } from './recovered.ts';
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
 * Whether another writer's credential (`held`) may stay where ours (`wanted`) should be.
 *
 * - One that expires later stays. Only if it claims to be issued in the future does ours replace it, and only once a mint
 *   has told the time: until then our own clock may be what is wrong.
 * - One that expires sooner stays for now if it was written after the look before our mint: of several writers that mint
 *   together one writes, instead of each in turn. Ours replaces it when its refresh is overdue.
 */
export function mayStay(
  held: Credential,
  wanted: Credential,
  { heldBefore, refresh, isTimeKnown }: Situation,
  clock: Clock,
): boolean {
  if (isForSomebodyElse(held, wanted)) return false;
  // A forgery that expires when ours does gains nothing; it may only seem to be of the future, to a clock that was set back.
  if (!expiresLater(wanted, held)) return !isTimeKnown || !isFromFuture(held, clock) || !expiresLater(held, wanted);
  return isPlausible(held, clock) && held.fingerprint !== heldBefore && clock.now() < latestRefreshAt(held, refresh);
}
