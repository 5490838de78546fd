import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Proxy } from '../../support/proxy.ts';
import { undoAfter } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { LOOK_MS } from '../support/read-api.ts';
import { kubeconfigFor, whyNotBuilt } from './api-server.ts';
import { SECRET } from './namespace.ts';
import { SecretsWorld } from './world.ts';

const skip = await whyNotBuilt();
const options = { timeout: 240_000, ...(skip === undefined ? {} : { skip }) };

test('a watch of a Secret that has died without a word is renewed within two minutes', options, async (t) => {
  const world = await SecretsWorld.start(t);
  const way = await Proxy.start(Number(new URL(world.api.url).port));
  undoAfter(t, () => way.close());
  const account = await world.account('backstage');
  const { tokenFile } = account;
  const { caFile } = world.api;
  await writeFile(account.kubeconfig, kubeconfigFor({ url: `https://127.0.0.1:${way.port}`, caFile }, { tokenFile }));
  // Nothing is due meanwhile: the first refresh would be drawn from the time after its floor.
  const config = { refresh: { floor: '20m' } };
  const sidecar = await (await world.start(t, { account, config })).ready();
  const { token } = world.workspace.minted[0]!;
  await world.kubectl(['delete', 'secret', SECRET]);
  await world.holds(token);
  // Else the answer to this write may be what is forgotten: the next try then finds what is missing, by a new connection.
  await sidecar.logged('sink repaired after somebody else changed it');

  way.forget();
  await world.kubectl(['delete', 'secret', SECRET]);
  const from = performance.now();
  await eventually('it is there again', async () => (await world.read()) === token, {
    withinMs: 120_000,
    everyMs: LOOK_MS,
  });
  const tookMs = performance.now() - from;
  t.diagnostic(`after ${(tookMs / 1_000).toFixed()} s`);
  assert.ok(tookMs > 60_000, 'it was not the watch that told of it');
  assert.equal(world.workspace.minted.length, 1);
  await sidecar.ready();
  await world.kubectl(['delete', 'secret', SECRET]);
  await world.holds(token);
});
