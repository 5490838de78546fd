// What is tolerated, in milliseconds; docs/chaos.md says the same in words.

/** A retry, at most two seconds later; a mint; a write; and what a busy machine adds to them. */
export const RECOVERY_MS = 5_000;
/** A change and whoever sees it, in different processes. */
export const SIGHT_MS = 2_000;
/** Health follows a restart, a step of the clock or a repair within this time. */
export const HEALTH_MS = 1_500;
export const CLOCK_MS = 4_000;
/** A delay of the observers themselves that makes what they saw worth nothing. */
export const BLIND_MS = 1_500;
