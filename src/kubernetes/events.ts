import { randomBytes } from 'node:crypto';
import { rfc3339 } from '../credential/display.ts';
import { SinkError } from '../credential/errors.ts';
import { labelOf } from '../credential/label.ts';
import type { Clock, Observer } from '../credential/ports.ts';
import { isStranger, toSinkError } from './api-errors.ts';
import type { ApiAnswer } from './answer.ts';
import type { ApiServer } from './api-server.ts';

/** The reasons of our events: the list is closed and documented. */
export const EVENT_REASONS = ['CredentialPublished', 'CredentialExpired', 'MintFailing'] as const;
export type EventReason = (typeof EVENT_REASONS)[number];

interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

export interface EventsOptions {
  readonly api: Pick<ApiServer, 'request'>;
  readonly clock: Clock;
  readonly credential: string;
  /** The Secrets that the events are about. */
  readonly secrets: readonly SecretName[];
  /** Told of everything first. */
  readonly observer: Observer;
}

/** An event tells of failing mints after so many in a row: a single one is no news. */
const FAILURES = 3;
/** No reason is told sooner again, however often the state changes. */
const INTERVAL_MS = 60_000;
/** A namespace that refuses events is asked again after this: somebody may have added the rule. */
const REFUSED_MS = 3_600_000;
/** The longest name of an object, less a dot and 16 random digits. */
const MAX_PREFIX = 253 - 17;
const COMPONENT = 'lakebase-credential-sidecar';

/** Passes everything on, and tells the cluster, as events of the Secrets, what a person should see. Never the token. */
export function createEvents({ api, clock, credential, secrets, observer }: EventsOptions): Observer {
  const toldAt = new Map<string, number>();
  const published = new Set<string>();
  /** By namespace, on the monotonic clock. */
  const refusedAt = new Map<string, number>();

  const post = async (secret: SecretName, reason: EventReason, message: string): Promise<ApiAnswer> =>
    await api.request({
      method: 'POST',
      path: `/api/v1/namespaces/${secret.namespace}/events`,
      body: eventOf(secret, reason, `credential ${credential}: ${message}`, clock),
      signal: new AbortController().signal,
    });

  const hear = (namespace: string, answer: ApiAnswer): void => {
    if (answer.status < 300) refusedAt.delete(namespace);
    // No other answer says anything about the next event: an expired token of ours is a 401, and a proxy's 403 is not the cluster's.
    if (answer.status !== 403 || isStranger(answer)) return;
    const isNews = !refusedAt.has(namespace);
    refusedAt.set(namespace, clock.monotonic());
    if (isNews) observer.eventsRefused(credential, toSinkError('create', { resource: 'events', namespace }, answer));
  };

  const tell = (secret: SecretName, reason: EventReason, message: string): void => {
    const key = `${reason} ${secret.namespace}/${secret.name}`;
    const now = clock.monotonic();
    if (now - (refusedAt.get(secret.namespace) ?? -Infinity) < REFUSED_MS) return;
    if (now - (toldAt.get(key) ?? -Infinity) < INTERVAL_MS) return;
    toldAt.set(key, now);
    // Nobody waits for it, and it is not tried again: an event is a courtesy.
    void post(secret, reason, message).then(
      (answer) => hear(secret.namespace, answer),
      (error: unknown) => {
        if (!(error instanceof SinkError)) throw error; // which ends the process, as any bug does
      },
    );
  };
  const tellAll = (reason: EventReason, message: string): void => {
    for (const secret of secrets) tell(secret, reason, message);
    published.clear();
  };

  return {
    ...observer,
    sinkWritten(name, sink, written, details) {
      observer.sinkWritten(name, sink, written, details);
      const secret = secrets.find((one) => labelOf({ kind: 'secret', ...one }) === sink);
      if (secret === undefined || published.has(sink)) return;
      published.add(sink);
      tell(secret, 'CredentialPublished', `published, valid until ${rfc3339(written.service.expiresAt)}`);
    },
    sinkFailed(name, sink, error, retryAt) {
      observer.sinkFailed(name, sink, error, retryAt);
      published.delete(sink);
    },
    mintFailed(name, error, details) {
      observer.mintFailed(name, error, details);
      if (details.consecutiveFailures !== FAILURES) return;
      tellAll('MintFailing', `${FAILURES} attempts in a row failed (${error.failure}): ${error.remedy}`);
    },
    expired(name) {
      observer.expired(name);
      tellAll('CredentialExpired', 'expired without a successor; logins with it fail');
    },
  };
}

function eventOf({ namespace, name }: SecretName, reason: EventReason, message: string, clock: Clock): object {
  const time = rfc3339(clock.now());
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace, name: `${prefixOf(name)}.${randomBytes(8).toString('hex')}` },
    involvedObject: { apiVersion: 'v1', kind: 'Secret', namespace, name },
    reason,
    message,
    type: reason === 'CredentialPublished' ? 'Normal' : 'Warning',
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}

/** Each part of a name between dots must end with a letter or digit, also where it is cut. */
function prefixOf(name: string): string {
  return name.slice(0, MAX_PREFIX).replace(/[.-]+$/, '');
}
