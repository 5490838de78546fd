import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { ENDPOINT, credential } from '../support/sidecar-setup.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { eventually, temporaryDirectory } from '../support/sidecar-wait.ts';
import { startSidecar } from '../support/sidecar.ts';

/** A write does four things at once, and somebody asks what the file holds. */
const CALLS_PER_FILE = 5;

test(
  'a disk that hangs, with two files on it, keeps no other file from its next token',
  { timeout: 60_000 },
  async (t) => {
    const workspace = await workspaceFor(t, { tokenLifetimeMs: 12_000 });
    const directory = await temporaryDirectory(t);
    const away = ['away', 'away-too'].map((name) => ({ file: { path: `${directory}/disk/${name}`, format: 'token' } }));
    const config = {
      credentials: [
        credential(directory),
        credential(directory, { name: 'away', endpoint: `${ENDPOINT}2`, sinks: away }),
      ],
      refresh: { at: 0.1, jitter: 0, floor: '1s' },
    };
    // Nobody writes into the pipe, so that each call to open it waits like one for such a disk: until the process ends.
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const hang = `for(let_i=0;i<${CALLS_PER_FILE * away.length};i++)process.getBuiltinModule('fs').open('${pipe}',()=>{})`;
    const code = `process.once('SIGUSR2',()=>{${hang}})`.replaceAll('_', '%20');
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${code}` };
    const sidecar = await (await startSidecar(t, { workspace, directory, config, env })).ready();
    sidecar.kill('SIGUSR2');
    const minted = workspace.minted.length;
    await eventually('the file has a token that was minted since', async () => {
      const token = await sidecar.read('token');
      return workspace.minted.slice(minted + 1).some((one) => one.token === token && one.resource === ENDPOINT);
    });
    assert.ok(await sidecar.isReady());
  },
);
