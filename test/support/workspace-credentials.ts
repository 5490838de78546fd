/** A refusal of the API. */
export class ApiRefusal extends Error {
  readonly status: number;
  readonly body: { readonly error_code: string; readonly message: string };

  constructor(status: number, errorCode: string, message: string) {
    super(message);
    this.status = status;
    this.body = { error_code: errorCode, message };
  }
}

export interface CredentialRequest {
  /** Endpoint or instance. */
  readonly resource: string;
  readonly lifetimeMs: number;
  readonly expiryField: 'expire_time' | 'expiration_time';
}

const MIN_LIFETIME_MS = 300_000;
const MAX_LIFETIME_MS = 3_600_000;
const ENDPOINT = /^projects\/([^/]+)\/branches\/[^/]+\/endpoints\/[^/]+$/;

function parseObject(body: string, contentType: string | undefined, known: readonly string[]): Record<string, unknown> {
  if (contentType !== 'application/json') {
    throw new ApiRefusal(415, 'MALFORMED_REQUEST', `unexpected content type ${contentType ?? '(none)'}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw new ApiRefusal(400, 'MALFORMED_REQUEST', 'Invalid JSON given in the body of the request');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new ApiRefusal(400, 'MALFORMED_REQUEST', 'the body of the request is not an object');
  }
  for (const key of Object.keys(parsed)) {
    if (!known.includes(key))
      throw new ApiRefusal(400, 'MALFORMED_REQUEST', `Could not parse request object: unknown field ${key}`);
  }
  return parsed as Record<string, unknown>;
}

/** Every well-formed name exists, except what is called `missing`; `forbidden` may not be used. */
function refuseName(name: string, resource: string): void {
  if (name === 'missing') throw new ApiRefusal(404, 'NOT_FOUND', `endpoint ${resource} does not exist`);
  if (name === 'forbidden') throw new ApiRefusal(403, 'PERMISSION_DENIED', `User does not have CAN_USE on ${resource}`);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function requestedLifetimeMs({ ttl, expire_time: expireTime }: Record<string, unknown>, now: number): number {
  if (ttl === undefined && expireTime === undefined) return MAX_LIFETIME_MS;
  if (ttl !== undefined && expireTime !== undefined) {
    throw new ApiRefusal(400, 'INVALID_PARAMETER_VALUE', 'only one of ttl and expire_time may be set');
  }
  const field = ttl === undefined ? 'expire_time' : 'ttl';
  const ms =
    ttl === undefined ? Date.parse(text(expireTime)) - now : Number(/^(\d+(?:\.\d+)?)s$/.exec(text(ttl))?.[1]) * 1000;
  if (Number.isNaN(ms)) throw new ApiRefusal(400, 'INVALID_PARAMETER_VALUE', `${field} is malformed`);
  if (ms < MIN_LIFETIME_MS || ms > MAX_LIFETIME_MS) {
    throw new ApiRefusal(400, 'INVALID_PARAMETER_VALUE', `${field} must be between 300s and 3600s`);
  }
  return ms;
}

/** `POST /api/2.0/postgres/credentials`. @throws ApiRefusal */
export function parseEndpointRequest(body: string, contentType: string | undefined, now: number): CredentialRequest {
  const request = parseObject(body, contentType, ['claims', 'endpoint', 'expire_time', 'ttl']);
  const resource = text(request['endpoint']);
  const project = ENDPOINT.exec(resource)?.[1];
  if (project === undefined) throw new ApiRefusal(400, 'INVALID_PARAMETER_VALUE', 'endpoint name is malformed');
  refuseName(project, resource);
  return { resource, lifetimeMs: requestedLifetimeMs(request, now), expiryField: 'expire_time' };
}

/** `POST /api/2.0/database/credentials`, which knows no ttl. @throws ApiRefusal */
export function parseInstanceRequest(body: string, contentType: string | undefined): CredentialRequest {
  const request = parseObject(body, contentType, ['claims', 'instance_names', 'request_id']);
  const names = request['instance_names'];
  if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === 'string')) {
    throw new ApiRefusal(400, 'INVALID_PARAMETER_VALUE', 'at least one of instance_names or claims must be specified');
  }
  for (const name of names) refuseName(name, name);
  return { resource: names.join(','), lifetimeMs: MAX_LIFETIME_MS, expiryField: 'expiration_time' };
}
