import assert from 'node:assert/strict';
import test from 'node:test';
import { MINT_REMEDIES, type MintFailure } from '../../src/credential/failures.ts';
import { diagnose } from '../../src/minters/diagnose.ts';
import { fill, readTranscripts } from '../support/cli-transcripts.ts';

const PLACES = {
  '{host}': 'https://dbc-1.cloud.databricks.com',
  '{client-id}': '6f1c2d3e-0000-4000-8000-123456789abc',
  '{tmp}': '/var/run/secrets',
  '{cli}': '/usr/local/bin/databricks',
  '{resolver}': '10.96.0.10:53',
  '{version}': '1.26.7',
  '{uuid}': '0b1c2d3e-0000-4000-8000-123456789abc',
};

const EXPECTED: Readonly<Record<string, readonly [failure: MintFailure, message: RegExp, remedy?: RegExp]>> = {
  'file-oidc: a trailing newline in the token file is sent as it is': [
    'auth',
    /cannot read the OIDC token/,
    /newline.*if there is none, the file does not contain a token/,
  ],
  'file-oidc: expired subject token': ['auth', /OIDC token has expired/, /DATABRICKS_OIDC_TOKEN_FILEPATH/],
  'file-oidc: token file missing': ['auth', /OIDC token file does not exist/, /mount/],
  'profile that does not exist': ['auth', /profile/, /DATABRICKS_CONFIG_PROFILE/],
  '--ttl below the floor': ['unknown', /refused the ttl/, /limits that the service names/],
  '--ttl not in seconds': ['unknown', /refused the ttl/, /limits that the service names/],
  'Provisioned instance that does not exist': ['not_found', /no such endpoint or instance/],
  'wrong client secret': ['auth', /refused the client id or its secret/, /DATABRICKS_CLIENT_ID/],
  'endpoint not found': ['not_found', /no such endpoint or instance/],
  'no permission': ['permission', /may not use this endpoint/],
  'no identity at all': ['auth', /found no identity/, /DATABRICKS_CLIENT_ID/],
  'no host': ['auth', /found no identity/, /DATABRICKS_HOST/],
  'two identities and no auth type': [
    'auth',
    /more than one identity/,
    /auth_type in the profile.*DATABRICKS_AUTH_TYPE/,
  ],
  'client id and oidc file without auth type': [
    'auth',
    /more than one identity/,
    /auth_type in the profile.*DATABRICKS_AUTH_TYPE/,
  ],
  'endpoint left out': ['unknown', /does not know the command/, /1\.7\.0/],
  'unknown flag': ['unknown', /does not know the command/, /1\.7\.0/],
  'HTTP 400 on minting': ['unknown', /CLI failed/],
  'HTTP 401 on minting': ['auth', /did not accept the access token/, /active in this workspace.*DATABRICKS_TOKEN/],
  'HTTP 500 on minting': ['unknown', /CLI failed/],
  'HTTP 502 HTML page on minting': ['bad_response', /a gateway answered/, /until it answers/],
  'HTTP 200 HTML page on minting': ['bad_response', /not the API/],
  'broken JSON answered': ['bad_response', /not the API/],
  'HTTP 403 at the token endpoint': ['auth', /network address/, /IP access list/],
  'HTTP 500 at the token endpoint': ['unknown', /CLI failed/],
  'connection reset on minting, ended by SIGTERM after 6 s': ['network', /connection to the workspace failed/],
  'host name that does not resolve': ['network', /does not resolve/, /DATABRICKS_HOST/],
};

/** The CLI ends each error with it that the workspace answers with 403. */
const ADVICE_AT_403 =
  '\nHost:      https://h\nAuth type: Personal Access Token (pat)\n\nNext steps:\n  - Verify you have the required permissions for this operation\n  - Check your identity: databricks auth describe\n';

const failing = readTranscripts().filter(({ exitCode }) => exitCode === 1);

test('every failure that was recorded is expected here, and no other', () => {
  assert.deepEqual(failing.map(({ name }) => name).sort(), Object.keys(EXPECTED).sort());
});

for (const { name, stderr } of failing) {
  const [failure, message, remedy] = EXPECTED[name] ?? [];
  test(`"${name}" is told as ${failure}`, () => {
    const diagnosis = diagnose(fill(stderr, PLACES));
    assert.equal(diagnosis.failure, failure);
    assert.match(diagnosis.message, message!);
    if (remedy !== undefined) assert.match(diagnosis.remedy ?? MINT_REMEDIES[diagnosis.failure], remedy);
  });
}

for (const [stderr, failure, message] of [
  ['Error: unknown flag: --ttl\n\nUsage:\n', 'unknown', /does not know --ttl/],
  ['Error: unknown command "postgres" for "databricks"', 'unknown', /does not know the command/],
  [
    'Error: Get "https://h/oidc": tls: failed to verify certificate: x509: certificate signed by unknown authority',
    'network',
    /certificate/,
  ],
  [
    'Error: Get "https://h/oidc": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2020-01-01T00:00:00Z is before 2026-01-01T00:00:00Z',
    'network',
    /according to the clock of this machine, .* is not valid/,
  ],
  ...[
    `Credential was not sent or was of an unsupported type for this API.\n${ADVICE_AT_403}`,
    'personal access token (PAT) auth on this host requires a workspace_id; PATs are workspace-scoped, but no workspace_id is set.',
    'profile "sp" has no workspace_id set (account-only); this command requires a workspace.',
  ].map((words) => [`Error: ${words}`, 'auth', /none of them is selected/] as const),
  // cmd/root/auth.go and libs/auth/error.go of the CLI's v1.13.0: such a host serves no workspace, whatever follows it.
  ...[
    'invalid Databricks Workspace configuration - host is not a workspace host',
    'profile "sp" points to a Databricks account console host (https://accounts.cloud.databricks.com), which serves only account-level APIs; this command requires a workspace.',
    `Credential was not sent or was of an unsupported type for this API.\n${ADVICE_AT_403}\nNote: this configuration points to a Databricks account console host (https://accounts.cloud.databricks.com), which serves only account-level APIs.\nWorkspace commands need a workspace host`,
    'received HTML response instead of JSON\n\nNote: this configuration points to a Databricks account console host (https://accounts.cloud.databricks.com), which serves only account-level APIs.',
  ].map((words) => [`Error: ${words}`, 'auth', /account console/] as const),
  // acceptance/genie/ask-endpoint-gone of the same; the other is what a workspace answers in apache/airflow issue 60444.
  ["Error: No API found for 'POST /postgres/credentials'", 'not_found', /does not have the Lakebase API/],
  ['Error: Bad Target: /api/2.0/database/credentials', 'not_found', /does not have the Lakebase API/],
  ...[
    'Get "https://h/oidc": remote error: tls: handshake failure',
    'Get "https://h/oidc": proxyconnect tcp: remote error: tls: protocol version not supported',
    'Get "https://h/oidc": tls: server selected unsupported protocol version 302',
    'Get "https://h/oidc": tls: failed to verify certificate: tls: no FIPS compatible certificate chains found',
  ].map((words) => [`Error: ${words}`, 'network', /no TLS version or cipher in common/] as const),
  [
    'Error: Get "https://h/oidc": proxyconnect tcp: tls: first record does not look like a TLS handshake',
    'network',
    /proxy, does not speak TLS/,
  ],
  ['Error: Get "https://h/oidc": http: server gave HTTP response to HTTPS client', 'network', /does not speak TLS/],
  ['Error: Get "https://h/": net/http: TLS handshake timeout', 'network', /certificate|connection/],
  ['Error: Get "https://h/": dial tcp 10.0.0.1:443: connect: connection refused', 'network', /connection/],
  ['Error: Get "https://h/": dial tcp: lookup h on 10.0.0.1:53: server misbehaving', 'network', /connection/],
  [
    'Error: Get "https://h/": read tcp 10.0.0.1:1->10.0.0.2:443: read: connection reset by peer',
    'network',
    /connection/,
  ],
  ['Error: Post "https://h/": proxyconnect tcp: EOF', 'network', /connection/],
  ['Error: Get "https://h/": dial tcp: lookup h on 10.0.0.1:53: no such host', 'network', /name of the workspace/],
  // Measured with net/http of Go: it makes these hosts of an address that is misspelled, in quotes, or followed by a space.
  ...['prxy on 10.0.0.1:53', '"http', 'http on 10.0.0.1:53'].map(
    (host) =>
      [
        `Error: Get "https://h/oidc": proxyconnect tcp: dial tcp: lookup ${host}: no such host`,
        'network',
        /name of the proxy does not resolve/,
      ] as const,
  ),
  // Go's own: `OpError` of net, and what golang.org/x/net/http2, which the SDK asks for, says of a connection that is lost.
  ...[
    'read tcp 10.0.0.1:1->10.0.0.2:443: read: connection timed out',
    'write tcp 10.0.0.1:1->10.0.0.2:443: write: broken pipe',
    'http2: client connection lost',
    'http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=""',
    'stream error: stream ID 1; INTERNAL_ERROR; received from peer',
  ].map((words) => [`Error: Post "https://h/api": ${words}`, 'network', /connection to the workspace failed/] as const),
  // While it logs in, the CLI ends the sentence and goes on with its settings.
  [
    'Error: oauth-m2m auth: oidc: failed to get OAuth endpoints: Get "https://h/oidc": EOF. Config: host=https://h',
    'network',
    /connection/,
  ],
  ['Error: file-oidc auth: file "/var/run/t" is empty. Config: host=h', 'auth', /OIDC token file is empty/],
  ['Error: file-oidc auth: open /var/run/t: permission denied. Config: host=h', 'auth', /cannot be read/],
  [
    'Error: file-oidc auth: Post "h": {"error":"invalid_grant","error_description":"no federation policy matches"}',
    'auth',
    /refused the OIDC token/,
  ],
  // No recording of Databricks has it, so its exact words are nothing to rely on.
  [
    'Error: file-oidc auth: Post "h": {"error":"invalid_grant","error_description":"Failed to process token: TOKEN_EXPIRED"}',
    'auth',
    /OIDC token has expired/,
  ],
  // As it was measured in workload-identity/databricks-service-principal-operator (docs/measured.md).
  [
    `Error: file-oidc auth: Post "h": {"error":"invalid_grant","error_description":"Failed to process token: TOKEN_AUDIENCE_INVALID (Token audience 'https://kubernetes.default.svc' invalid)"}`,
    'auth',
    /refused the OIDC token/,
  ],
  [
    'Error: error getting token: Post "h": {"error":"unauthorized_client","error_description":"no"}',
    'auth',
    /did not accept this identity/,
  ],
  // The one of pip, databricks-cli 0.18.
  [
    "Usage: databricks [OPTIONS] COMMAND [ARGS]...\nTry 'databricks --help' for help.\n\nError: No such command 'postgres'.\n",
    'unknown',
    /deprecated.*pip/,
  ],
  // What `databricks auth login` keeps is not in the home that the CLI is given. From CLI 1.0.0 on it says so in other
  // words (libs/auth/storage/not_found_hint.go, and acceptance/cmd/auth/describe/u2m-plaintext-config, at v1.13.0).
  ...[
    'token not found',
    'no cached credentials; run `databricks auth login` to sign in',
    'stored credentials from older CLI versions are no longer used; run `databricks auth login` to sign in again',
  ].map((words) => [`Error: error getting token: cache: ${words}`, 'auth', /uses the login of a person/] as const),
  // The auth_type of a profile: one for which the profile lacks something, one that does not exist (config/config.go and
  // config/auth_default.go of databricks-sdk-go v0.175.0), and one that runs `az` (config/auth_azure_cli.go).
  ...[
    'oauth-m2m auth: not configured. Config: host=https://h, profile=sp, client_id=c',
    'file-oidc auth: missing path. Config: host=https://h, profile=sp, client_id=c',
    'pat auth: token is required. Config: host=https://h, profile=sp',
    'default auth: auth type "oauth-m2n" not found, please check https://docs.databricks.com/en/dev-tools/auth.html for a list of supported auth types. Config: profile=sp',
  ].map((words) => [`Error: ${words}`, 'auth', /found no identity/] as const),
  ...[
    "azure-cli auth: cannot get access token: ERROR: Please run 'az login' to setup account.\n. Config: profile=me",
    'azure-cli auth: not configured. Config: host=https://h, profile=me',
  ].map((words) => [`Error: ${words}`, 'auth', /uses the login of a person/] as const),
  ...['Proxy Authentication Required', 'Forbidden', 'Bad Gateway', 'Service Unavailable', 'Gateway Timeout'].map(
    (status) =>
      [
        `Error: oauth-m2m auth: oidc: failed to get OAuth endpoints: Get "https://h/oidc": ${status}. Config: host=https://h`,
        'network',
        /a proxy, or something else in front of the workspace/,
      ] as const,
  ),
  ['Error: Post "https://h/api": request timed out after 1m0s of inactivity', 'network', /connection/],
  [
    'Error: oauth-m2m auth: oidc: databricks OAuth is not supported for this host. Config: host=https://h',
    'bad_response',
    /not the API/,
  ],
  ['Error: Bad Gateway\n', 'bad_response', /a gateway answered/],
  // databricks-sdk-go issue 1072. Only in the API is 503 retried; who issues tokens is asked once (config/azure.go, v0.175.0).
  [
    'Error: error getting token: Post "https://h/oidc/v1/token": {"message":"The service at /oidc/v1/token is temporarily unavailable. Please try again later. [TraceId: -]","error_code":"TEMPORARILY_UNAVAILABLE"}',
    'bad_response',
    /a gateway answered/,
  ],
  // The words by which the SDK knows throttling (config/config.go, v0.175.0); and its minute for each token (`sleep` in
  // experimental/api/api.go), which also ends in vain where nobody answers.
  ...[
    'error getting token: Post "https://h/oidc/v1/token": {"error":"invalid_request","error_description":"Temporarily throttled, too many requests"}',
    'file-oidc auth: Post "https://h/oidc/v1/token": {"error":"invalid_request","error_description":"Temporarily throttled, too many requests"}. Config: host=https://h',
    'oauth-m2m auth: oidc: failed to get OAuth endpoints: Rate limit exceeded. Config: host=https://h',
    'Too Many Requests',
    'error getting token: context deadline exceeded',
    'file-oidc auth: context deadline exceeded. Config: host=https://h',
    'error getting token: Post "https://h/oidc/v1/token": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
  ].map((words) => [`Error: ${words}`, 'timeout', /throttles logins, or did not answer/] as const),
  [`Error: Invalid access token. [ReqId: 1f]\n${ADVICE_AT_403}`, 'auth', /did not accept the access token/],
  [`Error: JWT has expired\n${ADVICE_AT_403}`, 'auth', /did not accept the access token/],
  [
    `Error: The requested workspace has AWS PrivateLink enabled and is not accessible from the current network. Ensure that AWS PrivateLink is properly configured and that your device has access to the AWS VPC endpoint. For more information, see https://d/privatelink.html.\n${ADVICE_AT_403}`,
    'auth',
    /network address/,
  ],
  [`Error: Unauthorized network access to workspace: 12345\n${ADVICE_AT_403}`, 'auth', /network address/],
  [`Error: Invalid access to Org: 12345\n${ADVICE_AT_403}`, 'auth', /did not accept the access token/],
  [`Error: Forbidden\n${ADVICE_AT_403}`, 'permission', /may not use/],
  ['Error: boom', 'unknown', /CLI failed/],
  ['', 'unknown', /CLI failed/],
] as const) {
  test(`told as ${failure}: ${stderr.split('\n')[0] ?? ''}`, () => {
    const diagnosis = diagnose(stderr);
    assert.equal(diagnosis.failure, failure);
    assert.match(diagnosis.message, message);
  });
}

/** Words that stand alone in no recording: an older or newer CLI, a proxy or a gateway may leave out the rest. */
const ALONE: readonly (readonly [message: RegExp, words: readonly string[]])[] = [
  [/refused the ttl/, ['ttl must be between 300s and 3600s', 'invalid ttl']],
  [/no TLS version or cipher in common/, ['remote error: tls: insufficient security level']],
  [/certificate of the workspace was not/, ['x509: unknown authority', 'remote error: tls: unknown certificate']],
  [
    /connection to the workspace failed/,
    [
      'socks connect tcp p:1080->h:443: unknown error connection refused', // golang.org/x/net/internal/socks
      'connection reset by peer',
      'i/o timeout',
      'connect: network is unreachable',
      'unexpected EOF',
    ],
  ],
  [/throttles logins/, ['Temporarily throttled', 'request limit exceeded']],
  [
    /OIDC token file cannot be read/,
    ['file-oidc auth: read /t: is a directory', 'file-oidc auth: open /t: no such file'],
  ],
  [
    /refused the OIDC token/,
    [
      'no federation policy matches',
      ...['invalid_grant', 'invalid_request', 'invalid_client', 'access_denied', 'audience', 'issuer', 'subject'].map(
        (word) => `file-oidc auth: Post "h": ${word}`,
      ),
    ],
  ],
  [/does not allow this network address/, ['blocked by IP ACL', 'not in the IP access list']],
  [
    /profile cannot be read/,
    [
      'cannot load config file',
      'cannot parse config file',
      'cannot read /home/app/.databrickscfg',
      '/home/app/cfg has no sp profile configured',
      'resolve: sp',
    ],
  ],
  [/did not accept this identity/, ['invalid_grant', 'access_denied']],
  [/none of them is selected/, ['missing workspace_id']],
  [/may not use this endpoint/, ['PERMISSION_DENIED', 'not authorized to mint']],
  [
    /did not accept the access token/,
    [
      ...['service principal', 'personal access token', 'identity'].map((what) => `Check your ${what}`),
      'token is revoked',
      'Unauthenticated',
    ],
  ],
  [
    /a gateway answered/,
    ['Gateway Timeout', 'Gateway Time-out', 'Service Unavailable', 'Service Temporarily Unavailable'].flatMap(
      (status) => [status, `<HTML><h1>\n${status}</h1>`],
    ),
  ],
  [/is not the API/, ['<html>', 'received html response']],
  [/no such endpoint or instance/, ['endpoint not found', 'RESOURCE_DOES_NOT_EXIST']],
];

test('words that tell a failure do so by themselves', () => {
  for (const [message, texts] of ALONE)
    for (const words of texts) assert.match(diagnose(`Error: ${words}`).message, message, words);
});

test('names that users choose decide nothing', () => {
  for (const word of [
    'certificate',
    'tls',
    'federation',
    'policy-engine',
    'x509',
    'not-found',
    'eof',
    'proxyconnect',
    'expired',
  ]) {
    const endpoint = `projects/${word}/branches/${word}/endpoints/${word}`;
    assert.equal(diagnose(`Error: endpoint ${endpoint} does not exist\n`).failure, 'not_found', word);
    assert.equal(diagnose(`Error: User does not have CAN_USE on ${endpoint}\n`).failure, 'permission', word);
    const config = `Config: host=https://${word}.example.com, databricks_id_token_filepath=/run/${word}/token. Env: X`;
    const { message } = diagnose(`Error: file-oidc auth: file "/run/x" does not exist. ${config}\n`);
    assert.match(message, /file does not exist/, word);
    const missing = diagnose(`Error: file-oidc auth: file "/run/${word}/token" does not exist\n`);
    assert.match(missing.message, /file does not exist/, word);
    const policy = `Valid federation policy for provided token: {subject: 'system:serviceaccount:${word}:${word}'}`;
    const unknown = diagnose(`Error: file-oidc auth: Post "https://h": {"error":"invalid_grant","x":"${policy}"}`);
    assert.match(unknown.message, /refused the OIDC token/, word);
    const refused = `Error: error getting token: Post "https://${word}.example.com/oidc/v1/token": {"error":"invalid_client"}`;
    assert.match(diagnose(refused).message, /refused the client id/, word);
  }
});

test('messages and remedies begin in lower case and say nothing of the words of the CLI', () => {
  for (const { stderr } of failing) {
    const { message, remedy = 'x' } = diagnose(`${stderr} canary`);
    assert.match(message, /^[a-z]/);
    assert.match(remedy, /^[a-z]/);
    assert.doesNotMatch(message + remedy, /canary|\n|\{/);
  }
});

test('long and hostile words are told in no time', () => {
  for (const words of ['<html', 'file-oidc auth: file ', 'proxyconnect tcp: dial tcp: lookup ']) {
    const start = performance.now();
    diagnose(words.repeat(100_000));
    const tookMs = performance.now() - start;
    assert.ok(tookMs < 1_000, `${words} took ${Math.round(tookMs)} ms`);
  }
});
