import { hash } from 'node:crypto';
import { isToken, readClaims } from '../credential/claims.ts';
import { MintError } from '../credential/errors.ts';
import { isRecord, parseJson } from '../credential/json.ts';
import { type Credential, LONGEST_LIFETIME_MS } from '../credential/ports.ts';
import { Secret } from '../credential/secret.ts';

export interface MintContext {
  /** When the command was started, by the wall clock and by the monotonic one. */
  readonly issuedAt: number;
  readonly monotonicAt: number;
  /** Undefined where the service's default was asked for. */
  readonly ttlMs: number | undefined;
}

/** With offset, as RFC 3339 wants it: `Date.parse` would take a local time without one. */
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

/** The CLI itself prints JSON, or fails. */
const NO_CLI = 'set minter.cli.command to the Databricks CLI itself, which prints JSON and nothing before or after it';

/** What the command printed, as a credential. No error here quotes it, nor has it as its cause: it is the token. */
export function parseResponse(stdout: string, { issuedAt, monotonicAt, ttlMs }: MintContext): Credential {
  const answer = parseJson(stdout);
  if (!isRecord(answer)) throw new MintError('bad_response', 'the CLI did not print a JSON object', { remedy: NO_CLI });
  const { token } = answer;
  if (typeof token !== 'string' || token === '') throw new MintError('bad_response', 'the CLI did not print a token');
  if (!isToken(token)) {
    throw new MintError(
      'bad_response',
      'the token contains white space or control characters, or is longer than any password',
    );
  }
  const claims = readClaims(token);
  const service = {
    // Where the service does not say, its clock is taken to agree with ours.
    issuedAt: claims.issuedAt ?? issuedAt,
    expiresAt: Math.min(readExpiry(answer) ?? Infinity, claims.expiresAt ?? Infinity),
  };
  if (service.expiresAt === Infinity)
    throw new MintError('bad_response', 'neither the response nor the token says when it expires');
  const lifetimeMs = Math.min(service.expiresAt - service.issuedAt, ttlMs ?? LONGEST_LIFETIME_MS);
  return {
    token: new Secret(token),
    local: { issuedAt, expiresAt: issuedAt + lifetimeMs },
    service,
    fingerprint: hash('sha256', token),
    monotonicAt,
    subject: claims.subject,
  };
}

/** `expire_time` of Lakebase Autoscaling, `expiration_time` of Lakebase Provisioned. */
function readExpiry(answer: Readonly<Record<string, unknown>>): number | undefined {
  const text = answer['expire_time'] ?? answer['expiration_time'];
  if (text === undefined || text === null) return undefined;
  const at = typeof text === 'string' && RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isFinite(at)) throw new MintError('bad_response', 'the expiry in the response is not an RFC 3339 time');
  return at;
}
