import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import { decodeJwt, jwtVerify } from 'jose';
import { keyResolver } from './support/tokens.ts';
import type { Fault } from './support/workspace-faults.ts';
import { startWorkspace, type Workspace } from './support/workspace.ts';
import { ENDPOINT } from './support/sidecar-setup.ts';

const EXCHANGE = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  scope: 'all-apis',
};

/** Where requests go. */
type Target = Pick<Workspace, 'url'>;

async function workspaceFor(t: TestContext): Promise<Workspace> {
  const workspace = await startWorkspace({ personalAccessToken: 'pat-canary' });
  t.after(() => workspace.close());
  return workspace;
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, string>;
}

async function post(workspace: Target, path: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(workspace.url + path, { method: 'POST', ...init });
  return { status: response.status, body: (await response.json()) as Record<string, string> };
}

/** A form as `URLSearchParams` sends it would carry a charset, which the CLI's does not. */
function exchange(
  workspace: Target,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return post(workspace, '/oidc/v1/token', {
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(form).toString(),
  });
}

function basic(id: string, secret: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

function mint(
  workspace: Target,
  body: unknown,
  headers: Record<string, string> = {},
  api = 'postgres',
): Promise<Answer> {
  return post(workspace, `/api/2.0/${api}/credentials`, {
    headers: { 'content-type': 'application/json', authorization: 'Bearer pat-canary', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

describe('the token endpoint', () => {
  const secretCases: [string, string | undefined, Record<string, string>, number, string?][] = [
    ['takes the client secret', undefined, {}, 200],
    ['refuses another secret', 'wrong', {}, 401, 'invalid_client'],
    ['refuses another scope', undefined, { scope: 'sql' }, 400, 'invalid_scope'],
    ['refuses another grant', undefined, { grant_type: 'password' }, 400, 'unsupported_grant_type'],
    ['refuses a parameter it does not know', undefined, { x: '1' }, 400, 'invalid_request'],
  ];
  for (const [title, secret, form, status, error] of secretCases) {
    test(title, async (t) => {
      const workspace = await workspaceFor(t);
      const wanted = { grant_type: 'client_credentials', scope: 'all-apis', ...form };
      const answer = await exchange(workspace, wanted, basic(workspace.clientId, secret ?? workspace.clientSecret));
      assert.deepEqual([answer.status, answer.body['error']], [status, error]);
    });
  }

  test('refuses an old secret once it is rotated', async (t) => {
    const workspace = await workspaceFor(t);
    const form = { grant_type: 'client_credentials', scope: 'all-apis' };
    const login = async (secret: string) => (await exchange(workspace, form, basic(workspace.clientId, secret))).status;
    const first = workspace.clientSecret;
    assert.equal(await login(first), 200);
    const second = workspace.rotateClientSecret();
    assert.deepEqual([await login(first), await login(second)], [401, 200]);
  });

  test('takes a service-account token as it is, and says what is wrong with a bad one', async (t) => {
    const workspace = await workspaceFor(t);
    const good = await workspace.serviceAccountToken();
    const cases: [string, string, number, string | RegExp | undefined][] = [
      [good, workspace.clientId, 200, undefined],
      [good, 'somebody', 401, 'Client authentication failed'],
      [`${good}\n`, workspace.clientId, 400, 'subject_token is not a JWT'],
      ['a.b.c', workspace.clientId, 400, 'subject_token is not a JWT'],
      [await workspace.serviceAccountToken({ lifetimeMs: -1000 }), workspace.clientId, 400, 'subject token expired'],
      [
        await workspace.serviceAccountToken({ audience: 'x' }),
        workspace.clientId,
        400,
        /^Failed to process token: TOKEN_AUDIENCE_INVALID \(Token audience 'x' invalid\)\. .*, audience: '[^x']+'}$/,
      ],
      [await workspace.signCredential(), workspace.clientId, 400, /TOKEN_INVALID .*, audience: 'lakebase'}$/],
    ];
    for (const [subjectToken, clientId, status, description] of cases) {
      const answer = await exchange(workspace, { ...EXCHANGE, client_id: clientId, subject_token: subjectToken });
      const said = answer.body['error_description'];
      assert.equal(answer.status, status);
      if (description instanceof RegExp) assert.match(String(said), description);
      else assert.equal(said, description);
    }
  });
});

describe('the credentials API', () => {
  const project = (name: string) => ({ endpoint: `projects/${name}/branches/b/endpoints/e` });
  const cases: [string, unknown, number, RegExp, { headers?: Record<string, string>; api?: string }?][] = [
    ['without a bearer', project('p'), 401, /was not sent/, { headers: { authorization: '' } }],
    ['with an unknown bearer', project('p'), 401, /^Invalid access token$/, { headers: { authorization: 'Bearer x' } }],
    ['of another type', project('p'), 415, /text\/plain/, { headers: { 'content-type': 'text/plain' } }],
    ['that is not JSON', '{"endpoint"', 400, /^Invalid JSON/],
    ['with an unknown field', { ...project('p'), lifetime: 1 }, 400, /unknown field lifetime/],
    ['for a malformed endpoint', { endpoint: 'primary' }, 400, /^endpoint name is malformed$/],
    ['for less than five minutes', { ...project('p'), ttl: '299s' }, 400, /^ttl must be between 300s and 3600s$/],
    ['for more than an hour', { ...project('p'), ttl: '3601s' }, 400, /^ttl must be between/],
    ['for a ttl in minutes', { ...project('p'), ttl: '15m' }, 400, /^ttl is malformed$/],
    ['for a missing project', project('missing'), 404, /^endpoint projects.* does not exist$/],
    ['for a forbidden project', project('forbidden'), 403, /does not have CAN_USE/],
    ['for a missing instance', { instance_names: ['missing'] }, 404, /^endpoint missing does not/, { api: 'database' }],
    ['with a ttl for an instance', { instance_names: ['a'], ttl: '900s' }, 400, /field ttl/, { api: 'database' }],
  ];
  for (const [request, body, status, message, { headers, api } = {}] of cases) {
    test(`refuses a request ${request}`, async (t) => {
      const workspace = await workspaceFor(t);
      const answer = await mint(workspace, body, headers, api);
      assert.equal(answer.status, status);
      assert.match(answer.body['message'] ?? '', message);
      assert.equal(workspace.minted.length, 0);
    });
  }

  test('mints a signed token of the usual size that says when it was issued and expires', async (t) => {
    const workspace = await workspaceFor(t);
    const { body } = await mint(workspace, { endpoint: ENDPOINT, ttl: '900s' });
    const jwks = (await (await fetch(`${workspace.url}/oidc/jwks.json`)).json()) as typeof workspace.jwks;
    const { payload, protectedHeader } = await jwtVerify(body['token']!, keyResolver(jwks));
    assert.equal(payload.exp! - payload.iat!, 900);
    assert.equal(Date.parse(body['expire_time']!), payload.exp! * 1000);
    assert.equal(protectedHeader.typ, 'JWT');
    assert.ok(Math.abs(body['token']!.length - 1200) < 50, `${body['token']!.length} characters`);
    assert.equal(workspace.minted.length, 1);
  });

  test('names the expiry of an instance token differently', async (t) => {
    const { body } = await mint(await workspaceFor(t), { instance_names: ['my-instance'] }, {}, 'database');
    assert.deepEqual(Object.keys(body), ['token', 'expiration_time']);
  });

  test('mints tokens of seconds, by a clock that may be wrong, when it is told to', async (t) => {
    const workspace = await workspaceFor(t);
    workspace.tokenLifetimeMs = 1500;
    workspace.clockOffsetMs = -600_000;
    const { body } = await mint(workspace, { endpoint: ENDPOINT });
    const { iat = 0, exp = 0 } = decodeJwt(body['token']!);
    assert.equal(Math.round((exp - iat) * 1000), 1500);
    assert.ok(Math.abs(iat * 1000 + 600_000 - Date.now()) < 5000);
  });
});

describe('a fault', () => {
  const brokenOff: Fault[] = ['close', 'reset', 'truncated', 'broken-json', 'html'];
  for (const fault of brokenOff) {
    test(`${JSON.stringify(fault)} leaves the client without an answer that it can read, once`, async (t) => {
      const workspace = await workspaceFor(t);
      workspace.fail('credential', fault, 1);
      await assert.rejects(mint(workspace, { endpoint: ENDPOINT }));
      assert.equal((await mint(workspace, { endpoint: ENDPOINT })).status, 200);
    });
  }

  test('"hang" lasts until the client gives up', async (t) => {
    const workspace = await workspaceFor(t);
    workspace.fail('any', 'hang');
    const client = new AbortController();
    const answer = fetch(`${workspace.url}/.well-known/databricks-config`, { signal: client.signal });
    await workspace.nextRequest();
    client.abort();
    await assert.rejects(answer, { name: 'AbortError' });
  });

  const forged: { fault: Fault; check: (body: Record<string, string>, workspace: Workspace) => boolean }[] = [
    { fault: 'empty-object', check: (body) => Object.keys(body).length === 0 },
    { fault: 'no-expiry', check: (body) => body['expire_time'] === undefined && body['token'] !== undefined },
    { fault: 'no-token', check: (body) => body['token'] === undefined && body['expire_time'] !== undefined },
    { fault: 'opaque-token', check: (body) => !body['token']!.includes('.') },
    { fault: 'spaced-token', check: (body) => body['token']!.endsWith('\n') },
    {
      fault: 'later-expiry',
      check: (body) => Date.parse(body['expire_time']!) > decodeJwt(body['token']!).exp! * 1000,
    },
    {
      fault: 'sooner-expiry',
      check: (body) => Date.parse(body['expire_time']!) < decodeJwt(body['token']!).exp! * 1000,
    },
    { fault: 'already-expired', check: (body) => decodeJwt(body['token']!).exp! * 1000 < Date.now() },
    { fault: 'short-lived', check: (body) => decodeJwt(body['token']!).exp! * 1000 < Date.now() + 61_000 },
    { fault: 'other-identity', check: (body) => decodeJwt(body['token']!).sub !== 'somebody@example.com' },
    { fault: ({ answer }) => ({ ...answer, more: 'yes' }), check: (body) => body['more'] === 'yes' },
  ];
  for (const { fault, check } of forged) {
    test(`${typeof fault === 'string' ? fault : 'of one’s own making'} changes what is answered`, async (t) => {
      const workspace = await workspaceFor(t);
      workspace.fail('credential', fault);
      const { status, body } = await mint(workspace, { endpoint: ENDPOINT });
      assert.equal(status, 200);
      assert.ok(check(body, workspace), JSON.stringify(body));
    });
  }

  test('of an outage refuses connections until the workspace is back at the same address', async (t) => {
    const workspace = await workspaceFor(t);
    await workspace.outage();
    await assert.rejects(mint(workspace, { endpoint: ENDPOINT }), ({ cause }: Error) =>
      /ECONNREFUSED/.test(String(cause)),
    );
    await workspace.recover();
    assert.equal((await mint(workspace, { endpoint: ENDPOINT })).status, 200);
  });
});

test('a workspace in a process of its own tells where it is and who may log in, and its tokens live as long as is said', async (t) => {
  const program = join(import.meta.dirname, 'support/workspace.ts');
  const child = spawn(process.execPath, [program, '60'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(async () => {
    child.kill();
    await once(child, 'close');
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { url, clientId, clientSecret } = JSON.parse(line) as { url: string; clientId: string; clientSecret: string };
  assert.equal((await fetch(`${url}/.well-known/databricks-config`)).status, 200);
  const form = { grant_type: 'client_credentials', scope: 'all-apis' };
  const { body: login } = await exchange({ url }, form, basic(clientId, clientSecret));
  const { body: minted } = await mint(
    { url },
    { endpoint: ENDPOINT },
    { authorization: `Bearer ${login['access_token']}` },
  );
  const { sub, iat, exp } = decodeJwt(minted['token']!);
  assert.deepEqual([sub, exp! - iat!], [clientId, 60]);
});
