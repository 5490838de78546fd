import { redactValues } from '../credential/redact.ts';
import { oneLine } from '../credential/display.ts';
import type { Secret } from '../credential/secret.ts';

const REDACTED = '[secret]';
/** A few words of the command say what went wrong; the rest is usage text or a dump of the exchange. */
const MAX_LENGTH = 400;

/** What looks like a secret, whoever it belongs to. Of what matches only the group stays, if there is one. */
const SHAPES: readonly RegExp[] = [
  /eyJ[\w-]*(?:\.[\w-]*)*/g, // JSON Web Token, also a torn one
  /\b(?:bearer|basic)\s+(?!(?:auth\w*|tokens?|credentials?)\b)[^\s"',]+/gi,
  /\b(?:dapi|dose|dkea)[0-9a-f]{8,}\S*/gi, // Databricks access tokens and OAuth secrets
  /(\b[a-z][a-z\d+.-]{0,15}:\/\/[^\s:/@]*:)[^\s/"'@]+(?=@)/gi, // of a proxy, which Go repeats where it cannot parse its URL
  /(\b\w*(?:secret|token|password|assertion)["']?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|'[^']*(?:'|$))/gi,
  /(\b\w*(?:secret|token|password|assertion)\\+["']\s*[:=]\s*)\\+["'](?:(?!\\+["'])[^])*(?:\\+["']|$)/gi, // quoted again, as in a log
  /(\b\w*(?:secret|token|password|assertion)\s*=\s*)(?!\*\*\*)[^\s"',&}]+/gi,
  // After a colon and a blank an ordinary word or an HTTP status may follow: "error getting token: Post …".
  /(\b(?:authorization|\w*(?:secret|token|password|assertion))\s*:(?:\s+(?![a-z]+(?:[\s.,:;]|$)|\d{3}\b))?)(?!\*\*\*)[^\s"',&{}]+/gi,
  /(?=[\w+=-]*[a-z])(?=[\w+=-]*[A-Z])(?=[\w+=-]*\d)[\w+=-]{32,}/g,
];

/** The command's words, fit for a log: without secrets, by shape and by value, on one line, and short. */
export function scrub(text: string, secrets: readonly Secret[]): string {
  const [words = ''] = text.trim().split(/\n\s*\n|Request log:|\n```/);
  const values = secrets.map((secret) => secret.reveal());
  let clean = redactValues(words, values, REDACTED);
  for (const shape of SHAPES) {
    clean = clean.replace(shape, (_match, kept: unknown) => (typeof kept === 'string' ? kept : '') + REDACTED);
  }
  const line = oneLine(clean);
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)}…` : line;
}
