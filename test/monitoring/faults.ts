import { readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clis } from '../support/clis.ts';
import { FAKETIME } from '../support/faketime.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { credential, type SetupOptions } from '../support/sidecar-setup.ts';
import { temporaryDirectory, type Cleanup } from '../support/cleanup.ts';
import { occupy } from '../support/eventually.ts';
import { startSidecar, type Sidecar } from '../support/sidecar.ts';

/** Of a service principal whose right was taken away. */
export const REFUSAL = { status: 403, body: { message: 'User does not have CAN_USE' } };

/** Where a fault happens: in real time, beside a real Prometheus with the rules as they are installed. */
export interface Scene {
  readonly t: Cleanup;
  /** Is scraped from now on, as the pod of this fault. */
  readonly scrape: (sidecar: Sidecar) => Promise<void>;
  /** Nothing is to be scraped any more. */
  readonly scrapeNothing: () => Promise<void>;
  /** Some scrapes go by. */
  readonly calm: () => Promise<void>;
  readonly fires: (alert: string) => Promise<void>;
}

/** Something goes wrong until the alerts about it have fired, and is put right. */
export type Fault = (scene: Scene) => Promise<void>;

export const FAULTS: Readonly<Record<string, Fault>> = {
  async 'no-right-to-mint'({ calm, fires, scrape, t }) {
    const workspace = await workspaceFor(t);
    await scrape(await start(t, { workspace }));
    await calm();
    workspace.fail('credential', REFUSAL);
    await Promise.all(['ExpiringSoon', 'Expired', 'RefreshFailing'].map(fires));
    await workspace.recover();
  },

  async 'a-directory-in-place-of-the-file'({ calm, fires, scrape, t }) {
    const sidecar = await start(t, { workspace: await workspaceFor(t) });
    await scrape(sidecar);
    await calm();
    await occupy(sidecar.path('pgpass'));
    await fires('SinkStale');
    await rmdir(sidecar.path('pgpass'));
  },

  async 'a-workspace-that-does-not-answer'({ fires, scrape, t }) {
    const workspace = await workspaceFor(t);
    workspace.fail('credential', 'hang');
    const config = { minter: { cli: { command: clis[0]!.path, timeout: '5m' } } };
    await scrape(await start(t, { workspace, config }, 'started'));
    await fires('RefreshOverdue');
    await workspace.recover();
  },

  async 'a-clock-that-is-set-again-and-again'({ calm, fires, scrape, t }) {
    const clock = join(await temporaryDirectory(t), 'clock');
    await writeFile(clock, '+0s');
    const fake = { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_CACHE_DURATION: '1' };
    const env = { ...fake, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
    const sidecar = await start(t, { workspace: await workspaceFor(t), env });
    await scrape(sidecar);
    for (const offset of ['+60s', '+0s', '+60s', '+0s']) {
      await calm();
      const from = sidecar.lines.length;
      await writeFile(clock, offset);
      await sidecar.logged('clock jumped; refreshing all credentials', { from });
    }
    await fires('ClockJumps');
  },

  async 'a-configuration-that-is-refused'({ calm, fires, scrape, t }) {
    const sidecar = await start(t, { workspace: await workspaceFor(t) });
    await scrape(sidecar);
    await calm();
    const good = await readFile(sidecar.configFile, 'utf8');
    await writeFile(sidecar.configFile, 'credentials: []');
    await fires('ConfigReloadFailed');
    await writeFile(sidecar.configFile, good);
  },

  async 'a-sidecar-that-is-gone'({ calm, fires, scrape, t }) {
    const workspace = await workspaceFor(t);
    const first = await start(t, { workspace });
    await scrape(first);
    await calm();
    await first.stop('SIGKILL');
    await fires('SidecarDown');
    const { directory } = first;
    const http = { host: '127.0.0.1', port: first.address.port };
    await start(t, { workspace, directory, config: { http } });
  },

  async 'no-sidecar-is-scraped'({ calm, fires, scrape, scrapeNothing, t }) {
    const sidecar = await start(t, { workspace: await workspaceFor(t) });
    await scrape(sidecar);
    await calm();
    await scrapeNothing();
    await fires('SidecarAbsent');
    await scrape(sidecar);
  },
};

/** With tokens of five minutes, refreshed as without any settings; and ready, or only up. */
async function start(t: Cleanup, { config, ...options }: SetupOptions, until = 'ready'): Promise<Sidecar> {
  const directory = options.directory ?? (await temporaryDirectory(t));
  const credentials = [credential(directory, { ttl: '5m' })];
  const sidecar = await startSidecar(t, {
    ...options,
    directory,
    config: { credentials, refresh: undefined, ...(config as object) },
  });
  return until === 'ready' ? await sidecar.ready() : sidecar;
}
