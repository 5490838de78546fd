import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { credential } from '../support/sidecar-setup.ts';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';

const FORMATS = ['pgpass', 'token', 'json', 'env', 'uri'] as const;
const MODES = { pgpass: 0o600, token: 0o640, json: 0o644, env: 0o600, uri: 0o600 };

testWithEachCli('the first credential is written in every format, with the right content and mode', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const sinks = FORMATS.map((format) => ({
    file: { path: `${directory}/run/${format}`, format, mode: `0${MODES[format].toString(8)}` },
  }));
  const config = { credentials: [credential(directory, { sinks })] };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config })).ready();
  assert.equal(workspace.minted.length, 1);
  const { token, issuedAt, expiresAt } = workspace.minted[0]!;
  const user = workspace.clientId;
  const times = { issuedAt: new Date(issuedAt).toISOString(), expiresAt: new Date(expiresAt).toISOString() };
  const contents = {
    pgpass: `localhost:5432:*:${user}:${token}\n`,
    token,
    json: `${JSON.stringify({ token, ...times, host: 'localhost', port: 5432, database: 'app', user })}\n`,
    env: `PGHOST='localhost'\nPGPORT='5432'\nPGDATABASE='app'\nPGUSER='${user}'\nPGPASSWORD='${token}'\nPGSSLMODE='require'\n`,
    uri: `postgresql://${user}:${token}@localhost:5432/app?sslmode=require`,
  };
  for (const format of FORMATS) {
    assert.equal(await sidecar.read(format), contents[format], format);
    assert.equal((await stat(sidecar.path(format))).mode & 0o7777, MODES[format], format);
  }
  assert.equal((await stat(join(directory, 'run'))).mode & 0o7777, 0o750);
  assert.equal((await stat(sidecar.path('.backstage.state.json'))).mode & 0o7777, 0o600);
});

testWithEachCli(
  '/readyz answers 503 until every file is written and 200 from then on, /healthz 200 all the time',
  async (t, cli) => {
    const workspace = await workspaceFor(t);
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    workspace.fail('credential', async ({ answer: minted }) => await mayAnswer.then(() => minted));
    const sidecar = await startSidecar(t, { workspace, cli });
    const before = await sidecar.get('/readyz?verbose');
    assert.equal(before.status, 503);
    assert.match(before.body, /^\[-\]backstage file:.+\/run\/token failed: .+\/run\/token does not exist$/m);
    assert.equal((await sidecar.get('/readyz?sinks=file')).status, 503);
    assert.equal((await sidecar.get('/healthz')).status, 200);
    assert.equal((await sidecar.metrics()).get('valid', { credential: 'backstage' }), 0);
    const [pending] = (await sidecar.status()).credentials;
    assert.equal(pending?.state, 'pending');
    assert.equal(pending.isMinting, true);
    answer();
    await sidecar.ready();
    assert.equal((await sidecar.get('/readyz?sinks=file')).status, 200);
    assert.equal((await sidecar.get('/readyz?sinks=secret')).status, 503, 'there are no Secret sinks to be ready');
    assert.equal((await sidecar.get('/healthz')).status, 200);
    const metrics = await sidecar.metrics();
    assert.equal(metrics.get('valid', { credential: 'backstage' }), 1);
    assert.equal(metrics.get('expiry_timestamp_seconds'), workspace.minted[0]!.expiresAt / 1_000);
    assert.equal((await sidecar.status()).credentials[0]?.state, 'fresh');
  },
);

testWithEachCli('a Provisioned instance is minted for through its own API', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const config = { credentials: [credential(directory, { endpoint: undefined, instance: 'my-instance' })] };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config })).ready();
  assert.equal(workspace.minted[0]?.resource, 'my-instance');
  assert.equal(await sidecar.read('token'), workspace.minted[0].token);
});

testWithEachCli('a ttl is asked for in whole seconds, and decides how long the credential lives', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const config = { credentials: [credential(directory, { ttl: '15m' })] };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config })).ready();
  const { body } = workspace.requests.find(({ path }) => path.startsWith('/api/'))!;
  assert.equal((JSON.parse(body) as { ttl: string }).ttl, '900s');
  assert.equal((await sidecar.status()).credentials[0]?.lifetimeSeconds, 900);
});

testWithEachCli(
  'a clock that is an hour off does no harm: life is counted from when the token was minted',
  async (t, cli) => {
    const workspace = await workspaceFor(t);
    workspace.clockOffsetMs = -3_600_000;
    const sidecar = await (await startSidecar(t, { workspace, cli })).ready();
    const [status] = (await sidecar.status()).credentials;
    assert.ok(status?.remainingSeconds !== null && status!.remainingSeconds > 3_500);
    const skew = (await sidecar.metrics()).get('clock_skew_seconds')!;
    assert.ok(Math.abs(skew + 3_600) < 5, `${skew}`);
  },
);

test('credentials are kept apart: one that fails delays no other', { timeout: 30_000 }, async (t) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const sinks = (name: string) => [{ file: { path: `${directory}/run/${name}`, format: 'token' } }];
  const endpoint = (project: string) => `projects/${project}/branches/production/endpoints/primary`;
  const credentials = ['good', 'missing', 'better'].map((name) =>
    credential(directory, { name, endpoint: endpoint(name), sinks: sinks(name) }),
  );
  const sidecar = await startSidecar(t, { workspace, directory, config: { credentials } });
  await sidecar.logged('mint failed');
  await eventually('the others are ready', async () => {
    const { credentials: statuses } = await sidecar.status();
    const ready = statuses.filter(({ sinks: held }) => held.every((sink) => sink.ready));
    return ready.map(({ name }) => name).join() === 'good,better';
  });
  const { status, body } = await sidecar.get('/readyz');
  assert.equal(status, 503);
  assert.match(body, /^\[-\]missing file:/);
  assert.doesNotMatch(body, /good|better/);
});
