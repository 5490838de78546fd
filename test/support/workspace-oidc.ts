import { randomBytes } from 'node:crypto';
import { decodeJwt, errors, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import { keyResolver } from './tokens.ts';

/** A refusal in the words of OAuth. */
export class OAuthRefusal extends Error {
  readonly status: number;
  readonly body: { readonly error: string; readonly error_description: string };

  constructor(status: number, error: string, description: string) {
    super(description);
    this.status = status;
    this.body = { error, error_description: description };
  }
}

/**
 * Whether the workspace takes this token for one of a service principal. Whoever has another source of trust, such as
 * the issuer of a cluster that is found by discovery, gives another function. @throws OAuthRefusal
 */
export type VerifySubjectToken = (token: string, now: Date) => Promise<void>;

export interface FederationPolicy {
  readonly jwks: JSONWebKeySet;
  readonly issuer: string;
  readonly audience: string;
  /** Any subject of the issuer when left out. */
  readonly subject?: string | undefined;
}

export function trust({ jwks, issuer, audience, subject }: FederationPolicy): VerifySubjectToken {
  const keys = keyResolver(jwks);
  return async (token, now) => {
    try {
      await jwtVerify(token, keys, {
        issuer,
        audience,
        currentDate: now,
        ...(subject === undefined ? {} : { subject }),
      });
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new OAuthRefusal(400, 'invalid_grant', 'subject token expired');
      throw new OAuthRefusal(400, 'invalid_grant', mismatch(error, decodeJwt(token), audience));
    }
  };
}

/**
 * In the words of Databricks, as workload-identity/databricks-service-principal-operator has measured them (docs/measured.md):
 * it names what a policy for that token would say or, where only the audience is wrong, the one that there is.
 */
function mismatch(error: unknown, { iss, sub, aud }: JWTPayload, audience: string): string {
  const isAudience = error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud';
  const reason = isAudience
    ? `TOKEN_AUDIENCE_INVALID (Token audience '${String(aud)}' invalid)`
    : 'TOKEN_INVALID (Ensure a valid federation policy has been configured)';
  const policy = `{issuer: '${iss}', subject: '${sub}', audience: '${isAudience ? audience : String(aud)}'}`;
  return `Failed to process token: ${reason}. Valid federation policy for provided token: ${policy}`;
}

export interface Clients {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly verify: VerifySubjectToken;
  now(): number;
}

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const SUBJECT_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt';

function parseForm(body: string, contentType: string | undefined): Map<string, string> {
  if (contentType !== 'application/x-www-form-urlencoded') {
    throw new OAuthRefusal(400, 'invalid_request', `unexpected content type ${contentType ?? '(none)'}`);
  }
  const form = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(body)) {
    if (form.has(key)) throw new OAuthRefusal(400, 'invalid_request', `${key} is given twice`);
    form.set(key, value);
  }
  return form;
}

function refuseUnknown(form: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const key of form.keys()) {
    if (!known.includes(key)) throw new OAuthRefusal(400, 'invalid_request', `unknown parameter ${key}`);
  }
}

function parseBasic(header: string | undefined): { readonly id: string; readonly secret: string } | undefined {
  const encoded = /^Basic (.+)$/.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const [id = '', secret = ''] = Buffer.from(encoded, 'base64').toString().split(':').map(decodeURIComponent);
  return { id, secret };
}

/** @returns the service principal that an access token may be issued for. @throws OAuthRefusal */
export async function authenticate(
  clients: Clients,
  body: string,
  {
    authorization,
    contentType,
  }: { readonly authorization: string | undefined; readonly contentType: string | undefined },
): Promise<string> {
  const form = parseForm(body, contentType);
  if (form.get('scope') !== 'all-apis') throw new OAuthRefusal(400, 'invalid_scope', 'scope must be all-apis');
  const grantType = form.get('grant_type') ?? '(none)';
  switch (grantType) {
    case 'client_credentials': {
      refuseUnknown(form, ['grant_type', 'scope']);
      const basic = parseBasic(authorization);
      if (basic?.id !== clients.clientId || basic.secret !== clients.clientSecret) {
        throw new OAuthRefusal(401, 'invalid_client', 'Client authentication failed');
      }
      return clients.clientId;
    }
    case EXCHANGE: {
      refuseUnknown(form, ['grant_type', 'scope', 'client_id', 'subject_token', 'subject_token_type']);
      if (form.get('client_id') !== clients.clientId) {
        throw new OAuthRefusal(401, 'invalid_client', 'Client authentication failed');
      }
      if (form.get('subject_token_type') !== SUBJECT_TOKEN_TYPE) {
        throw new OAuthRefusal(400, 'invalid_request', `subject_token_type must be ${SUBJECT_TOKEN_TYPE}`);
      }
      const token = form.get('subject_token') ?? '';
      if (!isJwt(token)) throw new OAuthRefusal(400, 'invalid_request', 'subject_token is not a JWT');
      await clients.verify(token, new Date(clients.now()));
      return clients.clientId;
    }
    default:
      throw new OAuthRefusal(400, 'unsupported_grant_type', `grant type ${grantType} is not supported`);
  }
}

/** Nothing is trimmed: the service refuses a token with a newline at its end. */
function isJwt(token: string): boolean {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return false;
  try {
    decodeJwt(token);
    return true;
  } catch {
    return false;
  }
}

export function describeHost(url: string, isAlone: boolean) {
  return {
    oidc_endpoint: `${url}/oidc`,
    account_id: 'acc',
    ...(isAlone ? { workspace_id: '12345' } : {}),
    cloud: 'AWS',
    host_type: isAlone ? 'WORKSPACE_HOST' : 'unified',
  };
}

export function describeIssuer(url: string) {
  return {
    issuer: `${url}/oidc`,
    authorization_endpoint: `${url}/oidc/v1/authorize`,
    token_endpoint: `${url}/oidc/v1/token`,
    jwks_uri: `${url}/oidc/jwks.json`,
  };
}

const ACCESS_TOKEN_LIFETIME_MS = 3_600_000;

/** What the API takes as a bearer. */
export class AccessTokens {
  readonly #tokens = new Map<string, { readonly subject: string; readonly expiresAt: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  issue(subject: string) {
    const token = `access-${randomBytes(24).toString('hex')}`;
    this.#tokens.set(token, { subject, expiresAt: this.#now() + ACCESS_TOKEN_LIFETIME_MS });
    return {
      access_token: token,
      token_type: 'Bearer',
      expires_in: ACCESS_TOKEN_LIFETIME_MS / 1000,
      scope: 'all-apis',
    };
  }

  subjectOf(token: string): string | undefined {
    const known = this.#tokens.get(token);
    return known !== undefined && known.expiresAt > this.#now() ? known.subject : undefined;
  }

  clear(): void {
    this.#tokens.clear();
  }
}
