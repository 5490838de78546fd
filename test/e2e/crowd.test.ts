import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { NOT_LINUX } from '../support/linux.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar, type Sidecar } from '../support/sidecar.ts';

/** Empty, they take no room on a volume in memory, however small that is. */
const FILES = 60_000;
/** Of what the chart and the manifests allow, 256 MiB, this many are more than enough for the program from source. */
const MOST_MIB = 200;
const SETTLED_MS = 3_000;

async function crowd(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  for (let count = 0; count < FILES; count += 1) {
    closeSync(openSync(join(directory, `${'x'.repeat(200)}${count}`), 'w'));
    if (count % 100 === 0) await setImmediate();
  }
}

async function keepsGoing(sidecar: Sidecar): Promise<void> {
  const content = await sidecar.read('pgpass');
  await writeFile(sidecar.path('pgpass'), 'something else');
  await eventually('the file is right again', async () => (await sidecar.read('pgpass')) === content);
  const mostMiB = await peakMiB(sidecar);
  assert.ok(mostMiB < MOST_MIB, `${mostMiB.toFixed()} MiB`);
}

/** Once it rises no more: on a busy machine what fills the memory takes its time. */
async function peakMiB(sidecar: Sidecar): Promise<number> {
  let [most, roseAt] = [0, 0];
  return await eventually('its memory rises no more', async () => {
    const status = await readFile(`/proc/${sidecar.pid}/status`, 'utf8');
    const mib = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) / 1_024;
    const now = performance.now();
    if (mib > most + 1) [most, roseAt] = [mib, now];
    return now - roseAt > SETTLED_MS ? mib : undefined;
  });
}

test(
  'files without number that lie beside the credential fill no memory at a start',
  { timeout: 120_000, skip: NOT_LINUX },
  async (t) => {
    const directory = await temporaryDirectory(t);
    await crowd(join(directory, 'run'));
    const sidecar = await startSidecar(t, { workspace: await workspaceFor(t), directory });
    await keepsGoing(await sidecar.ready());
  },
);

test(
  'files without number that come beside the credential fill no memory',
  { timeout: 120_000, skip: NOT_LINUX },
  async (t) => {
    const sidecar = await (await startSidecar(t, { workspace: await workspaceFor(t) })).ready();
    await crowd(join(sidecar.directory, 'run'));
    await keepsGoing(sidecar);
  },
);
