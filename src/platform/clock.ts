import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../credential/ports.ts';

/** Node fires a longer timer at once (with a warning) instead of waiting. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, { signal }) => {
    try {
      await delay(Math.min(Math.max(0, ms), MAX_TIMER_MS), undefined, { signal });
    } catch {
      signal.throwIfAborted();
    }
  },
};
