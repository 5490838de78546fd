import { hash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, type Config } from './databricks-cli-config.ts';
import { CliError, messageOf, send, TimedOut, type Call, type Reply } from './databricks-cli-http.ts';

export interface Program {
  readonly version: string;
  readonly userAgent: string;
}

export interface Bearer {
  readonly authType: string;
  readonly token: string;
}

/** The fields that are read of the three documents a host answers with. */
interface Document {
  readonly oidc_endpoint?: string;
  readonly account_id?: string;
  readonly workspace_id?: string;
  readonly token_endpoint?: string;
  readonly access_token?: string;
}

const METADATA_LIFETIME_MS = 3_600_000;
const MISS_LIFETIME_MS = 60_000;
const TOKEN_PATIENCE_MS = 60_000;
/** Of the statuses that are to be retried the only one that survives the SDK's mapping of errors (config/azure.go, v0.175.0). */
const TOKEN_RETRY = 502;
/** What is to be throttling, whatever its status, says so in these words (config/config.go of the same). */
const THROTTLED = /throttled|too many requests|429|request limit exceeded|rate limit/;
/** The ways to log in that ask for the discovery document before they notice that they are not configured. */
const DISCOVERIES_IN_VAIN = 3;
const DOCS = 'https://docs.databricks.com/en/dev-tools/auth.html#databricks-client-unified-authentication';
const CANNOT_CONFIGURE = `cannot configure default credentials, please check ${DOCS} to configure credentials for your preferred authentication method`;
const TYPES = `please check ${DOCS} for a list of supported auth types`;

/** The files below `DATABRICKS_CACHE_DIR`; a disk that cannot be written is as good as an empty one. */
class FileCache<T> {
  readonly #directory: string | undefined;
  readonly #lifetimeMs: number;

  constructor(version: string, component: string, lifetimeMs: number) {
    const { DATABRICKS_CACHE_DIR: own, XDG_CACHE_HOME: xdg, HOME: home } = process.env;
    const base = own || (xdg ? join(xdg, 'databricks') : home ? join(home, '.cache', 'databricks') : undefined);
    this.#directory = base === undefined ? undefined : join(base, version, component);
    this.#lifetimeMs = lifetimeMs;
  }

  get(key: string): T | undefined {
    try {
      const { data, timestamp } = JSON.parse(readFileSync(this.#path(key), 'utf8')) as { data: T; timestamp: number };
      return Date.now() - timestamp < this.#lifetimeMs ? data : undefined;
    } catch {
      return undefined;
    }
  }

  set(key: string, data: T): void {
    try {
      const path = this.#path(key);
      mkdirSync(this.#directory!, { recursive: true, mode: 0o700 });
      const temporary = `${path}.tmp.${randomBytes(8).toString('hex')}`;
      writeFileSync(temporary, JSON.stringify({ data, timestamp: Date.now() }), { mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      // Done without.
    }
  }

  #path(key: string): string {
    return join(this.#directory!, `${hash('sha256', key)}.json`);
  }
}

function isThrottled({ status, text }: Reply): boolean {
  return status >= 400 && THROTTLED.test(text);
}

/** Throttling is waited for; what else the host answers is taken as an answer. */
function get(url: string, { userAgent }: Program): Promise<Reply> {
  return send({ method: 'GET', url, headers: { 'user-agent': userAgent } }, isThrottled);
}

function parse(reply: Reply): Document | undefined {
  if (reply.status !== 200) return undefined;
  try {
    return JSON.parse(reply.text) as Document;
  } catch {
    return undefined;
  }
}

/** Fills in account and workspace. @returns where to look for the issuer */
export async function resolveHost(config: Config, program: Program): Promise<string> {
  const host = config.host!;
  const found = new FileCache<Document>(program.version, 'host-metadata', METADATA_LIFETIME_MS);
  const missed = new FileCache<true>(program.version, 'host-metadata-negative', MISS_LIFETIME_MS);
  let metadata = found.get(host);
  if (metadata === undefined && missed.get(host) === undefined) {
    metadata = await get(`${host}/.well-known/databricks-config`, program).then(parse, () => undefined);
    if (metadata !== undefined) found.set(host, metadata);
    else {
      missed.set(host, true);
      process.stderr.write(`Warn: [hostmetadata] failed to fetch host metadata for ${host}, will skip for 1m0s\n`);
    }
  }
  config.account_id ??= metadata?.account_id;
  config.workspace_id ??= metadata?.workspace_id;
  return metadata?.oidc_endpoint ?? `${host}/oidc`;
}

async function discover(issuer: string, program: Program): Promise<string> {
  const failed = 'oidc: failed to get OAuth endpoints: ';
  let reply: Reply;
  try {
    reply = await get(`${issuer}/.well-known/oauth-authorization-server`, program);
  } catch (error) {
    throw error instanceof CliError ? new CliError(failed + error.message) : error;
  }
  const endpoint = parse(reply)?.token_endpoint;
  if (endpoint === undefined) throw new CliError(failed + messageOf(reply));
  return endpoint;
}

function tooLate(): CliError {
  return new CliError('context deadline exceeded');
}

async function requestToken(
  url: string,
  form: Record<string, string>,
  headers: Record<string, string>,
): Promise<string> {
  const body = new URLSearchParams(form);
  body.sort();
  const call: Call = {
    method: 'POST',
    url,
    headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
    body: body.toString(),
  };
  const deadline = Date.now() + TOKEN_PATIENCE_MS;
  for (let ceilingMs = 1000; ; ceilingMs = Math.min(ceilingMs * 2, 60_000)) {
    const reply = await send(call, isThrottled, deadline - Date.now()).catch((error: unknown) => {
      throw error instanceof TimedOut ? tooLate() : error;
    });
    const token = parse(reply)?.access_token;
    if (token) return token;
    if (reply.status !== TOKEN_RETRY) throw new CliError(`Post "${url}": ${reply.text}`);
    const pauseMs = Math.random() * ceilingMs;
    if (Date.now() + pauseMs > deadline) throw tooLate();
    await delay(pauseMs);
  }
}

async function withClientSecret(config: Config, endpoint: string, { userAgent }: Program): Promise<string> {
  const pair = [config.client_id!, config.client_secret!].map(encodeURIComponent).join(':');
  const headers = { authorization: `Basic ${Buffer.from(pair).toString('base64')}`, 'user-agent': userAgent };
  try {
    return await requestToken(endpoint, { grant_type: 'client_credentials', scope: 'all-apis' }, headers);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    throw new CliError(`error getting token: ${error.message}`);
  }
}

function readSubjectToken(path: string): string {
  let token: string;
  try {
    token = readFileSync(path, 'utf8');
  } catch {
    throw new CliError(`file "${path}" does not exist`);
  }
  if (token === '') throw new CliError(`file "${path}" is empty`);
  return token;
}

async function withSubjectToken(config: Config, issuer: string, program: Program): Promise<string> {
  const endpoint = await discover(issuer, program);
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    scope: 'all-apis',
    client_id: config.client_id ?? '',
    subject_token: readSubjectToken(config.databricks_id_token_filepath!),
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  };
  return requestToken(endpoint, form, { 'user-agent': program.userAgent });
}

type Login = () => Promise<Bearer>;
/** Undefined where the configuration lacks what this way to log in takes. @throws CliError */
type Configure = (config: Config, issuer: string, program: Program) => Promise<Login | undefined>;

/** In the order in which they are tried. */
const WAYS = new Map<string, Configure>([
  ['pat', ({ token }) => Promise.resolve(token ? () => Promise.resolve({ authType: 'pat', token }) : undefined)],
  [
    'oauth-m2m',
    async (config, issuer, program) => {
      if (!config.client_id || !config.client_secret) return undefined;
      const endpoint = await discover(issuer, program);
      return async () => ({ authType: 'oauth-m2m', token: await withClientSecret(config, endpoint, program) });
    },
  ],
  // Always without the login of that person, which is in their keyring or home (libs/auth/storage of the CLI's v1.13.0).
  [
    'databricks-cli',
    () => {
      const words = 'cache: no cached credentials; run `databricks auth login` to sign in';
      return Promise.resolve(() => Promise.reject(new CliError(`error getting token: ${words}`)));
    },
  ],
  [
    'file-oidc',
    async (config, issuer, program) => {
      if (!config.databricks_id_token_filepath) throw new CliError('missing path');
      const token = await withSubjectToken(config, issuer, program);
      return () => Promise.resolve({ authType: 'file-oidc', token });
    },
  ],
]);

/** Each is tried, and an error of one is but a reason to try the next (config/auth_default.go of the SDK's v0.175.0). */
const byAny: Configure = async (config, issuer, program) => {
  for (const configure of WAYS.values()) {
    try {
      const bearer = await (await configure(config, issuer, program))?.();
      if (bearer !== undefined) return () => Promise.resolve(bearer);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
    }
  }
  for (let asked = 0; asked < DISCOVERIES_IN_VAIN; asked += 1) await discover(issuer, program).catch(() => '');
  return undefined;
};

/** By the way that is asked for, or by any. @throws CliError */
export async function authenticate(config: Config, issuer: string, program: Program): Promise<Bearer> {
  const { host, auth_type: named } = config;
  const way = named === undefined ? undefined : WAYS.get(named);
  const configure = async (): Promise<Login> => {
    if (named !== undefined && way === undefined) throw new CliError(`auth type "${named}" not found, ${TYPES}`);
    const login = host ? await (way ?? byAny)(config, issuer, program) : undefined;
    if (login === undefined) throw new CliError(way === undefined ? CANNOT_CONFIGURE : 'not configured');
    return login;
  };
  // The real program tries it twice before it gives up.
  const login = await configure()
    .catch(configure)
    .catch((error: unknown) => {
      if (!(error instanceof CliError)) throw error;
      throw new CliError(`${way === undefined ? 'default' : named} auth: ${error.message}. ${describe(config)}`);
    });
  return login();
}
