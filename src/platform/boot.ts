import { readFileSync } from 'node:fs';

/**
 * Names the start of the machine that the monotonic clock counts from, the same in each container; undefined where the
 * system does not tell.
 */
export function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return undefined;
  }
}
