import type { Logger } from 'pino';
import { rfc3339, shortFingerprint, wholeSeconds } from '../credential/display.ts';
import { SINK_REMEDIES } from '../credential/failures.ts';
import type { Clock, Credential, Observer } from '../credential/ports.ts';
import { remainingMs } from '../credential/schedule.ts';
import type { Metrics } from './metrics.ts';

export interface ObserverOptions {
  readonly log: Logger;
  /** None where nobody can ask for them. */
  readonly metrics?: Metrics;
  readonly clock: Clock;
  /** Told of each problem in one line that a person can act on. */
  readonly onProblem?: (text: string) => void;
  /** Whether anybody will be there when a refresh is due; true unless it says otherwise. */
  readonly refreshes?: boolean;
}

/** Each event becomes a line in the log and a count. A steady hour has one line per refresh at `info`. */
export function createObserver({ clock, log, metrics, onProblem, refreshes = true }: ObserverOptions): Observer {
  const logOf = (credential: string): Logger => log.child({ credential });
  const report = (...parts: readonly string[]): void => {
    // With the time: it may be long over when somebody reads it.
    onProblem?.(`${rfc3339(clock.now())} ${parts.join(': ').replace(/\s+/g, ' ')}`);
  };
  /** By sink: how many the log has told of since it was last written. A reload makes another writer, who knows of none. */
  const failures = new Map<string, number>();

  return {
    mintStarted(credential) {
      metrics?.mintStarted(credential);
      logOf(credential).debug('mint started');
    },

    minted(credential, minted, { dueAt, durationMs, failuresBefore, isOvertaken }) {
      metrics?.minted(credential, minted, durationMs);
      const fields = {
        ...describe(minted, clock),
        nextRefreshAt: refreshes ? rfc3339(dueAt) : undefined,
        durationMs: Math.round(durationMs),
      };
      if (isOvertaken) logOf(credential).info(fields, 'minted token discarded: another writer published first');
      else if (failuresBefore === 0) logOf(credential).info(fields, 'minted');
      else logOf(credential).info({ ...fields, failuresBefore }, 'minted again after failures');
    },

    mintFailed(credential, error, { consecutiveFailures, durationMs, remainingMs, retryAt }) {
      metrics?.mintFailed(credential, error.failure, durationMs);
      const fields = {
        err: error,
        remedy: error.remedy,
        detail: error.detail,
        consecutiveFailures,
        remainingSeconds: remainingMs === undefined ? undefined : wholeSeconds(remainingMs),
        retryAt: rfc3339(retryAt),
        durationMs: Math.round(durationMs),
      };
      logOf(credential).warn(fields, 'mint failed');
      report(credential, error.message, error.remedy);
    },

    adopted(credential, adopted, dueAt) {
      metrics?.adopted(credential, adopted);
      logOf(credential).info({ ...describe(adopted, clock), nextRefreshAt: rfc3339(dueAt) }, 'adopted');
    },

    expired(credential) {
      logOf(credential).error('expired without a successor');
      report(credential, 'expired without a successor');
    },

    sinkWritten(credential, sink, written, { isRepair, ...details }) {
      metrics?.sinkWritten(credential, sink, isRepair);
      const failuresBefore = Math.max(details.failuresBefore, failures.get(sink) ?? 0);
      failures.delete(sink);
      const fields = { sink, fingerprint: shortFingerprint(written.fingerprint) };
      // First: whoever was told of the failures waits for this line, also where somebody else had caused them.
      if (failuresBefore > 0) logOf(credential).info({ ...fields, failuresBefore }, 'sink written after failures');
      else if (isRepair) logOf(credential).info(fields, 'sink repaired after somebody else changed it');
      else logOf(credential).debug(fields, 'sink written');
    },

    sinkFailed(credential, sink, error, retryAt) {
      metrics?.sinkFailed(credential, sink);
      failures.set(sink, (failures.get(sink) ?? 0) + 1);
      const fields = { sink, err: error, remedy: error.remedy, retryAt: rfc3339(retryAt) };
      logOf(credential).warn(fields, 'sink not written');
      report(credential, sink, error.message, error.remedy);
    },

    sinkRepairsLimited(credential, sink, resumeAt, problem) {
      const remedy = problem?.remedy ?? SINK_REMEDIES.foreign_content;
      const fields = { sink, remedy, resumeAt: rfc3339(resumeAt) };
      logOf(credential).warn(fields, 'sink repeatedly changed by somebody else; repairs delayed');
      report(credential, sink, 'repeatedly changed by somebody else; repairs delayed', remedy);
    },

    sinkWatchChanged(credential, sink, problem) {
      if (problem === undefined) logOf(credential).info({ sink }, 'sink is watched again');
      else
        logOf(credential).warn(
          { sink, err: problem, remedy: problem.remedy },
          'sink watch failed; changes by others are noticed late',
        );
    },

    sinkHangs(credential, sink, problem) {
      if (problem === undefined) return logOf(credential).info({ sink }, 'sink answers again');
      logOf(credential).warn({ sink, err: problem, remedy: problem.remedy }, 'sink does not answer');
      report(credential, problem.message, problem.remedy);
    },

    eventsRefused(credential, problem) {
      logOf(credential).warn(
        { err: problem, remedy: problem.remedy },
        'Events not recorded; next try in an hour, further failures not logged',
      );
    },

    clockJumped(byMs) {
      metrics?.clockJumped();
      log.warn({ bySeconds: wholeSeconds(byMs) }, 'clock jumped; refreshing all credentials');
    },
  };
}

/** Times by the service's clock, as the files show them; the life that is left by this machine's. */
function describe(credential: Credential, clock: Clock): object {
  return {
    issuedAt: rfc3339(credential.service.issuedAt),
    expiresAt: rfc3339(credential.service.expiresAt),
    remainingSeconds: wholeSeconds(remainingMs(credential, clock)),
    fingerprint: shortFingerprint(credential.fingerprint),
  };
}
