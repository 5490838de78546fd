import type { ServerResponse } from 'node:http';
import type { JWTPayload } from 'jose';

export type Route = 'metadata' | 'discovery' | 'token' | 'credential';

/** An answer instead of the real one: a string body is HTML when it looks like it, anything else is JSON. */
export interface StatusFault {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Minting {
  /** What would be answered; `expiryField` names the key that holds the expiry in this API. */
  readonly answer: Readonly<Record<string, unknown>>;
  readonly expiryField: string;
  readonly claims: JWTPayload;
  readonly sign: (claims: JWTPayload) => Promise<string>;
}

/** Answers something else than the credential that was minted. */
type Forge = (minting: Minting) => unknown;

const MINUTE_S = 60;

function rfc3339(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

async function withClaims({ answer, expiryField, claims, sign }: Minting, change: JWTPayload): Promise<unknown> {
  const changed = { ...claims, ...change };
  return { ...answer, token: await sign(changed), [expiryField]: rfc3339(changed.exp!) };
}

const FORGERIES = {
  'no-expiry': ({ answer }) => ({ token: answer['token'] }),
  'no-token': ({ answer, expiryField }) => ({ [expiryField]: answer[expiryField] }),
  'opaque-token': ({ answer }) => ({ ...answer, token: 'opaque-token-without-claims' }),
  'spaced-token': ({ answer }) => ({ ...answer, token: `${String(answer['token'])}\n` }),
  'later-expiry': ({ answer, expiryField, claims }) => ({
    ...answer,
    [expiryField]: rfc3339(claims.exp! + 60 * MINUTE_S),
  }),
  'sooner-expiry': ({ answer, expiryField, claims }) => ({
    ...answer,
    [expiryField]: rfc3339((claims.iat! + claims.exp!) / 2),
  }),
  'already-expired': (minting) =>
    withClaims(minting, { iat: minting.claims.iat! - 61 * MINUTE_S, exp: minting.claims.iat! - MINUTE_S }),
  'short-lived': (minting) => withClaims(minting, { exp: minting.claims.iat! + MINUTE_S }),
  'other-identity': (minting) => withClaims(minting, { sub: crypto.randomUUID() }),
} satisfies Record<string, Forge>;

const WIRE_FAULTS = ['hang', 'close', 'reset', 'truncated', 'html', 'broken-json', 'empty-object'] as const;
type WireFault = (typeof WIRE_FAULTS)[number];

/** The forgeries make sense on the route `credential` only; elsewhere they change nothing. */
export type Fault = WireFault | keyof typeof FORGERIES | StatusFault | Forge;

interface Planned {
  readonly route: Route | 'any';
  readonly fault: Fault;
  timesLeft: number;
}

/** The faults that were ordered, the latest first. */
export class FaultPlan {
  #planned: Planned[] = [];

  add(route: Route | 'any', fault: Fault, times: number): void {
    this.#planned.unshift({ route, fault, timesLeft: times });
  }

  clear(): void {
    this.#planned = [];
  }

  take(route: Route): Fault | undefined {
    const found = this.#planned.find((planned) => planned.route === 'any' || planned.route === route);
    if (found === undefined) return undefined;
    found.timesLeft -= 1;
    if (found.timesLeft <= 0) this.#planned = this.#planned.filter((planned) => planned !== found);
    return found.fault;
  }
}

export function forgeryOf(fault: Fault | undefined): Forge | undefined {
  if (typeof fault === 'function') return fault;
  return typeof fault === 'string' && fault in FORGERIES ? FORGERIES[fault as keyof typeof FORGERIES] : undefined;
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Answers in place of the route. @returns whether it did (or decided that nobody answers) */
export function misbehave(response: ServerResponse, fault: Fault | undefined): boolean {
  if (fault === undefined || forgeryOf(fault) !== undefined) return false;
  if (typeof fault === 'object') {
    const { status, body = { message: `HTTP ${status}` }, headers = {} } = fault;
    const isText = typeof body === 'string';
    const contentType = isText ? (body.startsWith('<') ? 'text/html' : 'text/plain') : 'application/json';
    response.writeHead(status, { 'content-type': contentType, ...headers }).end(isText ? body : JSON.stringify(body));
    return true;
  }
  switch (fault as WireFault) {
    case 'hang':
      break;
    case 'close':
      response.socket?.destroy();
      break;
    case 'reset':
      response.socket?.resetAndDestroy();
      break;
    case 'truncated':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
      response.write('{"token":"eyJ', () => response.socket?.destroy());
      break;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Sign in</body></html>');
      break;
    case 'broken-json':
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"eyJ');
      break;
    case 'empty-object':
      sendJson(response, 200, {});
      break;
  }
  return true;
}
