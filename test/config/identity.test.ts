import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Environment } from '../../src/config/environment.ts';
import { identityOf, isSentInClear, resolveIdentity } from '../../src/config/identity.ts';
import type { Auth } from '../../src/credential/auth.ts';

const HOST = { DATABRICKS_HOST: 'https://workspace.example' };
const CLIENT = { ...HOST, DATABRICKS_CLIENT_ID: 'client-1' };
const OIDC = { ...CLIENT, DATABRICKS_OIDC_TOKEN_FILEPATH: '/var/run/token' };
const PROFILE = { DATABRICKS_CONFIG_FILE: '/etc/databrickscfg', DATABRICKS_CONFIG_PROFILE: 'sp' };

function resolved(env: Environment): Auth {
  const { auth, issues } = resolveIdentity(env);
  assert.deepEqual(issues, []);
  assert.ok(auth);
  return auth;
}

function refused(env: Environment): string {
  const { auth, issues } = resolveIdentity(env);
  assert.equal(auth, undefined);
  assert.notEqual(issues.length, 0);
  return issues.map(({ path, message }) => `${path}: ${message}`).join('\n');
}

test('a client id and a token file are workload identity, with and without the auth type', () => {
  const expected = {
    kind: 'file-oidc',
    host: 'https://workspace.example',
    workspaceId: undefined,
    clientId: 'client-1',
    tokenFile: '/var/run/token',
  };
  assert.deepEqual(resolved(OIDC), expected);
  assert.deepEqual(resolved({ ...OIDC, DATABRICKS_AUTH_TYPE: 'file-oidc' }), expected);
});

test('a client id and a secret are a client secret, trimmed', () => {
  for (const type of [undefined, 'oauth-m2m']) {
    const auth = resolved({ ...CLIENT, DATABRICKS_CLIENT_SECRET: 's3cret\n', DATABRICKS_AUTH_TYPE: type });
    assert.ok(auth.kind === 'oauth-m2m' && 'value' in auth.secret);
    assert.equal(auth.secret.value.reveal(), 's3cret');
  }
});

test('the client secret can stand in a file', () => {
  const auth = resolved({ ...CLIENT, DATABRICKS_CLIENT_SECRET_FILE: '/var/run/secret' });
  assert.deepEqual(auth.kind === 'oauth-m2m' && auth.secret, { file: '/var/run/secret' });
});

test('a profile needs no host, and takes one that is given', () => {
  const files = { configFile: '/etc/databrickscfg', profile: 'sp' };
  const expected = { kind: 'profile', host: undefined, workspaceId: undefined, ...files };
  assert.deepEqual(resolved(PROFILE), expected);
  assert.deepEqual(resolved({ ...PROFILE, ...HOST }), { ...expected, host: 'https://workspace.example' });
});

test('a profile is looked up in our own home where no file is named', () => {
  const configFile = (env: Environment) => {
    const auth = resolved({ DATABRICKS_CONFIG_PROFILE: 'sp', HOME: '/home/me', ...env });
    return auth.kind === 'profile' && auth.configFile;
  };
  assert.equal(configFile({}), '/home/me/.databrickscfg');
  assert.equal(configFile({ DATABRICKS_CONFIG_FILE: '~/cfg' }), '/home/me/cfg');
  assert.equal(configFile({ HOME: 'me' }), `${process.cwd()}/me/.databrickscfg`);
  assert.match(
    refused({ DATABRICKS_CONFIG_PROFILE: 'sp' }),
    /DATABRICKS_CONFIG_FILE: must be an absolute path, because HOME is not set/,
  );
});

test('a personal access token is used, trimmed, only where the auth type says so', () => {
  const token = { DATABRICKS_TOKEN: 'dapi-1\n' };
  const auth = resolved({ ...HOST, ...token, DATABRICKS_AUTH_TYPE: 'pat' });
  assert.equal(auth.kind === 'pat' && auth.token.reveal(), 'dapi-1');
  assert.equal(resolved({ ...OIDC, ...token }).kind, 'file-oidc');
  assert.match(
    refused({ ...HOST, ...token }),
    /a personal access token \(DATABRICKS_TOKEN, with DATABRICKS_AUTH_TYPE=pat\)/,
  );
});

test('two identities need a choice, and both are named', () => {
  const secret = { DATABRICKS_CLIENT_SECRET: 's3cret' };
  assert.match(
    refused({ ...OIDC, ...secret }),
    /^DATABRICKS_AUTH_TYPE: .*more than one identity, workload identity .* and a client secret .*set it to file-oidc or oauth-m2m/,
  );
  assert.match(
    refused({ ...OIDC, DATABRICKS_CLIENT_SECRET_FILE: '/var/run/secret' }),
    /more than one identity, workload identity .* and a client secret /,
  );
  assert.match(refused({ ...OIDC, ...PROFILE }), /workload identity .* and a profile .*set it to file-oidc, or unset/);
  assert.equal(resolved({ ...OIDC, ...secret, DATABRICKS_AUTH_TYPE: 'oauth-m2m' }).kind, 'oauth-m2m');
  assert.equal(resolved({ ...OIDC, ...PROFILE, DATABRICKS_AUTH_TYPE: 'file-oidc' }).kind, 'file-oidc');
});

test('no identity at all lists the four ways', () => {
  for (const env of [HOST, CLIENT, { ...HOST, DATABRICKS_CONFIG_FILE: '/cfg' }]) {
    assert.match(
      refused(env),
      /^: no identity to mint with: .*workload identity.*a client secret.*a profile.*a personal access token/,
    );
  }
});

test('what an identity lacks is named', () => {
  const { DATABRICKS_HOST: _, ...withoutHost } = OIDC;
  const { DATABRICKS_CLIENT_ID: __, ...withoutClient } = OIDC;
  const cases: [Environment, RegExp][] = [
    [withoutHost, /^DATABRICKS_HOST: is missing/],
    [withoutClient, /^DATABRICKS_CLIENT_ID: is missing: needed by workload identity \([^)]+\)$/],
    [{ ...CLIENT, DATABRICKS_AUTH_TYPE: 'file-oidc' }, /^DATABRICKS_OIDC_TOKEN_FILEPATH: is missing/],
    [
      { ...CLIENT, DATABRICKS_AUTH_TYPE: 'oauth-m2m' },
      /^DATABRICKS_CLIENT_SECRET: is missing: needed by .* or DATABRICKS_CLIENT_SECRET_FILE/,
    ],
    [{ ...HOST, DATABRICKS_AUTH_TYPE: 'pat' }, /^DATABRICKS_TOKEN: is missing/],
    [{ ...HOST, ...PROFILE, DATABRICKS_AUTH_TYPE: 'pat' }, /a profile is used only if DATABRICKS_AUTH_TYPE is not set/],
    [{ ...CLIENT, DATABRICKS_CLIENT_SECRET: ' \n' }, /^DATABRICKS_CLIENT_SECRET: is missing/],
  ];
  for (const [env, pattern] of cases) assert.match(refused(env), pattern);
});

test('a secret that is given twice is refused', () => {
  assert.match(
    refused({ ...CLIENT, DATABRICKS_CLIENT_SECRET: 'x', DATABRICKS_CLIENT_SECRET_FILE: '/x' }),
    /^DATABRICKS_CLIENT_SECRET_FILE: cannot be used together with DATABRICKS_CLIENT_SECRET/,
  );
});

test('quotes that are a part of a value are refused, because the workspace would say that the client or the secret is wrong', () => {
  const [secret, quoted] = ['s3cret', `'s3cret'`];
  const cases: [name: string, env: Environment][] = [
    ['DATABRICKS_CLIENT_ID', { ...HOST, DATABRICKS_CLIENT_ID: '"client-1"', DATABRICKS_CLIENT_SECRET: secret }],
    ['DATABRICKS_CLIENT_SECRET', { ...CLIENT, DATABRICKS_CLIENT_SECRET: `${quoted}\n` }],
    ['DATABRICKS_TOKEN', { ...HOST, DATABRICKS_AUTH_TYPE: 'pat', DATABRICKS_TOKEN: quoted }],
    ['DATABRICKS_CONFIG_PROFILE', { ...PROFILE, DATABRICKS_CONFIG_PROFILE: '"sp"' }],
  ];
  for (const [name, env] of cases) assert.equal(refused(env), `${name}: must not be in quotes`);
  resolved({ ...CLIENT, DATABRICKS_CLIENT_SECRET: `'s3cret` });
});

test('an auth type that is not supported is refused with the list', () => {
  for (const type of ['azure-cli', 'databricks-cli', 'env-oidc', 'PAT', 'profile']) {
    assert.match(
      refused({ ...OIDC, DATABRICKS_AUTH_TYPE: type }),
      /^DATABRICKS_AUTH_TYPE: must be one of file-oidc, oauth-m2m, pat$/,
    );
  }
});

test('relative paths are refused', () => {
  for (const name of ['DATABRICKS_OIDC_TOKEN_FILEPATH', 'DATABRICKS_CLIENT_SECRET_FILE']) {
    assert.match(refused({ ...CLIENT, [name]: 'run/token' }), new RegExp(`^${name}: must be an absolute path$`));
  }
  assert.match(
    refused({ ...PROFILE, DATABRICKS_CONFIG_FILE: 'cfg' }),
    /^DATABRICKS_CONFIG_FILE: must be an absolute path$/,
  );
});

test('control characters, such as the line break at the end of a file, are refused in paths and in names', () => {
  const cases: [name: string, env: Environment][] = [
    ['DATABRICKS_OIDC_TOKEN_FILEPATH', { ...OIDC, DATABRICKS_OIDC_TOKEN_FILEPATH: '/var/run/token\n' }],
    ['DATABRICKS_CLIENT_SECRET_FILE', { ...CLIENT, DATABRICKS_CLIENT_SECRET_FILE: '/var/run/secret\r' }],
    ['DATABRICKS_CONFIG_FILE', { ...PROFILE, DATABRICKS_CONFIG_FILE: '/etc/databrickscfg\n' }],
    ['DATABRICKS_CLIENT_ID', { ...OIDC, DATABRICKS_CLIENT_ID: 'client-1\u0007' }],
    ['DATABRICKS_CONFIG_PROFILE', { ...PROFILE, DATABRICKS_CONFIG_PROFILE: 'sp\n' }],
  ];
  for (const [name, env] of cases) {
    assert.match(refused(env), new RegExp(`^${name}: must (?:be an absolute path|not contain white space or control)`));
  }
});

test('what goes to the workspace in clear is told from what is encrypted, or stays on this machine', () => {
  const cases: [string, boolean][] = [
    ['workspace.example', false],
    ['https://workspace.example', false],
    ['HTTP://workspace.example', true],
    ['http://10.0.0.1:8080', true],
    ['http://localhost.example', true],
    ['http://127.0.0.1.example', true],
    ['http://localhost:8080', false],
    ['http://127.1', false],
    ['http://[::1]:80', false],
  ];
  for (const [host, isInClear] of cases)
    assert.equal(isSentInClear(resolved({ ...OIDC, DATABRICKS_HOST: host })), isInClear, host);
  assert.equal(isSentInClear(resolved(PROFILE)), false);
});

test('a host is an origin, https unless http is written out', () => {
  const cases: [string, string][] = [
    ['workspace.example', 'https://workspace.example'],
    ['workspace.example/', 'https://workspace.example'],
    ['https://Workspace.Example/', 'https://workspace.example'],
    ['https://workspace.example:443', 'https://workspace.example'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ['localhost:8080', 'https://localhost:8080'],
  ];
  for (const [given, host] of cases)
    assert.equal(identityOf(resolved({ ...OIDC, DATABRICKS_HOST: given }), 'e').workspace, host, given);
  const wrong = [
    'https://h/path',
    'https://h/path?o=1',
    'https://h/?o=',
    'https://h/?o=1&a=2',
    'https://h/?x=1',
    'https://h/?o=1#x',
    'https://h#x',
    'https://me:pw@h',
    'me@h',
    'ftp://h',
    'https://',
    ' h',
    'h\n',
    'https:\\\\h',
    'https://h\\',
    'https://h\u0001',
    'a b',
    'https://h:99999',
  ];
  for (const given of wrong)
    assert.match(
      refused({ ...OIDC, DATABRICKS_HOST: given }),
      /^DATABRICKS_HOST: must be an https URL or a host name/,
      given,
    );
});

test('a host that serves several workspaces is followed by the number of one, or a variable has it', () => {
  const longest = '1'.repeat(64);
  const cases: [string, string | undefined, string][] = [
    ['https://company.example/?o=123', undefined, 'https://company.example/?o=123'],
    ['company.example?o=123', undefined, 'https://company.example/?o=123'],
    ['https://company.example:8443?w=my-1_A', undefined, 'https://company.example:8443/?o=my-1_A'],
    ['https://company.example', '123', 'https://company.example/?o=123'],
    ['https://company.example/?o=123', '123', 'https://company.example/?o=123'],
    ['https://company.example', 'my-1_A', 'https://company.example/?o=my-1_A'],
    ['https://company.example', longest, `https://company.example/?o=${longest}`],
    [`https://company.example/?o=${longest}`, undefined, `https://company.example/?o=${longest}`],
  ];
  for (const [host, id, workspace] of cases) {
    const env = { DATABRICKS_HOST: host, DATABRICKS_WORKSPACE_ID: id };
    assert.equal(identityOf(resolved({ ...OIDC, ...env }), 'e').workspace, workspace, `${host} ${id}`);
    const profile = resolved({ ...PROFILE, ...env });
    assert.equal(identityOf(profile, 'e').workspace, workspace);
    assert.equal(isSentInClear(profile), false);
  }
  assert.match(refused({ ...OIDC, DATABRICKS_HOST: `https://company.example/?o=${longest}1` }), /^DATABRICKS_HOST: /);
  for (const id of ['1 2', '1 2/?o=3', '1?o=3', '/?o=3', `${longest}1`])
    assert.match(refused({ ...OIDC, DATABRICKS_WORKSPACE_ID: id }), /^DATABRICKS_WORKSPACE_ID: must be the number/, id);
  assert.match(
    refused({ ...OIDC, DATABRICKS_HOST: 'https://company.example/?o=1', DATABRICKS_WORKSPACE_ID: '2' }),
    /^DATABRICKS_WORKSPACE_ID: names a different workspace than DATABRICKS_HOST/,
  );
});

test('a profile that has the host goes on at the workspace that the variable names', () => {
  const auth = resolved({ ...PROFILE, DATABRICKS_WORKSPACE_ID: '123' });
  assert.deepEqual(auth, {
    kind: 'profile',
    host: undefined,
    workspaceId: '123',
    configFile: '/etc/databrickscfg',
    profile: 'sp',
  });
  assert.notEqual(identityOf(auth, 'e').workspace, identityOf(resolved(PROFILE), 'e').workspace);
  assert.match(refused({ ...PROFILE, DATABRICKS_WORKSPACE_ID: '1 2' }), /^DATABRICKS_WORKSPACE_ID: must be the number/);
});

test('a credential belongs to a workspace and a principal', () => {
  const cases: [Environment, string, string][] = [
    [OIDC, 'https://workspace.example', 'client-1'],
    [{ ...CLIENT, DATABRICKS_CLIENT_SECRET: 'x' }, 'https://workspace.example', 'client-1'],
    [PROFILE, '/etc/databrickscfg', 'profile sp'],
    [{ ...PROFILE, ...HOST }, 'https://workspace.example', 'profile sp'],
    [{ ...HOST, DATABRICKS_TOKEN: 'x', DATABRICKS_AUTH_TYPE: 'pat' }, 'https://workspace.example', 'pat 2d711642b726'],
    [{ ...HOST, DATABRICKS_TOKEN: 'y', DATABRICKS_AUTH_TYPE: 'pat' }, 'https://workspace.example', 'pat a1fce4363854'],
  ];
  for (const [env, workspace, principal] of cases) {
    assert.deepEqual(identityOf(resolved(env), 'e'), { workspace, resource: 'e', principal });
  }
});
