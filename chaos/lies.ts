import type { Report } from './reports.ts';
import type { Timeline } from './timeline.ts';
import { CLOCK_MS, HEALTH_MS, RECOVERY_MS, SIGHT_MS } from './tolerances.ts';

export type Lie = Extract<Report, { kind: 'lie' }>;

const CLOCK = /clock is set/;
/** What is there is of no use to a sidecar that cannot see it. */
const UNSEEN = /the disk hangs/;
/** After these the sidecar has to learn the service's time again, by a mint. */
const FORGETS_TIME = /clock is set|sidecar is not up|configuration/;

/** Whether the sidecar can tell what another pod's token is worth: by its clock, and how far that is off by its last mint. */
export function knowsTime(timeline: Timeline, at: number): boolean {
  return timeline.hasHealthyGap(timeline.latest(FORGETS_TIME), at, ['mint', 'process', 'api'], RECOVERY_MS);
}

/** Whether what was done explains that health was not the truth. `secretSeenAt`: when the Secret's content was first seen. */
export function isExcused({ of, at, forMs, isReadyLie }: Lie, timeline: Timeline, secretSeenAt: number): boolean {
  const wasImpaired = (kind: 'process' | 'api'): boolean => timeline.isImpaired(kind, at - SIGHT_MS, at);
  if (of === 'files') {
    // The sidecar reads them before each answer.
    const isHandicapped = timeline.had(CLOCK, at - CLOCK_MS) || timeline.had(UNSEEN, at - SIGHT_MS);
    return !isReadyLie && (forMs < HEALTH_MS || wasImpaired('process') || isHandicapped);
  }
  // What a Secret holds is told by the API server.
  if (forMs < HEALTH_MS || wasImpaired('process') || wasImpaired('api')) return true;
  return !knowsTime(timeline, at) || (!isReadyLie && timeline.had(CLOCK, secretSeenAt - CLOCK_MS));
}
