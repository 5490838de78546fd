import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface Patience {
  readonly withinMs?: number;
  /** Between two looks; more than a little where a look costs a process. */
  readonly everyMs?: number;
  readonly onTimeout?: () => string;
  /** Nothing will change any more. */
  readonly isHopeless?: () => boolean;
}

const LOOK_MS = 20;
/** A wait is no measurement: a machine that is busy with other tests may take long for what takes a moment. */
export const PATIENCE_MS = 45_000;

/** Looks until there is something to see, and fails with what was waited for. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  { withinMs = PATIENCE_MS, everyMs = LOOK_MS, onTimeout, isHopeless }: Patience = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const isLast = performance.now() > deadline || isHopeless?.() === true;
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false) return seen as NonNullable<Exclude<T, false>>;
    if (isLast) throw new Error(`${what}: not within ${withinMs} ms; ${onTimeout?.() ?? ''}`);
    await delay(everyMs);
  }
}

/** Looks again and again for a while; fails at the first look that does not hold. */
export async function throughout(
  what: string,
  durationMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + durationMs;
  while (performance.now() < end) {
    if (!(await holds())) throw new Error(`${what}: no longer`);
    await delay(LOOK_MS);
  }
}

/**
 * A directory in place of the file; tried again, because the sidecar may write the file in between. At once, so that it
 * rarely does: after its third repair it waits for a minute.
 */
export async function occupy(path: string): Promise<void> {
  await eventually('the path is taken', () => {
    rmSync(path, { force: true });
    try {
      mkdirSync(path);
      return true;
    } catch {
      return false;
    }
  });
}
