import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  SignJWT,
  type JSONWebKeySet,
  type JWTPayload,
} from 'jose';

const ALGORITHM = 'ES256';
/** The service's tokens have about this size; a shorter one would not find what is cut off, wrapped or truncated. */
const TOKEN_BYTES = 1200;

/** One signing key, with the public half as others get to see it. */
export interface Signer {
  readonly jwks: JSONWebKeySet;
  readonly sign: (claims: JWTPayload) => Promise<string>;
}

export async function createSigner(): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM);
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return {
    jwks: { keys: [{ ...jwk, kid, alg: ALGORITHM, use: 'sig' }] },
    sign: (claims) => new SignJWT(claims).setProtectedHeader({ alg: ALGORITHM, kid, typ: 'JWT' }).sign(privateKey),
  };
}

/** Adds a claim that brings the token to the size of a real one. */
export function padded(claims: JWTPayload): JWTPayload {
  const bytes = (Buffer.byteLength(JSON.stringify(claims)) * 4) / 3 + 250;
  return { ...claims, pad: 'x'.repeat(Math.max(0, Math.round(((TOKEN_BYTES - bytes) * 3) / 4))) };
}

/** What jose's verification functions take for a key. */
export const keyResolver = createLocalJWKSet;

export interface ServiceAccountTokenOptions {
  readonly issuer?: string;
  readonly subject?: string;
  readonly audience?: string;
  readonly issuedAt?: number;
  readonly lifetimeMs?: number;
}

/** What a kubelet projects into a pod. */
export function signServiceAccountToken(signer: Signer, options: ServiceAccountTokenOptions = {}): Promise<string> {
  const issuedAt = options.issuedAt ?? Date.now();
  return signer.sign({
    iss: options.issuer ?? 'https://kubernetes.default.svc',
    sub: options.subject ?? 'system:serviceaccount:backstage:backstage',
    aud: [options.audience ?? 'databricks'],
    iat: Math.floor(issuedAt / 1000),
    exp: Math.floor((issuedAt + (options.lifetimeMs ?? 3_600_000)) / 1000),
  });
}
