const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1_000 };

/** Seven digits at most: what is longer is a mistake, and could leave the range in which numbers are exact. */
export const DURATION_PATTERN = /^(0|[1-9][0-9]{0,6})(s|m|h)$/;

/** `90s`, `15m`, `1h` in milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, count, unit] = DURATION_PATTERN.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** In the largest unit that needs no fraction; rounded to whole seconds. */
export function formatDuration(ms: number): string {
  const roundedMs = Math.round(ms / UNIT_MS.s) * UNIT_MS.s;
  for (const [unit, unitMs] of Object.entries(UNIT_MS)) {
    if (roundedMs >= unitMs && roundedMs % unitMs === 0) return `${roundedMs / unitMs}${unit}`;
  }
  return '0s';
}
