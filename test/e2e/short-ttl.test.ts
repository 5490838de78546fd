import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { kubeconfigOf } from '../support/api-client.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { configText, credential } from '../support/sidecar-setup.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { runCommand, startSidecar } from '../support/sidecar.ts';

/** Nobody listens there. */
const NOBODY = 'https://127.0.0.1:1';

test(
  'a Secret whose tokens live for less than 15 minutes is warned of, by check, at the start and after a reload; a file is not',
  { timeout: 30_000 },
  async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const kubeconfig = join(directory, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigOf(NOBODY, 'of-nobody'));
    const secret = (name: string, ttl?: string) =>
      credential(directory, {
        name,
        ttl,
        sinks: [{ secret: { namespace: 'apps', name, data: { password: 'token' } } }],
      });
    const file = credential(directory, { ttl: '5m' });
    const env = { KUBECONFIG: kubeconfig };
    const credentials = [file, secret('short', '899s'), secret('long', '15m'), secret('default')];
    const { stdout } = await runCommand(t, 'check', { workspace, directory, env, config: { credentials } });
    const cautioned = stdout.matchAll(/^✓ ok {3}(\S+) mint: .*; for a Secret volume, use a ttl of at least 15m$/gm);
    assert.deepEqual(
      [...cautioned].map(([, name]) => name),
      ['short'],
    );

    const sidecar = await startSidecar(t, { workspace, directory, env, config: { credentials } });
    const warned = (from = 0) =>
      sidecar.lines
        .slice(from)
        .filter(({ msg }) => msg.startsWith('Secret volumes may lag by more than a minute'))
        .map(({ level, credential: name, ttl }) => [level, name, ttl]);
    assert.deepEqual(warned(), [['warn', 'short', '899s']]);

    const from = sidecar.lines.length;
    const changed = { credentials: [file, secret('long', '10m')] };
    await writeFile(sidecar.configFile, configText(directory, undefined, changed));
    await sidecar.logged('configuration reloaded', { from });
    assert.deepEqual(warned(from), [['warn', 'long', '10m']]);
  },
);
