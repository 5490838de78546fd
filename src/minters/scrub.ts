import { redact } from '../credential/redact.ts';
import { oneLine } from '../credential/display.ts';
import type { Secret } from '../credential/secret.ts';

const REDACTED = '[secret]';
/** A few words of the command say what went wrong; the rest is usage text or a dump of the exchange. */
const MAX_LENGTH = 400;

/** What looks like a secret, whoever it belongs to. Of a match only the group at its beginning stays. */
const SHAPES: readonly RegExp[] = [
  /eyJ[\w-]*(?:\.[\w-]*)*/g, // JSON Web Token, also a torn one
  /(?:bearer|basic)\s+(?!(?:auth\w*|tokens?|credentials?)\b)[^\s"',]+/gi,
  /(?:dapi|dose|dkea)[0-9a-f]{8,}[\w-]*/gi, // Databricks access tokens and OAuth secrets
  /(:\/\/[^\s:/@]*:)[^\s"']+(?=@)/g, // of a proxy, which Go repeats where it cannot parse its URL …
  /(invalid port ")[^"]+/g, // … as it does with what stands before a slash in a password, and so at the place of the port
  /((?:secret|token|password|assertion)["']?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|'[^']*(?:'|$))/gi,
  /((?:secret|token|password|assertion)\\+["']\s*[:=]\s*)\\+["'][^]*?(?:\\+["']|$)/gi, // quoted again, as in a log
  /((?:secret|token|password|assertion)\s*=\s*)(?!\*\*\*)[^\s"',&}]+/gi,
  // After a colon and a blank an ordinary word or an HTTP status may follow: "error getting token: Post …".
  /((?:authorization|secret|token|password|assertion)\s*:(?:\s+(?![a-z]+(?:[\s.,:;]|$)|\d{3}\b))?)[^\s"',&{}]+/gi,
  /(?=[\w+-]*[a-z])(?=[\w+-]*[A-Z])(?=[\w+-]*\d)[\w+-]{32,}=*/g,
];
/** The last of the shapes, also with `=` inside. Looked for afterwards, in what is left, so that `NAME=` before a secret stays. */
const LONG = /(?=[\w+=-]*[a-z])(?=[\w+=-]*[A-Z])(?=[\w+=-]*\d)[\w+=-]{32,}/g;

/** The command's words, fit for a log: without secrets, by shape and by value, on one line, and short. */
export function scrub(text: string, secrets: readonly Secret[]): string {
  const [words = ''] = text.trim().split(/\n\s*\n|Request log:/);
  const values = secrets.map((secret) => secret.reveal());
  const clean = redact(words, { values, shapes: SHAPES }, REDACTED).replaceAll(LONG, REDACTED);
  const line = oneLine(clean);
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)}…` : line;
}
