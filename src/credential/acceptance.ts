import { wholeSeconds } from './display.ts';
import { MintError } from './errors.ts';
import type { Clock, Credential } from './ports.ts';
import { expiresLater, lifetimeMs, remainingMs, skewOf } from './schedule.ts';

const SHORTER_THAN_ASKED =
  'find out why the service grants a shorter lifetime than requested, for example because the ttl is above its limit; the current token stays until a new one expires later';

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
    throw new MintError('short_lived', `the new token expired ${wholeSeconds(-leftMs)} s ago by this machine's clock`);
  }
  if (present === undefined) return;
  // Taken as new it would seem to be issued just now, and to live longer than it does.
  if (fresh.fingerprint === present.fingerprint && !expiresLater(fresh, present)) {
    throw new MintError('short_lived', 'the service returned the current token again', {
      remedy: 'find out which proxy between the CLI and the service returns cached responses; the current token stays',
    });
  }
  const seemsExpired = remainingMs(present, clock) <= 0;
  if (!seemsExpired && isForSomebodyElse(fresh, present)) {
    throw new MintError('bad_response', 'the new token belongs to a different identity than the current one', {
      remedy: 'find out why the CLI logs in with a different identity; the current token stays until it expires',
    });
  }
  // By the service's clock, which all tokens and all writers share. By ours the present token may only seem to have
  // expired: because our clock was set forward.
  const outlives = expiresLater(fresh, present);
  if (lifetimeMs(fresh) < requestedMs / 2 && !outlives) {
    throw new MintError(
      'short_lived',
      `the new token lives ${wholeSeconds(lifetimeMs(fresh))} s, less than half of the ${wholeSeconds(requestedMs)} s requested, and expires before the current one`,
      { remedy: saysWhenIssued(fresh) ? SHORTER_THAN_ASKED : undefined },
    );
  }
  if (isShared && !seemsExpired && !outlives) {
    throw new MintError('short_lived', 'the new token expires no later than the one in the Secret, which stays', {
      remedy:
        'nothing, if you have just shortened the ttl; otherwise, find out who writes the Secret with a longer ttl',
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
