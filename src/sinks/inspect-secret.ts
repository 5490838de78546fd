import { SinkError } from '../credential/errors.ts';
import type { Credential, Inspection } from '../credential/ports.ts';
import type { KnownSecret } from './known-secret.ts';
import { compare, isAsApplied, isOfIdentity, recognise, type SecretSpec, sinceOf } from './secret-object.ts';

/**
 * Whoever deletes a Secret may be about to take away the rights to it, too: Helm removes one after the other what is no longer
 * configured. A Secret made again in between would stay behind, with nobody to keep it fresh.
 * Less than the second between two looks, so that the next look makes it.
 */
const DELETED_MS = 900;
/** In a roll-out that changes the identity the old pods end when the new ones are ready: those must have the Secret until then. */
const SUCCEEDED_MS = 60_000;
const SUCCEEDED_REMEDY =
  'nothing during a roll-out to another workspace or client: the old pods leave the Secret to the new ones until they end; otherwise, find out who writes it with another identity';

/**
 * What a reader of a Secret gets; where that is none of `known`, when it may be repaired. `since` is when our identity
 * began: one that began later is our successor.
 */
export function inspectSecret(
  name: string,
  { object, problem }: Pick<KnownSecret, 'object' | 'problem'>,
  known: readonly Credential[],
  spec: SecretSpec,
  since = Infinity,
): Inspection {
  if (problem !== undefined) return { state: 'lacks', problem };
  if (object === undefined) return lacks('missing', `${name} does not exist`, DELETED_MS);
  for (const credential of known) {
    const likeness = compare(object, credential, spec);
    if (likeness !== 'other') return { state: likeness === 'same' ? 'holds' : 'marred', credential };
  }
  const found = recognise(object, spec);
  const credential = known.find(({ fingerprint }) => fingerprint === found?.fingerprint);
  if (found !== undefined && credential === undefined) return { state: 'shared', found };
  // What stands there about the connection is then what an earlier configuration says, or that of a pod which a roll-out
  // has not come to: readers can log in with it.
  if (credential !== undefined && isAsApplied(object, spec)) return { state: 'marred', credential };
  const isSuccessor = !isOfIdentity(object, spec) && (sinceOf(object, spec) ?? -Infinity) > since;
  if (!isSuccessor) return lacks('foreign_content', `${name} holds something other than a token of this credential`);
  return lacks('foreign_content', `${name} holds a token of a newer identity`, SUCCEEDED_MS, SUCCEEDED_REMEDY);
}

function lacks(failure: 'missing' | 'foreign_content', message: string, retryAfterMs = 0, remedy?: string): Inspection {
  return { state: 'lacks', problem: new SinkError(failure, message, { retryAfterMs, remedy }) };
}
