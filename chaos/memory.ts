import { SECRET_PLACE } from './layout.ts';
import { knowsTime } from './lies.ts';
import type { Timeline } from './timeline.ts';
import { CLOCK_MS, SIGHT_MS } from './tolerances.ts';

/** To a later time than before, whichever the true one is. */
export const FORWARD = 'the clock jumps forward';
const JUMP = new RegExp(FORWARD);
/** After these another process does not know the token, or takes it for expired. */
const FORGOTTEN = new RegExp(`${FORWARD}|a state file is damaged`);

/**
 * After a jump forward a token of `since` seems to be expired: neither another configuration nor another process goes on
 * with it. Without a record of it no other process can. A Secret has none of the machine's time: to a process that does not
 * know how far its clock is off, what stood there until `lostAt` may have seemed to be expired for long.
 */
export function isGivenUp(
  path: string,
  { since, lostAt }: { readonly since: number; readonly lostAt: number },
  timeline: Timeline,
  startedAt: number,
): boolean {
  // A process that was suspended writes what it has, and then reads a configuration that changed before.
  if ([JUMP, /configuration is changed/].every((one) => timeline.had(one, since - CLOCK_MS))) return true;
  if (startedAt <= since) return false;
  if (path === SECRET_PLACE && !knowsTime(timeline, lostAt)) return true;
  return timeline.had(FORGOTTEN, since - CLOCK_MS, startedAt + CLOCK_MS);
}

/** Whether who wrote a worse token there could not know the better one, which readers had at `bestAt`. */
export function couldNotKnow(path: string, bestAt: number, at: number, timeline: Timeline, startedAt: number): boolean {
  // After a jump forward the better one seems to be expired, and a new process without its record cannot know it.
  const touched = path === SECRET_PLACE ? /Secret/ : /file|directory/;
  const isForgotten = startedAt > bestAt && timeline.had(touched, bestAt);
  if (isForgotten || timeline.had(JUMP, bestAt - CLOCK_MS, at)) return true;
  if (path !== SECRET_PLACE) return false;
  // Another pod that has started since somebody touched it has nothing else to go by.
  const newcomers = timeline.beginnings(/another pod publishes/, bestAt);
  if (newcomers.some((begunAt) => timeline.had(touched, bestAt, begunAt + SIGHT_MS))) return true;
  // Another pod's, which somebody else has taken away: to a sidecar that does not know the time it seems to be worth nothing.
  return timeline.wasDamaged(path, bestAt, at) && !knowsTime(timeline, at);
}
