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
