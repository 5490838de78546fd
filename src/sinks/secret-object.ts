import { hash } from 'node:crypto';
import { isToken, readClaims } from '../credential/claims.ts';
import { rfc3339 } from '../credential/display.ts';
import { BEARING, type Format } from '../credential/formats.ts';
import { isRecord } from '../credential/json.ts';
import {
  type Connection,
  type Credential,
  type Identity,
  LONGEST_LIFETIME_MS,
  type Recovered,
} from '../credential/ports.ts';
import { Secret } from '../credential/secret.ts';
import { quotable } from '../kubernetes/api-errors.ts';
import { parseToken, render } from './render.ts';

export interface SecretSpec {
  readonly namespace: string;
  readonly name: string;
  /** What each key holds. */
  readonly data: Readonly<Record<string, Format>>;
  readonly type: string;
  readonly connection: Connection;
  readonly identity: Identity;
  /** The credential's name. */
  readonly credentialName: string;
}

/** As much of a Secret as matters here. */
export interface SecretObject {
  readonly metadata: {
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
    readonly managedFields?: readonly ManagedFields[];
  };
  readonly type?: string;
  readonly immutable?: boolean;
  readonly data?: Readonly<Record<string, string>>;
}

interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  readonly fieldsV1?: unknown;
}

/**
 * What was answered or told of, where it is the Secret of that name: a proxy may answer anything in the place of the API
 * server, or tell of all Secrets where it was asked for one.
 */
export function asSecret(value: unknown, name: string): SecretObject | undefined {
  if (!isRecord(value) || !isRecord(value['metadata']) || value['metadata']['name'] !== name) return undefined;
  const { metadata, type, immutable, data } = value;
  const { annotations, labels, managedFields, resourceVersion } = metadata;
  const isWellFormed =
    [annotations, labels, data].every((one) => one === undefined || isTexts(one)) &&
    [type, resourceVersion].every((one) => one === undefined || typeof one === 'string') &&
    (immutable === undefined || typeof immutable === 'boolean') &&
    (managedFields === undefined || (Array.isArray(managedFields) && managedFields.every(isRecord)));
  return isWellFormed ? (value as unknown as SecretObject) : undefined;
}

/** Kubernetes promises that it grows with each change; NaN where it is no number, and then every event counts as news. */
export function versionOf(object: SecretObject | undefined): number {
  return Number(object?.metadata.resourceVersion);
}

function isTexts(value: unknown): boolean {
  return isRecord(value) && Object.values(value).every((one) => typeof one === 'string');
}

const PREFIX = 'lakebase-credential-sidecar/';
/** Whose token it is and since when, until when, and which keys are ours: what other writers and the next process go by. */
const ANNOTATIONS = {
  identity: `${PREFIX}identity`,
  fingerprint: `${PREFIX}fingerprint`,
  issuedAt: `${PREFIX}issued-at`,
  expiresAt: `${PREFIX}expires-at`,
  keys: `${PREFIX}keys`,
  since: `${PREFIX}since`,
} as const;
const CREDENTIAL_LABEL = `${PREFIX}credential`;
/** Ask other tools neither to restart nor to revert anything at each refresh, unless somebody has set another value. */
const REQUESTS = {
  'reloader.stakater.com/ignore': 'true',
  'argocd.argoproj.io/compare-options': 'IgnoreExtraneous',
  'argocd.argoproj.io/sync-options': 'Prune=false',
} as const;

/** The same for all writers of a credential. */
export function fieldManagerOf({ credentialName }: SecretSpec): string {
  return `lakebase-credential-sidecar.${credentialName}`;
}

/** Why no apply can ever make of it what is configured; undefined where one can. */
export function whyUnfit(object: SecretObject, { type }: SecretSpec): string | undefined {
  if (object.immutable === true) return 'is immutable';
  if (object.type === undefined || object.type === type) return undefined;
  return `has the type ${quotable(object.type)}, but ${type} is configured; the type of a Secret cannot be changed`;
}

/** What is applied, and nothing else of the Secret is ours. `since` is when its identity began, by the service's clock. */
export function renderSecret(
  credential: Credential,
  spec: SecretSpec,
  present: SecretObject | undefined,
  since?: number,
) {
  const { annotations: others = {} } = present?.metadata ?? {};
  const requests = Object.entries(REQUESTS).filter(([name, value]) => (others[name] ?? value) === value);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: spec.name,
      namespace: spec.namespace,
      labels: { [CREDENTIAL_LABEL]: spec.credentialName },
      annotations: {
        ...annotationsOf(credential, spec),
        ...(since !== undefined && { [ANNOTATIONS.since]: rfc3339(since) }),
        ...Object.fromEntries(requests),
      },
    },
    type: spec.type,
    data: Object.fromEntries(
      Object.entries(spec.data).map(([key, format]) => [key, toBase64(render(format, credential, spec.connection))]),
    ),
  };
}

/** What a dry run applies: the same keys, with a value that is no secret. */
export function renderTrial({ namespace, name, type, data }: SecretSpec) {
  const trial = Object.keys(data).map((key) => [key, toBase64('dry run')] as const);
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type, data: Object.fromEntries(trial) };
}

/** Whether our keys hold what would be applied, and whether everything else does, too. */
export function compare(object: SecretObject, credential: Credential, spec: SecretSpec): 'same' | 'marred' | 'other' {
  const { data, metadata, type } = renderSecret(credential, spec, object);
  const isIn = (part: Readonly<Record<string, string>>, whole: Readonly<Record<string, string>> = {}): boolean =>
    Object.entries(part).every(([key, value]) => whole[key] === value);
  if (!isIn(data, object.data)) return 'other';
  const isWhole =
    isIn(metadata.annotations, object.metadata.annotations) && isIn(metadata.labels, object.metadata.labels);
  return isWhole && object.type === type ? 'same' : 'marred';
}

/** Whether our keys are as a writer of this credential, with whatever configuration, has applied them. */
export function isAsApplied(object: SecretObject, spec: SecretSpec): boolean {
  const { managedFields = [] } = object.metadata;
  const { fieldsV1 } = managedFields.find(({ manager }) => manager === fieldManagerOf(spec)) ?? {};
  const applied = isRecord(fieldsV1) ? fieldsV1['f:data'] : undefined;
  // What a webhook takes away on the way stands among the fields all the same.
  const isApplied = (key: string): boolean =>
    isRecord(applied) && Object.hasOwn(applied, `f:${key}`) && Object.hasOwn(object.data ?? {}, key);
  return Object.keys(spec.data).every(isApplied);
}

/** What another writer of the same identity has put there; undefined for anything that does not fit together. */
export function recognise(object: SecretObject, spec: SecretSpec): Recovered | undefined {
  const found = salvage(object, spec);
  return tokensIn(object, spec).every((token) => token === found?.token.reveal()) ? found : undefined;
}

/** The same, if it is still in one key: somebody may have edited the others. */
export function salvage(object: SecretObject, spec: SecretSpec): Recovered | undefined {
  return isOfIdentity(object, spec) ? readRecovered(object, spec) : undefined;
}

/**
 * Since when writers of the identity whose token stands there write tokens of this credential, by the service's clock;
 * undefined where there is no token of this credential.
 */
export function sinceOf(object: SecretObject, spec: SecretSpec): number | undefined {
  const issuedAt = readRecovered(object, spec)?.service.issuedAt;
  if (issuedAt === undefined) return undefined;
  // No later than its token: whoever writes the Secret could have it begin in the year 9999, and so for ever win.
  const since = Date.parse(object.metadata.annotations?.[ANNOTATIONS.since] ?? '');
  return since < issuedAt ? since : issuedAt;
}

export function isOfIdentity({ metadata }: SecretObject, { identity }: SecretSpec): boolean {
  return metadata.annotations?.[ANNOTATIONS.identity] === hashOf(identity);
}

function readRecovered(object: SecretObject, spec: SecretSpec): Recovered | undefined {
  const { annotations = {} } = object.metadata;
  const fingerprint = annotations[ANNOTATIONS.fingerprint];
  const token = tokensIn(object, spec).find((one) => one !== undefined && hash('sha256', one) === fingerprint);
  const service = {
    issuedAt: Date.parse(annotations[ANNOTATIONS.issuedAt] ?? ''),
    expiresAt: Date.parse(annotations[ANNOTATIONS.expiresAt] ?? ''),
  };
  const lifetimeMs = service.expiresAt - service.issuedAt;
  if (token === undefined || fingerprint === undefined || !isToken(token)) return undefined;
  // Not `lifetimeMs <= 0`: that would let NaN pass. Some seconds more, because the service rounds.
  if (!(lifetimeMs > 0 && lifetimeMs <= LONGEST_LIFETIME_MS + 60_000)) return undefined;
  const { expiresAt = service.expiresAt, subject } = readClaims(token);
  // Whoever may write the Secret may write annotations, but cannot make the service sign a longer life.
  if (service.expiresAt > expiresAt) return undefined;
  return { token: new Secret(token), service, fingerprint, subject };
}

/** One of each of our keys that may hold one. */
export function tokensIn({ data = {} }: SecretObject, spec: SecretSpec): (string | undefined)[] {
  return Object.entries(spec.data)
    .filter(([, format]) => BEARING.includes(format))
    .map(([key, format]) =>
      parseToken(format, Buffer.from(Object.hasOwn(data, key) ? data[key]! : '', 'base64').toString()),
    );
}

/** Whether a field was ours when the Secret was last published, so that whoever has it now has changed it since. */
export function wasOurs(field: string, object: SecretObject, spec: SecretSpec): boolean {
  const { annotations = {}, labels = {} } = object.metadata;
  if (field.startsWith(`.metadata.annotations.${PREFIX}`) || field.startsWith(`.metadata.labels.${PREFIX}`))
    return true;
  // Who has taken annotations away, too, has left the label that we applied.
  const isLabelled = labels[CREDENTIAL_LABEL] === spec.credentialName && isApplier(fieldManagerOf(spec), object);
  const isOurs = annotations[ANNOTATIONS.identity] === undefined ? isLabelled : isOfIdentity(object, spec);
  const keys = annotations[ANNOTATIONS.keys]?.split(' ') ?? (isLabelled ? Object.keys(spec.data) : []);
  return isOurs && keys.some((key) => field === `.data.${key}`);
}

/** Whether the manager applies: then it means to keep what it has, and is not somebody who once changed something. */
export function isApplier(manager: string, { metadata }: SecretObject): boolean {
  return (metadata.managedFields ?? []).some((one) => one.manager === manager && one.operation === 'Apply');
}

function annotationsOf({ fingerprint, service }: Credential, { data, identity }: SecretSpec): Record<string, string> {
  return {
    [ANNOTATIONS.identity]: hashOf(identity),
    [ANNOTATIONS.fingerprint]: fingerprint,
    [ANNOTATIONS.issuedAt]: rfc3339(service.issuedAt),
    [ANNOTATIONS.expiresAt]: rfc3339(service.expiresAt),
    [ANNOTATIONS.keys]: Object.keys(data).toSorted().join(' '),
  };
}

/** An annotation is for everybody to read, and an identity names a workspace and a client. */
function hashOf({ workspace, resource, principal }: Identity): string {
  return hash('sha256', JSON.stringify([workspace, resource, principal]));
}

function toBase64(text: string): string {
  return Buffer.from(text).toString('base64');
}
