/** More is not looked at, so that no text, however hostile, takes long. */
const MAX_SCANNED = 4_000;
/** Shorter values would redact ordinary words. */
const MIN_SECRET_LENGTH = 4;
/** From this length on a piece of a secret is redacted, too: output may be cut in the middle of one. */
const MIN_PIECE_LENGTH = 12;

/** The beginning of the text without the values, and without what is left of them where they were torn. */
export function redactValues(text: string, values: readonly string[], replacement: string): string {
  return values.reduce((clean, value) => redactValue(clean, value, replacement), text.slice(0, MAX_SCANNED));
}

function redactValue(text: string, value: string, replacement: string): string {
  if (value.length < MIN_SECRET_LENGTH) return text;
  const least = Math.min(value.length, MIN_PIECE_LENGTH);
  let clean = '';
  for (let at = 0; at < text.length;) {
    let length = 0;
    if (at + least <= text.length && value.includes(text.slice(at, at + least))) {
      length = least;
      while (at + length < text.length && value.includes(text.slice(at, at + length + 1))) length += 1;
    }
    clean += length > 0 ? replacement : text.charAt(at);
    at += Math.max(1, length);
  }
  return clean;
}
