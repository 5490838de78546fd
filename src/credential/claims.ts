import { isRecord, parseJson } from './json.ts';

/** What a token says of itself, where it is a JWT. Instants are epoch milliseconds. */
export interface Claims {
  readonly issuedAt?: number | undefined;
  readonly expiresAt?: number | undefined;
  readonly subject?: string | undefined;
  readonly issuer?: string | undefined;
  /** Where there are several, with commas. */
  readonly audience?: string | undefined;
}

/** A token that is no JWT has no claims; that is no error, since only the server has to understand it. */
export function readClaims(token: string): Claims {
  const parts = token.split('.');
  if (parts.length !== 3) return {};
  const payload = parseJson(Buffer.from(parts[1] ?? '', 'base64url').toString());
  if (!isRecord(payload)) return {};
  const { iat, exp, sub, iss, aud } = payload;
  return {
    issuedAt: secondsToMs(iat),
    expiresAt: secondsToMs(exp),
    subject: textOf(sub),
    issuer: textOf(iss),
    audience: audienceOf(aud),
  };
}

/** Half of what PostgreSQL takes as a password; however it is escaped, the file is still small enough to be read back. */
const MAX_TOKEN_LENGTH = 32_768;

/** Printable ASCII without blanks: anything else would break a line of a password file. */
export function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN_LENGTH && /^[!-~]+$/.test(text);
}

/** Of a list only its texts: joining anything else may throw, and whoever forges a token decides what is in it. */
function audienceOf(value: unknown): string | undefined {
  if (!Array.isArray(value)) return textOf(value);
  const texts = value.filter((one) => typeof one === 'string');
  return texts.length > 0 ? texts.join(', ') : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Undefined for what no Date can show: a time that cannot be written out is none. */
function secondsToMs(value: unknown): number | undefined {
  const ms = typeof value === 'number' ? Math.round(value * 1_000) : Number.NaN;
  return Number.isNaN(new Date(ms).getTime()) ? undefined : ms;
}
