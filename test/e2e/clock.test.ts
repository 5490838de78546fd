import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar } from '../support/sidecar.ts';
import { HOUR_MS } from '../support/fakes.ts';

/** What sets the clock of one process only: without root, and without libfaketime, which not every machine has. */
const SETTABLE_CLOCK = `
  import { readFileSync } from 'node:fs';
  const { now } = Date;
  Date.now = () => now() + Number(readFileSync(process.env.TEST_CLOCK_OFFSET, 'utf8'));
`;

test(
  'a clock that is set makes every credential due, whichever way, and log and metric tell',
  { timeout: 30_000 },
  async (t) => {
    const offset = join(await temporaryDirectory(t), 'offset');
    const set = async (ms: number): Promise<void> => {
      await writeFile(`${offset}.new`, `${ms}`);
      await rename(`${offset}.new`, offset); // a file that is empty for a moment would be a clock that is set back and forth
    };
    await set(0);
    const workspace = await workspaceFor(t);
    const sidecar = await startSidecar(t, {
      workspace,
      config: { refresh: { floor: '0s' } },
      env: {
        TEST_CLOCK_OFFSET: offset,
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SETTABLE_CLOCK)}`,
      },
    });
    await sidecar.ready();
    for (const [round, ms] of [2 * HOUR_MS, -HOUR_MS].entries()) {
      const [from, before] = [sidecar.lines.length, await sidecar.read('token')];
      await set(ms);
      const { level, bySeconds } = await sidecar.logged('clock jumped; refreshing all credentials', { from });
      assert.deepEqual([level, Math.abs(Number(bySeconds))], ['warn', round === 0 ? 7_200 : 10_800]);
      await eventually('the new token is there', async () => {
        const token = await sidecar.read('token');
        return token !== before && token === workspace.minted.at(-1)?.token;
      });
      await eventually('it is ready', async () => await sidecar.isReady());
      assert.equal((await sidecar.metrics()).get('clock_jumps_total'), round + 1);
    }
  },
);

test(
  'by how much a clock is wrong is known after a restart, too, before the next mint',
  { timeout: 30_000 },
  async (t) => {
    const [SLOW_S, workspace] = [600, await workspaceFor(t)];
    const offset = join(await temporaryDirectory(t), 'offset');
    await writeFile(offset, `${-SLOW_S * 1_000}`);
    const options = {
      workspace,
      config: { refresh: { floor: '10m' } },
      env: {
        TEST_CLOCK_OFFSET: offset,
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SETTABLE_CLOCK)}`,
      },
    };
    const first = await (await startSidecar(t, options)).ready();
    await first.stop('SIGKILL');
    const second = await (await startSidecar(t, { ...options, directory: first.directory })).ready();
    await second.logged('adopted');
    const metrics = await second.metrics();
    const skew = metrics.get('clock_skew_seconds');
    assert.ok(skew !== undefined && Math.abs(skew - SLOW_S) < 5, `${skew}`);
    assert.equal(workspace.minted.length, 1);
  },
);
