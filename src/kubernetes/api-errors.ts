import { redact } from '../credential/redact.ts';
import { oneLine } from '../credential/display.ts';
import { SinkError } from '../credential/errors.ts';
import { OPEN_FILES_REMEDIES, type SinkFailure } from '../credential/failures.ts';
import { recordOf } from '../credential/json.ts';
import type { ApiAnswer } from './answer.ts';

/** What the API server answers instead of an object. */
interface Status {
  readonly message: string;
  readonly causes: readonly { readonly reason: string; readonly message: string; readonly field: string }[];
}

/** One object, or one kind of objects, of one namespace. */
export interface Target {
  readonly resource: 'secrets' | 'events';
  readonly namespace: string;
  readonly name?: string;
}

export interface Conflict {
  readonly manager: string;
  /** As in `.data.password`. */
  readonly field: string;
}

const MAX_WORDS = 500;
/** A JWT, also in base64. */
const TOKEN = /(?:eyJ|ZXlK)[\w+/=.-]{6,}/g;

/** A webhook denies with the status that it likes, or with 400 where it names none, and a policy of the cluster with 422. */
const DENIED =
  /^admission webhook "[^"]*" denied the request|: ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request/;

/** One that fails itself, or that the API server cannot ask. */
const WEBHOOK_FAILS = /^admission webhook "|failed calling webhook "/;

/** Somebody else was faster, with the object or with the quota that it counts against. */
const CHANGED = /^Operation cannot be fulfilled on /;

/** It may be another right than that to the object, such as to impersonate somebody, or to ask for the rights that one has. */
const LACKS = /User "([^"]*)" cannot (\w+) resource(?: "([^"]*)")?/;

/** What the ResourceQuota of a namespace refuses. */
const QUOTA = / is forbidden: exceeded quota: /;

const CHECK_TIME = 'check the clock of this machine, and how long the certificate of the API server is valid';
const CHECK_AUTHORITY =
  'make sure that the certificate authority in the kubeconfig, or in ca.crt of the service account, is the one that signed the certificate of the API server';

/** What to do where no connection comes about, by the code of Node.js. */
const CONNECTION_REMEDIES: Readonly<Record<string, string>> = {
  ...OPEN_FILES_REMEDIES,
  CERT_NOT_YET_VALID: CHECK_TIME,
  CERT_HAS_EXPIRED: CHECK_TIME,
  DEPTH_ZERO_SELF_SIGNED_CERT: CHECK_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: CHECK_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: CHECK_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: CHECK_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: CHECK_AUTHORITY,
  CERT_SIGNATURE_FAILURE: CHECK_AUTHORITY,
  ERR_TLS_CERT_ALTNAME_INVALID:
    'set the server in the kubeconfig to a name or an address that is in the certificate of the API server, or set tls-server-name',
};

const FAILURES: Readonly<Record<number, SinkFailure>> = {
  401: 'forbidden',
  403: 'forbidden',
  404: 'no_namespace',
  409: 'conflict',
  410: 'unreachable',
  413: 'refused',
  422: 'refused',
  429: 'throttled',
};

/**
 * Puts an answer that is no success into words. The server's own are quoted, without what must not be said: they hold no
 * data of Secrets, but those of a webhook that it asks may.
 */
export function toSinkError(
  verb: string,
  target: Target,
  answer: ApiAnswer,
  confidential: readonly string[] = [],
): SinkError {
  const { status, retryAfterMs } = answer;
  const words = wordsOf(answer, confidential);
  const isElsewhere = status >= 500 || isStranger(answer);
  const failure = isElsewhere ? 'unreachable' : isDenied(answer) ? 'forbidden' : (FAILURES[status] ?? 'unknown');
  const [, user, denied, resource = target.resource] = LACKS.exec(words) ?? [];
  if (status === 403 && denied !== undefined && resource === target.resource)
    return missingRule([denied], target, user);
  // An older API server (seen with 1.29) gives no reason where an apply would have to create what is not there.
  if (status === 403 && verb === 'patch' && words.endsWith(' is forbidden:')) return missingRule(['create'], target);
  return new SinkError(failure, `cannot ${verb} ${describe(target)}: ${words} (${status})`, {
    retryAfterMs,
    remedy: remedyOf(answer),
  });
}

/** Nothing says where an API server is, or how to log in to it. */
export function noApiServer(reason: string, remedy: string, cause?: unknown): SinkError {
  return new SinkError('refused', `the API server cannot be found: ${reason}`, { remedy, cause });
}

/** No answer came at all; `reason` is given where the error itself does not tell it. */
export function unreachable(address: string, error: NodeJS.ErrnoException, reason?: string): SinkError {
  const { code, message } = error;
  return new SinkError('unreachable', `the API server${address} cannot be reached: ${reason ?? code ?? message}`, {
    cause: error,
    remedy: code === undefined ? undefined : CONNECTION_REMEDIES[code],
  });
}

/** Of an answer that is not refused, and in which what every API server answers is missing. */
export function strangeAnswer({ status }: ApiAnswer, expected: string): SinkError {
  return new SinkError(
    'unreachable',
    `the server that answered (${status}) is not the API server: its response is not a valid ${expected}`,
  );
}

/** Names the verbs, the resource and the object, and the rule that allows them, as YAML in one line. */
export function missingRule(verbs: readonly string[], target: Target, user = 'this process'): SinkError {
  const rule = ruleFor(target);
  return new SinkError('forbidden', `cannot ${verbs.join(', ')} ${describe(target)}: ${user} lacks the rule ${rule}`, {
    remedy: `add this rule to a Role in the namespace ${target.namespace}, bound to the service account of the sidecar: \`${rule}\``,
  });
}

export function ruleFor({ resource, name }: Target): string {
  if (resource === 'events') return '- {apiGroups: [""], resources: [events], verbs: [create]}';
  return `- {apiGroups: [""], resources: [${resource}], resourceNames: [${name}], verbs: [get, watch, patch, create]}`;
}

/** The fields that other managers own; empty where it was the precondition that failed. */
export function conflictsIn({ status, body }: ApiAnswer): Conflict[] {
  if (status !== 409) return [];
  return statusOf(body)
    .causes.filter(({ reason }) => reason === 'FieldManagerConflict')
    .map(({ field, message }) => ({ field, manager: /"([^"]*)"/.exec(message)?.[1] ?? 'another manager' }));
}

function describe({ resource, namespace, name }: Target): string {
  return `${resource}${name === undefined ? '' : ` ${JSON.stringify(name)}`} in namespace ${JSON.stringify(namespace)}`;
}

function wordsOf({ body, status }: ApiAnswer, confidential: readonly string[]): string {
  const { message } = statusOf(body);
  const words = message === '' ? `the server answered ${status}` : message;
  return quotable(words, confidential);
}

/** Somebody else's words, on one line, short, and without what must not be said or looks like a token. */
export function quotable(words: string, confidential: readonly string[] = [], shapes: readonly RegExp[] = []): string {
  return oneLine(redact(words, { values: confidential, shapes: [TOKEN, ...shapes] }, '[redacted]')).slice(0, MAX_WORDS);
}

/** A namespace that is being deleted refuses what is new with 403, as if a permission were missing. */
function isTerminating({ body }: ApiAnswer): boolean {
  return statusOf(body).causes.some(({ reason }) => reason === 'NamespaceTerminating');
}

function isDenied({ body, status }: ApiAnswer): boolean {
  return status !== 429 && status < 500 && DENIED.test(statusOf(body).message);
}

/** Whether it is the API server that says so: a proxy that has lost it finds nothing either. */
export function isNotFound(answer: ApiAnswer): boolean {
  return answer.status === 404 && !isStranger(answer);
}

/** Whether something else has answered: an API server never redirects, and sends a `Status` with its 403 and 404. */
export function isStranger({ status, body }: ApiAnswer): boolean {
  const isRedirection = status >= 300 && status < 400;
  return isRedirection || ([403, 404].includes(status) && recordOf(body)['kind'] !== 'Status');
}

function remedyOf(answer: ApiAnswer): string | undefined {
  const { message } = statusOf(answer.body);
  if (isStranger(answer))
    return 'find out which proxy or login page answers instead of the API server; the server in a kubeconfig must be the API server itself';
  if (isTerminating(answer)) return 'wait until the namespace is gone, then create it again';
  if (answer.status === 403 && QUOTA.test(message))
    return 'give the namespace a larger quota, or delete objects that count against it and that nobody needs';
  if (answer.status === 403 && LACKS.test(message))
    return 'give the user that the error message names the right that it says is missing';
  if (answer.status === 409 && CHANGED.test(message))
    return 'nothing: it is tried again; if this lasts, find out who changes the object that the error message names';
  if ([403, 409].includes(answer.status) || isDenied(answer))
    return 'find out which admission policy or webhook of the cluster refuses it';
  if (answer.status === 401) return 'check the token of the service account, or the user of the kubeconfig';
  // It has been reached: whoever looks at the network to it now looks in vain.
  if (answer.status >= 500 && recordOf(answer.body)['kind'] === 'Status') {
    return WEBHOOK_FAILS.test(message)
      ? 'find out why the webhook that the error message names fails, or why the API server cannot call it; the Secret is written as soon as it can'
      : 'find out what is wrong with the API server, which answers with an error; the Secret is written as soon as it has recovered';
  }
  if (answer.status === 413 || answer.status === 422) {
    return 'correct what the API server complains about; a Secret holds at most 1 MiB, and its type and anything immutable cannot be changed';
  }
  return undefined;
}

/** It may be a proxy that answers, so nothing about its words is taken for granted. */
function statusOf(body: unknown): Status {
  const { message, details } = recordOf(body);
  const { causes } = recordOf(details);
  return {
    message: textOf(message),
    causes: (Array.isArray(causes) ? causes : []).map(recordOf).map(({ reason, message, field }) => ({
      reason: textOf(reason),
      message: textOf(message),
      field: textOf(field),
    })),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
