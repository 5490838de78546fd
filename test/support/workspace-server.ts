import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { JSONWebKeySet } from 'jose';
import { RequestLog, type RecordedRequest } from './request-log.ts';
import { padded, signServiceAccountToken, type ServiceAccountTokenOptions, type Signer } from './tokens.ts';
import {
  ApiRefusal,
  parseEndpointRequest,
  parseInstanceRequest,
  type CredentialRequest,
} from './workspace-credentials.ts';
import { FaultPlan, forgeryOf, misbehave, sendJson, type Fault, type Route } from './workspace-faults.ts';
import {
  AccessTokens,
  authenticate,
  describeHost,
  describeIssuer,
  OAuthRefusal,
  trust,
  type VerifySubjectToken,
} from './workspace-oidc.ts';

export interface WorkspaceOptions {
  readonly port?: number | undefined;
  /** Where others reach it, if not at the address it listens on. */
  readonly publicUrl?: string | undefined;
  readonly clientId?: string | undefined;
  readonly personalAccessToken?: string | undefined;
  /** Trusts `serviceAccountToken()` when left out. */
  readonly verifySubjectToken?: VerifySubjectToken | undefined;
  readonly tokenLifetimeMs?: number | undefined;
  /** That of one workspace among several at its host: whoever does not name it gets a page to log in. */
  readonly number?: string | undefined;
  /** In PEM; with one it speaks TLS. */
  readonly certificate?: { readonly key: string; readonly cert: string } | undefined;
}

export interface MintedToken {
  readonly token: string;
  readonly subject: string;
  readonly resource: string;
  /** By the clock of the service. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

const ROUTES: Readonly<Record<string, Route>> = {
  'GET /.well-known/databricks-config': 'metadata',
  'GET /oidc/.well-known/oauth-authorization-server': 'discovery',
  'POST /oidc/v1/token': 'token',
  'POST /api/2.0/postgres/credentials': 'credential',
  'POST /api/2.0/database/credentials': 'credential',
};

/** Stands in for a Databricks workspace: the routes that the CLI uses to mint, strict about what it is sent. */
export class Workspace {
  readonly minted: MintedToken[] = [];
  readonly clientId: string;
  clientSecret = newClientSecret();
  /** The clock of the service against ours. */
  clockOffsetMs = 0;
  /** Waited before every answer. */
  latencyMs = 0;
  /** Instead of the lifetime that was asked for. */
  tokenLifetimeMs: number | undefined;
  readonly #options: WorkspaceOptions;
  readonly #signer: Signer;
  readonly #subjectSigner: Signer;
  readonly #verifySubjectToken: VerifySubjectToken;
  readonly #log = new RequestLog();
  readonly #faults = new FaultPlan();
  readonly #accessTokens = new AccessTokens(() => this.now());
  readonly #server: Server;
  #port = 0;

  constructor(options: WorkspaceOptions, signer: Signer, subjectSigner: Signer) {
    this.#options = options;
    this.#signer = signer;
    this.#subjectSigner = subjectSigner;
    this.clientId = options.clientId ?? randomUUID();
    this.tokenLifetimeMs = options.tokenLifetimeMs;
    this.#verifySubjectToken =
      options.verifySubjectToken ??
      trust({ jwks: subjectSigner.jwks, issuer: 'https://kubernetes.default.svc', audience: 'databricks' });
    const { certificate } = options;
    this.#server = certificate === undefined ? createServer() : createSecureServer(certificate);
    // Clients that give up in the middle are part of the plan.
    this.#server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  get url(): string {
    const { publicUrl, certificate } = this.#options;
    return publicUrl ?? `http${certificate === undefined ? '' : 's'}://127.0.0.1:${this.#port}`;
  }

  get requests(): readonly RecordedRequest[] {
    return this.#log.requests;
  }

  /** The next request whose path begins like this, as soon as it has arrived. */
  nextRequest(path = '/'): Promise<RecordedRequest> {
    return this.#log.next(path);
  }

  get jwks(): JSONWebKeySet {
    return this.#signer.jwks;
  }

  now(): number {
    return Date.now() + this.clockOffsetMs;
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port || (this.#options.port ?? 0), '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** From now on connections are refused. */
  async outage(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  /** Listens at the same address as before, and does what it should. */
  async recover(): Promise<void> {
    this.#faults.clear();
    if (!this.#server.listening) await this.listen();
  }

  async close(): Promise<void> {
    await this.outage();
  }

  fail(route: Route | 'any', fault: Fault, times = Infinity): void {
    this.#faults.add(route, fault, times);
  }

  /** A new secret; the old one is refused from now on. */
  rotateClientSecret(): string {
    this.clientSecret = newClientSecret();
    return this.clientSecret;
  }

  /** Access tokens that were issued so far are refused. */
  revokeAccessTokens(): void {
    this.#accessTokens.clear();
  }

  /** A subject token as the workspace trusts it. */
  serviceAccountToken(options?: ServiceAccountTokenOptions): Promise<string> {
    return signServiceAccountToken(this.#subjectSigner, { issuedAt: this.now(), ...options });
  }

  /** A credential without the CLI, for whoever tests what comes after it. */
  signCredential({ subject = this.clientId, issuedAt = this.now(), lifetimeMs = 3_600_000 } = {}): Promise<string> {
    return this.#signer.sign(this.#claims(subject, issuedAt, lifetimeMs));
  }

  #claims(subject: string, issuedAt: number, lifetimeMs: number) {
    // Fractions only where lifetimes of seconds are wanted: there a whole second would be too coarse.
    const iat = this.tokenLifetimeMs === undefined ? Math.floor(issuedAt / 1000) : issuedAt / 1000;
    return padded({ iss: `${this.url}/oidc`, sub: subject, aud: 'lakebase', iat, exp: iat + lifetimeMs / 1000 });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request;
    const body = Buffer.concat(await request.toArray()).toString();
    const { authorization, 'content-type': contentType, 'user-agent': userAgent } = headers;
    const workspaceId = headers['x-databricks-workspace-id'] as string | undefined;
    if (method === 'GET' && path === '/oidc/jwks.json') return sendJson(response, 200, this.jwks);
    const recorded = { method, path, authorization, contentType, userAgent, workspaceId, body };
    this.#log.add(recorded);
    const route = ROUTES[`${method} ${path}`];
    if (route === undefined) {
      return sendJson(response, 404, {
        error_code: 'ENDPOINT_NOT_FOUND',
        message: `No API found for '${method} ${path}'`,
      });
    }
    const isLost = route === 'credential' && ![undefined, workspaceId].includes(this.#options.number);
    const fault = isLost ? 'html' : this.#faults.take(route);
    if (this.latencyMs > 0) await delay(this.latencyMs);
    if (misbehave(response, fault)) return;
    try {
      sendJson(response, 200, await this.#answer(route, recorded, fault));
    } catch (error) {
      if (!(error instanceof OAuthRefusal || error instanceof ApiRefusal)) throw error;
      sendJson(response, error.status, error.body);
    }
  }

  async #answer(route: Route, request: RecordedRequest, fault: Fault | undefined): Promise<unknown> {
    if (route === 'metadata') return describeHost(this.url, this.#options.number === undefined);
    if (route === 'discovery') return describeIssuer(this.url);
    const { body, contentType } = request;
    if (route === 'token') {
      const { clientId, clientSecret } = this;
      const clients = { clientId, clientSecret, verify: this.#verifySubjectToken, now: () => this.now() };
      return this.#accessTokens.issue(await authenticate(clients, body, request));
    }
    const subject = this.#authorize(request.authorization);
    const wanted = request.path.includes('/postgres/')
      ? parseEndpointRequest(body, contentType, this.now())
      : parseInstanceRequest(body, contentType);
    return this.#mint(subject, wanted, fault);
  }

  #authorize(header: string | undefined): string {
    const token = /^Bearer (.+)$/.exec(header ?? '')?.[1];
    if (token === undefined) {
      throw new ApiRefusal(
        401,
        'UNAUTHENTICATED',
        'Credential was not sent or was of an unsupported type for this API.',
      );
    }
    if (token === this.#options.personalAccessToken) return 'somebody@example.com';
    const subject = this.#accessTokens.subjectOf(token);
    if (subject === undefined) throw new ApiRefusal(401, 'UNAUTHENTICATED', 'Invalid access token');
    return subject;
  }

  async #mint(subject: string, wanted: CredentialRequest, fault: Fault | undefined): Promise<unknown> {
    const { resource, expiryField } = wanted;
    const claims = this.#claims(subject, this.now(), this.tokenLifetimeMs ?? wanted.lifetimeMs);
    const token = await this.#signer.sign(claims);
    const [issuedAt, expiresAt] = [claims.iat! * 1000, claims.exp! * 1000];
    this.minted.push({ token, subject, resource, issuedAt, expiresAt });
    const answer = { token, [expiryField]: new Date(expiresAt).toISOString().replace('.000Z', 'Z') };
    return (
      (await forgeryOf(fault)?.({ answer, expiryField, claims, sign: (changed) => this.#signer.sign(changed) })) ??
      answer
    );
  }
}

function newClientSecret(): string {
  return `dose${randomBytes(16).toString('hex')}`;
}
