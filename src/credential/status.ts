import { wholeSeconds } from './display.ts';
import type { SinkError } from './errors.ts';
import type { MintFailure } from './failures.ts';
import type { Clock, Credential, Holding, Sink } from './ports.ts';
import { expiresLater, isUsable, type RefreshPolicy, remainingMs } from './schedule.ts';

export interface SinkStatus {
  readonly name: string;
  readonly kind: Sink['kind'];
  /** What a reader would get, looked up for this answer. */
  readonly holding: Holding;
  readonly lastWriteAt: number | undefined;
  /** The last write failed. */
  readonly failure: { readonly error: SinkError; readonly at: number; readonly retryAt: number } | undefined;
}

export interface CredentialStatus {
  readonly name: string;
  /** The endpoint or the instance. */
  readonly resource: string;
  readonly current: Credential | undefined;
  readonly sinks: readonly SinkStatus[];
  readonly refresh: RefreshPolicy;
  /** When the next refresh or retry is due. */
  readonly wakeAt: number;
  readonly isMinting: boolean;
  readonly lastAttemptAt: number | undefined;
  readonly lastSuccessAt: number | undefined;
  readonly consecutiveFailures: number;
  readonly lastFailure:
    { readonly code: MintFailure; readonly message: string; readonly remedy: string; readonly at: number } | undefined;
}

/** What liveness asks of a keeper; needs no look at any sink. */
export interface Vitals {
  readonly name: string;
  readonly wakeAt: number;
  /** Waiting for a slot counts. */
  readonly isMinting: boolean;
  /** It may still have to see a write through, for as long as the disk takes. */
  readonly isStopping: boolean;
  /** Deadline of the running attempt by the monotonic clock; undefined while none runs. */
  readonly attemptDeadline: number | undefined;
}

export interface Check {
  readonly name: string;
  readonly isOk: boolean;
  readonly reason: string;
}

const HEARTBEAT_MS = 30_000;
const OVERDUE_MS = 60_000;
const OVERRUN_MS = 30_000;

/** The checks of `/healthz`: does this process still turn? Nothing outside it can make one of them fail. */
export function livenessChecks(beatAt: number, keepers: readonly Vitals[], clock: Clock): Check[] {
  const beatMs = clock.monotonic() - beatAt;
  const heartbeat = { name: 'scheduler', isOk: beatMs < HEARTBEAT_MS, reason: `last ran ${seconds(beatMs)} ago` };
  return [heartbeat, ...keepers.map((vitals) => livenessCheck(vitals, clock))];
}

function livenessCheck({ name, wakeAt, isMinting, isStopping, attemptDeadline }: Vitals, clock: Clock): Check {
  const overrunMs = attemptDeadline === undefined ? 0 : clock.monotonic() - attemptDeadline;
  if (overrunMs >= OVERRUN_MS) {
    return { name, isOk: false, reason: `an attempt is ${seconds(overrunMs)} past its deadline` };
  }
  if (isStopping) return { name, isOk: true, reason: 'stopping' };
  const overdueMs = clock.now() - wakeAt;
  if (!isMinting && overdueMs >= OVERDUE_MS) {
    return { name, isOk: false, reason: `a refresh is ${seconds(overdueMs)} overdue and none is running` };
  }
  if (isMinting) {
    // Whoever looks for commands that hang, and keep all others waiting, must be able to tell who is who.
    return { name, isOk: true, reason: attemptDeadline === undefined ? 'waiting for its turn to mint' : 'minting' };
  }
  return { name, isOk: true, reason: overdueMs < 0 ? `next refresh in ${seconds(-overdueMs)}` : 'a refresh is due' };
}

/** The checks of `/readyz`: would a reader of each sink get a token that it can log in with now? */
export function readinessChecks(statuses: readonly CredentialStatus[], clock: Clock, kind?: Sink['kind']): Check[] {
  return statuses.flatMap(({ name, sinks }) =>
    sinks
      .filter((sink) => kind === undefined || sink.kind === kind)
      .map((sink) => ({ name: `${name} ${sink.name}`, ...readiness(sink.holding, clock) })),
  );
}

function readiness(holding: Holding, clock: Clock): Omit<Check, 'name'> {
  if (holding.state === 'lacks') return { isOk: false, reason: holding.problem.message };
  const leftMs = remainingMs(holding.credential, clock);
  const reason = leftMs > 0 ? `expires in ${seconds(leftMs)}` : `expired ${seconds(-leftMs)} ago`;
  return { isOk: isUsable(holding.credential, clock), reason };
}

/** 1 in the metric `valid`: every sink holds our token, and it has not expired. */
export function isValid({ sinks }: CredentialStatus, clock: Clock): boolean {
  const isHeld = ({ holding }: SinkStatus): boolean =>
    holding.state === 'holds' && remainingMs(holding.credential, clock) > 0;
  return sinks.length > 0 && sinks.every(isHeld);
}

/** The earliest-expiring of what the sinks hold: the worst that a reader can get. */
export function weakest({ sinks }: CredentialStatus): Credential | undefined {
  return sinks
    .flatMap(({ holding }) => (holding.state === 'holds' ? [holding.credential] : []))
    .reduce<Credential | undefined>(
      (worst, held) => (worst === undefined || expiresLater(worst, held) ? held : worst),
      undefined,
    );
}

function seconds(ms: number): string {
  return `${wholeSeconds(ms)} s`;
}
