/** Enough digits to tell tokens apart in a log, and of no use to anybody who wants one. */
const FINGERPRINT_DIGITS = 12;

export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, FINGERPRINT_DIGITS);
}

export function rfc3339(at: number): string {
  return new Date(at).toISOString();
}

export function wholeSeconds(ms: number): number {
  return Math.round(ms / 1_000);
}

/** What moves the cursor of a terminal, or turns the order of what it shows around. */
const UNSEEN = new RegExp(String.raw`[\s\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f]+`, 'g');

/** Somebody else's words, as a terminal can show them: on one line, and as nothing but words. */
export function oneLine(words: string): string {
  return words.replaceAll(UNSEEN, ' ').trim();
}

/** Docker and kubectl keep the quotes of an `--env-file` as a part of the value, which nobody who writes one means. */
export function isInQuotes(value: string): boolean {
  return /^(["']).*\1$/.test(value);
}
