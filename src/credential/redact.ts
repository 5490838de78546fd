/** A token of most services, as it stands in the middle of other text. For a last net, where nobody knows what may be in it. */
export const JWT = /eyJ[\w-]{6,}(?:\.[\w-]*){0,2}/g;
/** What looks like a secret, whoever it belongs to. Of a match only the group at its beginning stays. */
export const SECRET_SHAPES: readonly RegExp[] = [
  /eyJ[\w-]*(?:\.[\w-]*)*/g, // JSON Web Token, also a torn one
  /(?:bearer|basic)\s+(?!(?:auth\w*|tokens?|credentials?)\b)[^\s"',]+/gi,
  /(?:dapi|dose|dkea)[0-9a-f]{8,}[\w-]*/gi, // Databricks access tokens and OAuth secrets
  /(:\/\/[^\s:/@]*:)[^\s"']+(?=@)/g, // of a proxy, which Go repeats where it cannot parse its URL …
  /(invalid port ")[^"]+/g, // … as it does with what stands before a slash in a password, and so at the place of the port
  /((?:secret|token|password|assertion)["']?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|'[^']*(?:'|$))/gi,
  /((?:secret|token|password|assertion)\\+["']\s*[:=]\s*)\\+["'][^]*?(?:\\+["']|$)/gi, // quoted again, as in a log
  /((?:secret|token|password|assertion)\s*=\s*)(?!\*\*\*)[^\s"',&}]+/gi,
  // After a colon and a blank an ordinary word, a code or an HTTP status may follow: "error getting token: Post …".
  /((?:authorization|secret|token|password|assertion)\s*:(?:\s+(?![a-z_]+(?:[\s.,:;]|$)|\d{3}\b))?)[^\s"',&{}]+/gi,
  // Looked for where a word begins only: at each sign of a long one it would take a tenth of a second.
  /(?<![\w+-])(?=[\w+-]*[a-z])(?=[\w+-]*[A-Z])(?=[\w+-]*\d)[\w+-]{32,}=*/g,
];
/** More is not looked at, so that no text, however hostile, takes long. */
const MAX_SCANNED = 4_000;
/** Shorter values would redact ordinary words. */
const MIN_SECRET_LENGTH = 4;
/** From this length on a piece of a secret is redacted, too: output may be cut in the middle of one. */
const MIN_PIECE_LENGTH = 12;

type Span = readonly [from: number, to: number];

export interface Confidential {
  readonly values: readonly string[];
  /** What looks like a secret, whoever it belongs to. Of a match only the group at its beginning stays. */
  readonly shapes: readonly RegExp[];
}

/**
 * The beginning of the text, without the values, torn pieces of them, and whatever has one of the shapes. All of these are
 * looked for in the original text: two tokens of one workspace share pieces, and a token without the pieces that it shares with
 * one of the values would no longer look like a token.
 */
export function redact(text: string, { values, shapes }: Confidential, replacement: string): string {
  const scanned = text.slice(0, MAX_SCANNED);
  const hidden = [
    ...values.flatMap((value) => piecesOf(value, scanned)),
    ...shapes.flatMap((shape) => matchesOf(shape, scanned)),
  ].toSorted(([a], [b]) => a - b);
  let clean = '';
  let end = -1;
  for (const [from, to] of hidden) {
    if (from > end) clean += scanned.slice(Math.max(0, end), from) + replacement;
    end = Math.max(end, to);
  }
  return clean + scanned.slice(Math.max(0, end));
}

function piecesOf(value: string, text: string): Span[] {
  if (value.length < MIN_SECRET_LENGTH) return [];
  const least = Math.min(value.length, MIN_PIECE_LENGTH);
  const pieces: Span[] = [];
  for (let at = 0; at + least <= text.length;) {
    let length = 0;
    if (value.includes(text.slice(at, at + least))) {
      length = least;
      while (at + length < text.length && value.includes(text.slice(at, at + length + 1))) length += 1;
      pieces.push([at, at + length]);
    }
    at += Math.max(1, length);
  }
  return pieces;
}

function matchesOf(shape: RegExp, text: string): Span[] {
  return [...text.matchAll(shape)].map(({ 0: match, 1: kept = '', index }) => [
    index + kept.length,
    index + match.length,
  ]);
}
