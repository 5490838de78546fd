import assert from 'node:assert/strict';
import { chmod, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { eventually, occupy, throughout } from '../support/eventually.ts';
import { startSidecar, type Sidecar } from '../support/sidecar.ts';

const SOON_MS = 2_000;

const HARMS: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'is deleted': (path) => rm(path),
  'gets another mode': (path) => chmod(path, 0o644),
  'is overwritten': (path) => writeFile(path, 'something else'),
  'is emptied': (path) => writeFile(path, ''),
  'is replaced by a rename': async (path) => {
    await writeFile(`${path}.new`, 'something else');
    await rename(`${path}.new`, path);
  },
  'is replaced by a symbolic link': async (path) => {
    await symlink('/etc/hostname', `${path}.new`);
    await rename(`${path}.new`, path);
  },
  // At one blow: a directory that is emptied first would be filled again before it can be removed.
  'loses its directory': async (path) => {
    const directory = join(path, '..');
    await rename(directory, `${directory}.away`);
    await rm(`${directory}.away`, { recursive: true });
  },
};

async function isRight(sidecar: Sidecar, content: string): Promise<boolean> {
  const stats = await stat(sidecar.path('pgpass')).catch(() => undefined);
  if (stats === undefined || (stats.mode & 0o7777) !== 0o600) return false;
  return (await sidecar.read('pgpass')) === content;
}

describe('a file', { concurrency: 4 }, () => {
  for (const [harm, inflict] of Object.entries(HARMS)) {
    test(
      `that ${harm} is right again within a second or two, with the same token and no mint`,
      { timeout: 30_000 },
      async (t) => {
        const workspace = await workspaceFor(t);
        const sidecar = await (await startSidecar(t, { workspace })).ready();
        const content = await sidecar.read('pgpass');
        await inflict(sidecar.path('pgpass'));
        await eventually('the file is right again', async () => await isRight(sidecar, content), { withinMs: SOON_MS });
        await sidecar.logged('sink repaired after somebody else changed it');
        const metrics = await sidecar.metrics();
        assert.equal(metrics.get('sink_repairs_total', { sink: `file:${sidecar.path('pgpass')}` }), 1);
        assert.equal(workspace.minted.length, 1);
        await sidecar.ready(SOON_MS);
      },
    );
  }

  test('whose record is deleted has one again soon, and is taken over at a restart', { timeout: 60_000 }, async (t) => {
    const workspace = await workspaceFor(t);
    const sidecar = await (await startSidecar(t, { workspace })).ready();
    await rm(sidecar.path('.backstage.state.json'));
    await sidecar.logged('sink repaired after somebody else changed it', { withinMs: 30_000 });
    await sidecar.stop('SIGKILL');
    const { directory } = sidecar;
    await (await startSidecar(t, { workspace, directory })).ready();
    assert.equal(workspace.minted.length, 1);
  });

  test(
    'that others change again and again waits for the minute to end, with a warning, and /readyz tells',
    { timeout: 30_000 },
    async (t) => {
      const workspace = await workspaceFor(t);
      const sidecar = await (await startSidecar(t, { workspace })).ready();
      const content = await sidecar.read('pgpass');
      for (let time = 1; time <= 3; time += 1) {
        await writeFile(sidecar.path('pgpass'), 'something else');
        await eventually('the file is right again', async () => await isRight(sidecar, content), { withinMs: SOON_MS });
      }
      await writeFile(sidecar.path('pgpass'), 'something else');
      const { level } = await sidecar.logged('sink repeatedly changed by somebody else; repairs delayed');
      assert.equal(level, 'warn');
      await throughout('the repair waits', 1_500, async () => (await sidecar.read('pgpass')) === 'something else');
      const { status, body } = await sidecar.get('/readyz');
      assert.equal(status, 503);
      assert.match(body, /pgpass holds something other than a token of this credential/);
    },
  );

  test(
    'that cannot be written is retried until it can, without minting, and the other file is kept right',
    { timeout: 30_000 },
    async (t) => {
      const workspace = await workspaceFor(t);
      const sidecar = await (await startSidecar(t, { workspace })).ready();
      const content = await sidecar.read('pgpass');
      await occupy(sidecar.path('pgpass'));
      const { level } = await sidecar.logged('sink not written');
      assert.equal(level, 'warn');
      assert.equal((await sidecar.get('/readyz')).status, 503);
      const [status] = (await sidecar.status()).credentials;
      assert.equal(status?.sinks[0]?.problem?.code, 'not_a_file');
      assert.equal(status.sinks[0].failure?.code, 'refused');
      assert.equal(status.sinks[1]?.ready, true);
      await rm(sidecar.path('pgpass'), { recursive: true });
      await eventually('the file is right again', async () => await isRight(sidecar, content), { withinMs: 3_000 });
      assert.equal(workspace.minted.length, 1);
    },
  );
});
