import type { MintFailure } from '../credential/failures.ts';

export interface Diagnosis {
  readonly failure: MintFailure;
  /** Lower case, in our own words. */
  readonly message: string;
  /** Where something more exact can be said than for the failure in general. */
  readonly remedy?: string;
}

interface Rule extends Diagnosis {
  readonly pattern: RegExp;
}

const TOKEN_REFUSED: Diagnosis = {
  failure: 'auth',
  message: 'the workspace did not accept the access token',
  remedy: 'check that the identity is active in this workspace; a DATABRICKS_TOKEN may have expired or been revoked',
};

/**
 * What the words of the CLI mean. It exits with 1 whatever happened and prints neither HTTP status nor error code, so
 * the text is all there is; what says nothing stays `unknown`. The first rule that matches counts.
 */
export const RULES: readonly Rule[] = [
  {
    pattern: /unknown flag: --ttl/,
    failure: 'unknown',
    message: 'this Databricks CLI does not know --ttl',
    remedy: 'install Databricks CLI 1.7.0 or newer, or remove the ttl',
  },
  {
    pattern: /No such command/,
    failure: 'unknown',
    message: 'this is the deprecated CLI from pip (databricks-cli), or another program',
    remedy:
      'install the Databricks CLI, and put its directory first on the PATH, or set minter.cli.command to its path',
  },
  {
    pattern: /unknown command|unknown flag|accepts \d+ arg/,
    failure: 'unknown',
    message: 'this Databricks CLI does not know the command',
    remedy: 'install Databricks CLI 1.7.0 or newer',
  },
  {
    pattern: /ttl must be between|invalid TTL/i,
    failure: 'unknown',
    message: 'the service refused the ttl',
    // Any other than from 5m to 1h is refused before, so it has limits of its own.
    remedy:
      'set a ttl within the limits that the service names in its message, which `check` prints and the log has as `detail`, or remove the ttl',
  },
  {
    pattern: /proxyconnect tcp: dial tcp: lookup .*no such host/,
    failure: 'network',
    message: 'the name of the proxy does not resolve',
    remedy: 'check HTTPS_PROXY, which must be an address such as http://proxy.example:3128, without quotes or spaces',
  },
  {
    pattern: /no such host/,
    failure: 'network',
    message: 'the name of the workspace does not resolve',
    remedy: 'check DATABRICKS_HOST and the name resolution of this network',
  },
  {
    pattern: /x509: certificate has expired or is not yet valid/,
    failure: 'network',
    message: 'according to the clock of this machine, the certificate of the workspace is not valid',
    remedy: 'check the clock of this machine, and how long the certificate of DATABRICKS_HOST or of a proxy is valid',
  },
  {
    pattern: /first record does not look like a TLS handshake|server gave HTTP response to HTTPS client/,
    failure: 'network',
    message: 'the server at the address of the workspace, or a proxy, does not speak TLS',
    remedy: 'check DATABRICKS_HOST; begin the address in HTTPS_PROXY with http://, unless the proxy itself accepts TLS',
  },
  {
    pattern:
      /remote error: tls: (?:handshake failure|insufficient security|protocol version)|unsupported protocol version|no FIPS compatible/,
    failure: 'network',
    message:
      'the CLI and the server at the address of the workspace, or a proxy, have no TLS version or cipher in common',
    remedy:
      'make the proxy, or whatever is in front of the workspace, offer TLS 1.2 or newer as FIPS 140-3 approves it, which the CLI requires since 1.13.0; or set GODEBUG=fips140=off',
  },
  {
    pattern: /x509:|tls: /,
    failure: 'network',
    message: 'the certificate of the workspace was not accepted',
    remedy: 'check DATABRICKS_HOST; behind a proxy that intercepts TLS, set SSL_CERT_FILE to its certificate',
  },
  {
    // Where a proxy refuses to connect, its status is all that Go has to say.
    pattern: /": (?:Proxy Authentication Required|Forbidden|Bad Gateway|Service Unavailable|Gateway Time-?out)\b/i,
    failure: 'network',
    message: 'a proxy, or something else in front of the workspace, refused the connection',
    remedy:
      'check HTTPS_PROXY, with user and password if the proxy requires them, and whether the proxy allows this machine to reach DATABRICKS_HOST',
  },
  {
    pattern:
      /(?:dial|read|write) tcp|http2: |stream error: |TLS handshake timeout|connection re(?:fused|set)|i\/o timeout|timed out after|network is unreachable|proxyconnect|: (?:unexpected )?EOF\.?\s*$/m,
    failure: 'network',
    message: 'the connection to the workspace failed',
  },
  {
    // In the SDK's own words. That minute is for a login; for the rest of a mint the CLI has five.
    pattern: /Temporarily throttled|too many requests|request limit exceeded|rate limit|context deadline exceeded/i,
    failure: 'timeout',
    message: 'the workspace throttles logins, or did not answer one within the minute that the CLI waits',
  },
  {
    pattern: /subject_token is not a JWT/,
    failure: 'auth',
    message: 'the workspace cannot read the OIDC token',
    remedy:
      'remove the trailing newline from the file that DATABRICKS_OIDC_TOKEN_FILEPATH names, because the CLI sends it, too; if there is none, the file does not contain a token',
  },
  {
    pattern: /file-oidc auth: Post .*[ _]expired/i,
    failure: 'auth',
    message: 'the OIDC token has expired',
    remedy:
      'find out why the file that DATABRICKS_OIDC_TOKEN_FILEPATH names is not renewed (a subPath mount never changes)',
  },
  {
    pattern: /file-oidc auth: file .* does not exist/,
    failure: 'auth',
    message: 'the OIDC token file does not exist',
    remedy: 'mount the projected service-account token, and set DATABRICKS_OIDC_TOKEN_FILEPATH to its path',
  },
  {
    pattern: /file-oidc auth: file .* is empty/,
    failure: 'auth',
    message: 'the OIDC token file is empty',
    remedy: 'set DATABRICKS_OIDC_TOKEN_FILEPATH to the path of the projected service-account token',
  },
  {
    pattern: /file-oidc auth: .*(?:permission denied|is a directory|no such file)/,
    failure: 'auth',
    message: 'the OIDC token file cannot be read',
    remedy: 'set DATABRICKS_OIDC_TOKEN_FILEPATH to the path of a file that the user the sidecar runs as can read',
  },
  {
    pattern:
      /federation policy|file-oidc auth: .*(?:invalid_grant|invalid_request|invalid_client|access_denied|audience|issuer|subject)/,
    failure: 'auth',
    message: 'the workspace refused the OIDC token',
    remedy:
      'check DATABRICKS_CLIENT_ID, and give it a federation policy with this token’s issuer, subject and audience, which `check` shows',
  },
  {
    pattern: /IP address|IP ACL|ip access list|network access to workspace|not accessible from the current network/i,
    failure: 'auth',
    message: 'the workspace does not allow this network address',
    remedy: 'add the egress address of this network to the IP access list of the workspace, or use its private link',
  },
  {
    pattern: /invalid_client/,
    failure: 'auth',
    message: 'the workspace refused the client id or its secret',
    remedy: 'check DATABRICKS_CLIENT_ID, and create a new OAuth secret if the current one was revoked or has expired',
  },
  {
    pattern: /has no .* profile configured|cannot (?:load|parse|read) .*(?:config|\.databrickscfg)|resolve: /,
    failure: 'auth',
    message: 'the profile cannot be read',
    remedy: 'check DATABRICKS_CONFIG_FILE and DATABRICKS_CONFIG_PROFILE',
  },
  {
    // It is in the keyring or the home of that person; the CLI is given a home of its own.
    pattern: /cache: (?:token not found|no cached credentials|stored credentials)|azure-cli auth: /,
    failure: 'auth',
    message:
      'the profile uses the login of a person, such as from `databricks auth login`, which the sidecar cannot use',
    remedy: 'use a profile with the client id and the secret of a service principal',
  },
  {
    // Of a profile without auth_type it tries all ways to log in, and tells of none why it failed.
    pattern: /cannot configure default|auth: (?:not configured|missing path|token is required)|auth type .* not found/,
    failure: 'auth',
    message: 'the CLI found no identity to log in with, or none that works',
    remedy:
      'set DATABRICKS_HOST, and DATABRICKS_CLIENT_ID with an OIDC token file or a client secret; or put auth_type = oauth-m2m into the profile, so that the CLI says why it cannot log in',
  },
  {
    pattern: /more than one authorization method/,
    failure: 'auth',
    message: 'the CLI found more than one identity',
    remedy: 'keep only one identity, or choose one: with auth_type in the profile, or with DATABRICKS_AUTH_TYPE',
  },
  {
    pattern: /invalid_grant|access_denied|unauthorized_client/,
    failure: 'auth',
    message: 'the workspace did not accept this identity',
  },
  {
    pattern: /host is not a workspace host|account console host/,
    failure: 'auth',
    message: 'DATABRICKS_HOST is the address of an account console, not of a workspace',
    remedy: 'set DATABRICKS_HOST, or host in the profile, to the address of the workspace itself',
  },
  {
    pattern: /Credential was not sent|requires a workspace_id|no workspace_id set|missing workspace_id/,
    failure: 'auth',
    message: 'DATABRICKS_HOST serves several workspaces, and none of them is selected',
    remedy: 'append /?o= and the number of the workspace to DATABRICKS_HOST, or put workspace_id into the profile',
  },
  // A 403, as a lack of permissions is, at which the CLI goes on about these.
  { pattern: /Invalid access token|JWT has expired|access to Org\b/i, ...TOKEN_REFUSED },
  {
    pattern: /required permissions|does not have |PERMISSION_DENIED|not authorized/i,
    failure: 'permission',
    message: 'the service principal may not use this endpoint or instance',
  },
  {
    pattern: /Check your (?:service principal|personal access token|identity)|is revoked|Unauthenticated/i,
    ...TOKEN_REFUSED,
  },
  {
    // Of an answer without a body the CLI shows what its status means.
    pattern:
      /(?:<html[^]*|^Error: )(?:Bad Gateway|Gateway Time-?out|Service (?:Temporarily )?Unavailable)|is temporarily unavailable/im,
    failure: 'bad_response',
    message: 'a gateway answered instead of the workspace, which it could not reach',
    remedy:
      'if the workspace is down, nothing: minting is retried until it answers; otherwise check DATABRICKS_HOST and proxies',
  },
  {
    pattern: /failed to unmarshal|received HTML response|<html|OAuth is not supported for this host/i,
    failure: 'bad_response',
    message: 'the workspace answered with something that is not the API',
  },
  {
    pattern: /No API found for|Bad Target: /,
    failure: 'not_found',
    message: 'the workspace does not have the Lakebase API, or only the one for the other kind of Lakebase',
    remedy: 'check that its region offers Lakebase: Autoscaling for an endpoint, Provisioned for an instance',
  },
  {
    pattern: /does not exist|not found|RESOURCE_DOES_NOT_EXIST/i,
    failure: 'not_found',
    message: 'there is no such endpoint or instance',
  },
];
