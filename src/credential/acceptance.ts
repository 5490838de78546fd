import { wholeSeconds } from './display.ts';
import { MintError } from './errors.ts';
import type { Clock, Credential } from './ports.ts';
import { expiresLater, lifetimeMs, remainingMs, skewOf } from './schedule.ts';

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

/** Tokens that do not say who they are for are taken on trust. */
export function isForSomebodyElse(fresh: Credential, present: Credential): boolean {
  return present.subject !== undefined && fresh.subject !== undefined && fresh.subject !== present.subject;
}

/** If it does not, this machine's clock stands for the service's, and may be why its life seems short. */
function saysWhenIssued(credential: Credential): boolean {
  return skewOf(credential) !== 0;
}
