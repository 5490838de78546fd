import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { test } from 'node:test';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { startSidecar } from '../support/sidecar.ts';

test(
  'a configuration file that is taken away is told of once, and again when it is back as it was',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const sidecar = await (await startSidecar(t, { workspace })).ready();
    const { configFile } = sidecar;
    await rename(configFile, `${configFile}.away`);
    const line = await sidecar.logged('configuration not reloaded; the previous one stays active', {
      withinMs: 30_000,
    });
    assert.equal(line.level, 'warn');
    assert.match(JSON.stringify(line['err']), /config\.yaml: cannot be read: no such file or directory/);
    assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 0);
    assert.equal((await sidecar.get('/readyz')).status, 200);
    await rename(`${configFile}.away`, configFile);
    const back = await sidecar.logged('configuration reloaded', { withinMs: 30_000 });
    assert.deepEqual(back['changed'], []);
    assert.equal((await sidecar.metrics()).get('config_last_reload_successful'), 1);
    const told = sidecar.lines.filter(({ msg }) => msg.startsWith('configuration not reloaded'));
    assert.equal(told.length, 1);
    assert.equal(workspace.minted.length, 1);
  },
);
