import assert from 'node:assert/strict';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { credential, ENDPOINT } from '../support/sidecar-setup.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';
import type { Workspace } from '../support/workspace.ts';

const LIFETIME_MS = 6_000;
const config = { refresh: { floor: '0s', at: 0.4 } };

/** As the kubelet renews it: whole, and before the old one expires. */
async function renew(tokenFile: string, workspace: Workspace): Promise<string> {
  const token = await workspace.serviceAccountToken({ lifetimeMs: LIFETIME_MS });
  await writeFile(`${tokenFile}.new`, token);
  await rename(`${tokenFile}.new`, tokenFile);
  return token;
}

testWithEachCli("with workload identity nothing that is stored outlives the pod's own token", async (t, cli) => {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: LIFETIME_MS });
  const directory = await temporaryDirectory(t);
  const tokenFile = join(await temporaryDirectory(t), 'token');
  const first = await renew(tokenFile, workspace);
  const env = { DATABRICKS_CLIENT_SECRET: undefined, DATABRICKS_OIDC_TOKEN_FILEPATH: tokenFile };
  const sidecar = await (await startSidecar(t, { workspace, cli, directory, config, env })).ready();
  let last = first;
  for (let rotation = 1; rotation <= 4; rotation += 1) {
    last = await renew(tokenFile, workspace);
    const from = workspace.minted.length;
    await eventually('it mints with the renewed token', () => workspace.minted.length > from);
  }
  assert.notEqual(last, first);
  const exchanges = workspace.requests.filter(({ path }) => path === '/oidc/v1/token');
  assert.ok(exchanges.length >= 5);
  assert.ok(exchanges.every(({ body }) => body.includes('token-exchange')));
  assert.ok(exchanges.at(-1)?.body.includes(last), 'an old token was exchanged');
  assert.equal(sidecar.lines.filter(({ msg }) => msg === 'mint failed').length, 0);
  const kept = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = kept.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  for (const file of files) {
    const content = await readFile(file, 'utf8').catch(() => '');
    assert.ok(!content.includes(first) && !content.includes(last), `${file} holds the pod's token`);
  }
});

testWithEachCli('a profile is read by the CLI, and needs nothing else in the environment', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const configFile = join(await temporaryDirectory(t), 'databrickscfg');
  const { url, clientId, clientSecret } = workspace;
  await writeFile(configFile, `[sp]\nhost = ${url}\nclient_id = ${clientId}\nclient_secret = ${clientSecret}\n`);
  const directory = await temporaryDirectory(t);
  const connection = { host: 'localhost', user: clientId };
  const sinks = [{ file: { path: `${directory}/run/pgpass`, format: 'pgpass' } }];
  const sidecar = await startSidecar(t, {
    cli,
    directory,
    config: { credentials: [{ name: 'backstage', endpoint: ENDPOINT, connection, sinks }] },
    env: { DATABRICKS_CONFIG_FILE: configFile, DATABRICKS_CONFIG_PROFILE: 'sp' },
  });
  await sidecar.ready();
  assert.equal(await sidecar.read('pgpass'), `localhost:*:*:${clientId}:${workspace.minted[0]?.token}\n`);
});

testWithEachCli('at a host that serves several workspaces, the one that is named mints', async (t, cli) => {
  const workspace = await workspaceFor(t, { number: '4711' });
  const tokenFile = join(await temporaryDirectory(t), 'token');
  await writeFile(tokenFile, await workspace.serviceAccountToken());
  const oidc = { DATABRICKS_CLIENT_SECRET: undefined, DATABRICKS_OIDC_TOKEN_FILEPATH: tokenFile };
  for (const env of [
    { DATABRICKS_HOST: `${workspace.url}/?o=4711` },
    { DATABRICKS_HOST: `${workspace.url}?w=4711`, ...oidc },
    { DATABRICKS_WORKSPACE_ID: '4711' },
  ]) {
    const from = workspace.minted.length;
    await (await startSidecar(t, { workspace, cli, env })).ready();
    assert.equal(workspace.minted.length, from + 1);
  }
  const lost = await startSidecar(t, { workspace, cli });
  const { err } = await lost.logged('mint failed');
  assert.match(JSON.stringify(err), /"failure":"bad_response"/);
});

testWithEachCli('of a profile another workspace of its host is taken, if that is named', async (t, cli) => {
  const workspace = await workspaceFor(t, { number: '4711' });
  const directory = await temporaryDirectory(t);
  const configFile = join(directory, 'databrickscfg');
  const { url, clientId, clientSecret } = workspace;
  const profile = { host: url, client_id: clientId, client_secret: clientSecret, workspace_id: '1' };
  const lines = Object.entries(profile).map(([key, value]) => `${key} = ${value}\n`);
  await writeFile(configFile, ['[sp]\n', ...lines].join(''));
  const sinks = [{ file: { path: `${directory}/run/token`, format: 'token' } }];
  const config = { credentials: [credential(directory, { sinks })] };
  const env = {
    DATABRICKS_CONFIG_FILE: configFile,
    DATABRICKS_CONFIG_PROFILE: 'sp',
    DATABRICKS_WORKSPACE_ID: '4711',
  };
  await (await startSidecar(t, { cli, directory, config, env })).ready();
  assert.equal(workspace.minted.length, 1);
});

testWithEachCli('a personal access token is used only where it is asked for by name', async (t, cli) => {
  const workspace = await workspaceFor(t, { personalAccessToken: 'dapi0123456789abcdef' });
  const lying = { DATABRICKS_TOKEN: 'dapi0123456789abcdef' };
  await (await startSidecar(t, { workspace, cli, env: lying })).ready();
  assert.ok(
    workspace.requests.some(({ path }) => path === '/oidc/v1/token'),
    'the client secret was not used',
  );
  const asked = workspace.requests.length;
  const env = { ...lying, DATABRICKS_AUTH_TYPE: 'pat', DATABRICKS_CLIENT_SECRET: undefined };
  const directory = await temporaryDirectory(t);
  const sinks = [{ file: { path: `${directory}/run/token`, format: 'token' } }];
  const credentials = [{ name: 'mine', endpoint: ENDPOINT, sinks }];
  await (await startSidecar(t, { workspace, cli, directory, config: { credentials }, env })).ready();
  assert.ok(!workspace.requests.slice(asked).some(({ path }) => path === '/oidc/v1/token'));
});
