import { isIPv4 } from 'node:net';
import { posix } from 'node:path';
import type { Auth, SecretSource, Workspace } from '../credential/auth.ts';
import { isInQuotes, shortFingerprint } from '../credential/display.ts';
import type { ConfigIssue } from '../credential/errors.ts';
import type { Identity } from '../credential/ports.ts';
import { Secret } from '../credential/secret.ts';
import { CONTROL, CONTROLS } from './control.ts';
import { fromHere, read, readOrDefault, type Environment, type VariableName } from './environment.ts';

type Kind = Auth['kind'];

const KINDS = {
  'file-oidc': 'workload identity (DATABRICKS_CLIENT_ID and DATABRICKS_OIDC_TOKEN_FILEPATH)',
  'oauth-m2m': 'a client secret (DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET or DATABRICKS_CLIENT_SECRET_FILE)',
  profile: 'a profile (DATABRICKS_CONFIG_PROFILE, with DATABRICKS_CONFIG_FILE)',
  pat: 'a personal access token (DATABRICKS_TOKEN, with DATABRICKS_AUTH_TYPE=pat)',
} as const satisfies Record<Kind, string>;

const WHITE_OR_CONTROL = new RegExp(String.raw`[\s${CONTROL}]`);
/** The parser of URLs drops tabs and line breaks, and makes `/` of a backslash. */
const IN_NO_ORIGIN = new RegExp(String.raw`[\s${CONTROL}\\@?#]`);
const WORKSPACE_ID = /^[\w-]{1,64}$/;
/** The number of one workspace of several, as the address of its page has it. The CLI takes it by either name, too. */
const NUMBERED = /\/?\?[ow]=([\w-]{1,64})$/;

const AUTH_TYPES: readonly Kind[] = ['file-oidc', 'oauth-m2m', 'pat'];

/** Whose tokens those for this resource are. */
export function identityOf(auth: Auth, resource: string): Identity {
  return { workspace: workspaceOf(auth), resource, principal: principalOf(auth) };
}

/**
 * Whether anybody on the way to the workspace can read what proves who we are, and the tokens. It is not refused, because
 * a service mesh may add TLS.
 */
export function isSentInClear({ host }: Auth): boolean {
  return host !== undefined && host.startsWith('http:') && !isLoopback(new URL(host));
}

/** As its pages have it in a browser. */
export function addressOf({ host, workspaceId }: Workspace): string {
  return workspaceId === undefined ? host : `${host}/?o=${workspaceId}`;
}

/** Whether what is sent there stays on this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (hostname.startsWith('127.') && isIPv4(hostname));
}

function principalOf(auth: Auth): string {
  if ('clientId' in auth) return auth.clientId;
  return auth.kind === 'profile' ? `profile ${auth.profile}` : `pat ${shortFingerprint(sha256(auth.token))}`;
}

/** A profile's own host is known to the CLI only; there the file stands for it. */
function workspaceOf(auth: Auth): string {
  if (auth.kind !== 'profile') return addressOf(auth);
  const { configFile, host, workspaceId } = auth;
  if (host !== undefined) return addressOf({ host, workspaceId });
  return workspaceId === undefined ? configFile : `${configFile}?o=${workspaceId}`;
}

/** Nothing else tells two people apart. Loaded here, because no other identity needs it. */
function sha256(token: Secret): string {
  return process.getBuiltinModule('node:crypto').hash('sha256', token.reveal());
}

/** Reads who mints from the environment, the way the CLI does, but refuses what the CLI would guess at. */
export function resolveIdentity(env: Environment): { readonly auth: Auth | undefined; readonly issues: ConfigIssue[] } {
  const identity = new IdentityReader(env);
  const auth = identity.resolve();
  return { auth: identity.issues.length === 0 ? auth : undefined, issues: identity.issues };
}

class IdentityReader {
  readonly #env: Environment;
  readonly issues: ConfigIssue[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  resolve(): Auth | undefined {
    const kind = this.#choose();
    if (kind === 'profile') {
      const workspace = this.#has('DATABRICKS_HOST')
        ? this.#workspace()
        : { host: undefined, workspaceId: this.#workspaceId() };
      const [configFile, profile] = [this.#configFile(), this.#word('DATABRICKS_CONFIG_PROFILE', kind)];
      return { kind, ...workspace, configFile, profile };
    }
    const workspace = this.#workspace();
    if (kind === undefined) return undefined;
    if (kind === 'pat') return { kind, ...workspace, token: this.#secret('DATABRICKS_TOKEN', kind) };
    const clientId = this.#word('DATABRICKS_CLIENT_ID', kind);
    return kind === 'file-oidc'
      ? { kind, ...workspace, clientId, tokenFile: this.#path('DATABRICKS_OIDC_TOKEN_FILEPATH', kind) }
      : { kind, ...workspace, clientId, secret: this.#clientSecret(kind) };
  }

  #choose(): Kind | undefined {
    const chosen = read(this.#env, 'DATABRICKS_AUTH_TYPE');
    if (chosen !== undefined) {
      const kind = AUTH_TYPES.find((type) => type === chosen);
      if (kind === undefined) this.#report('DATABRICKS_AUTH_TYPE', `must be one of ${AUTH_TYPES.join(', ')}`);
      return kind;
    }
    const found: Kind[] = [];
    if (this.#has('DATABRICKS_OIDC_TOKEN_FILEPATH')) found.push('file-oidc');
    if (this.#has('DATABRICKS_CLIENT_SECRET') || this.#has('DATABRICKS_CLIENT_SECRET_FILE')) found.push('oauth-m2m');
    if (this.#has('DATABRICKS_CONFIG_PROFILE')) found.push('profile');
    if (found.length > 1) {
      const types = found.filter((kind) => kind !== 'profile').join(' or ');
      const names = found.map((kind) => KINDS[kind]).join(' and ');
      this.#report(
        'DATABRICKS_AUTH_TYPE',
        `is missing: there is more than one identity, ${names}; set it to ${types}, or unset the variables of the other identity`,
      );
    }
    if (found.length === 0) {
      this.#report(
        '',
        `no identity to mint with: set the variables of one of these: ${Object.values(KINDS).join('; ')}`,
      );
    }
    return found.length === 1 ? found[0] : undefined;
  }

  #clientSecret(kind: Kind): SecretSource {
    if (!this.#has('DATABRICKS_CLIENT_SECRET_FILE')) {
      return { value: this.#secret('DATABRICKS_CLIENT_SECRET', kind) };
    }
    if (this.#has('DATABRICKS_CLIENT_SECRET')) {
      this.#report(
        'DATABRICKS_CLIENT_SECRET_FILE',
        'cannot be used together with DATABRICKS_CLIENT_SECRET: keep one of them',
      );
    }
    return { file: this.#path('DATABRICKS_CLIENT_SECRET_FILE', kind) };
  }

  /** The child has another HOME, so the default of the CLI is looked up here. */
  #configFile(): string {
    const given = readOrDefault(this.#env, 'DATABRICKS_CONFIG_FILE') ?? '';
    if (!given.startsWith('~/')) return this.#path('DATABRICKS_CONFIG_FILE', 'profile');
    const home = read(this.#env, 'HOME');
    if (home === undefined) this.#report('DATABRICKS_CONFIG_FILE', 'must be an absolute path, because HOME is not set');
    return posix.join(fromHere(home ?? '/'), given.slice(2));
  }

  #workspace(): Workspace {
    const given = read(this.#env, 'DATABRICKS_HOST');
    const workspace = given === undefined ? undefined : parseAddress(given);
    if (workspace !== undefined) return this.#numbered(workspace);
    const allowed =
      'https://my.cloud.databricks.com, without user, path and query; only /?o= and the number of the workspace may follow';
    this.#report(
      'DATABRICKS_HOST',
      given === undefined
        ? 'is missing: every identity except a profile needs it'
        : `must be an https URL or a host name, such as ${allowed}`,
    );
    return { host: '' };
  }

  #numbered({ host, workspaceId: inAddress }: Workspace): Workspace {
    const workspaceId = this.#workspaceId() ?? inAddress;
    if (inAddress !== undefined && workspaceId !== inAddress)
      this.#report('DATABRICKS_WORKSPACE_ID', 'names a different workspace than DATABRICKS_HOST: remove one of them');
    return { host, workspaceId };
  }

  #workspaceId(): string | undefined {
    const id = read(this.#env, 'DATABRICKS_WORKSPACE_ID');
    if (id === undefined || WORKSPACE_ID.test(id)) return id;
    this.#report('DATABRICKS_WORKSPACE_ID', 'must be the number of a workspace');
    return undefined;
  }

  #path(name: VariableName, kind: Kind): string {
    const path = this.#need(name, kind);
    if (path !== '' && (!path.startsWith('/') || CONTROLS.test(path))) this.#report(name, 'must be an absolute path');
    return path;
  }

  #word(name: VariableName, kind: Kind): string {
    const word = this.#need(name, kind);
    if (WHITE_OR_CONTROL.test(word)) this.#report(name, 'must not contain white space or control characters');
    this.#refuseQuotes(name, word);
    return word;
  }

  #secret(name: VariableName, kind: Kind): Secret {
    const text = this.#need(name, kind).trim();
    this.#refuseQuotes(name, text);
    return new Secret(text);
  }

  /** Otherwise the workspace refuses it, and the advice is to create a new secret. */
  #refuseQuotes(name: VariableName, value: string): void {
    if (isInQuotes(value)) this.#report(name, 'must not be in quotes');
  }

  #need(name: VariableName, kind: Kind): string {
    const value = read(this.#env, name);
    if (value?.trim()) return value;
    const profile = this.#has('DATABRICKS_CONFIG_PROFILE')
      ? '; a profile is used only if DATABRICKS_AUTH_TYPE is not set'
      : '';
    this.#report(name, `is missing: needed by ${KINDS[kind]}${profile}`);
    return '';
  }

  #has(name: VariableName): boolean {
    return read(this.#env, name) !== undefined;
  }

  #report(path: VariableName | '', message: string): void {
    this.issues.push({ path, message });
  }
}

/**
 * `https://` is added as the CLI does; `http://` stays only as it was given. Undefined if it is more than an origin and, where
 * that serves several workspaces, the number of one.
 */
function parseAddress(given: string): Workspace | undefined {
  const [numbered, workspaceId] = NUMBERED.exec(given) ?? [''];
  const rest = given.slice(0, given.length - numbered.length);
  const url = IN_NO_ORIGIN.test(rest) ? null : URL.parse(rest.includes('://') ? rest : `https://${rest}`);
  if (url === null || !['https:', 'http:'].includes(url.protocol) || url.pathname !== '/') return undefined;
  return { host: url.origin, workspaceId };
}
