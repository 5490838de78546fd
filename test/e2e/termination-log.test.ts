import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { NODE, runCommand, spawnRun, startSidecar } from '../support/sidecar.ts';

const NO_MOUNTS: string | false =
  spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/tmp']).status !== 0 &&
  'no mounts of its own can be made here: `sudo npm test`, on Linux with util-linux';

/** For this Node.js, in a /dev of its own, a file in the directory is the termination log, as in a container of a pod. */
async function nodeOfPod(directory: string): Promise<string> {
  await mkdir(join(directory, 'dev'));
  await writeFile(join(directory, 'termination-log'), '');
  const bind = (from: string, to: string): string => `touch ${to} && mount --bind "${from}" ${to}`;
  const steps = [
    `mount -t tmpfs tmpfs "${directory}/dev" && cd "${directory}/dev"`,
    ...['null', 'urandom'].map((device) => bind(`/dev/${device}`, device)),
    bind(`${directory}/termination-log`, 'termination-log'),
    'mount --rbind . /dev && cd / && exec "$0" "$@"',
  ];
  const path = join(directory, 'node');
  await writeFile(path, `#!/bin/sh\nexec unshare -rm sh -c '${steps.join(' && ')}' "${NODE}" "$@"\n`, { mode: 0o755 });
  return path;
}

/** A pod in which nothing may be minted, and the last words of its container. */
async function forbiddenPod(t: TestContext) {
  const workspace = await workspaceFor(t);
  workspace.fail('credential', { status: 403, body: { message: 'User does not have CAN_USE' } });
  const directory = await temporaryDirectory(t);
  const told = async (): Promise<string> => await readFile(join(directory, 'termination-log'), 'utf8');
  return { options: { workspace, directory, node: await nodeOfPod(directory) }, told };
}

const limits = { timeout: 60_000, skip: NO_MOUNTS };
const FORBIDDEN =
  /^\d{4}-\d\d-\d\dT[\d:.]{12}Z backstage: the service principal may not use this endpoint .*: give .* CAN USE .*\n$/;

test(
  'the last problem, survived or not, stands on one line where `kubectl describe pod` shows it',
  limits,
  async (t) => {
    const { options, told } = await forbiddenPod(t);
    const sidecar = await startSidecar(t, options);
    assert.match(await eventually('it is told', async () => (await told()) || undefined), FORBIDDEN);
    await sidecar.stop();

    const { code } = await runCommand(t, 'run', { ...options, config: { refresh: { at: 2 }, unknown: 1 } });
    assert.equal(code, 78);
    assert.match(await told(), /^refresh\.at: must be .* unknown: is not known; .*\n$/);
  },
);

test(
  '`kubectl describe pod` shows the last problem of once, too, where that is stopped before its time is up',
  limits,
  async (t) => {
    const { options, told } = await forbiddenPod(t);
    const once = await spawnRun(t, options, 'once');
    await once.logged('mint failed');
    assert.equal((await once.stop()).code, 143);
    assert.match(await told(), FORBIDDEN);
  },
);

test('`kubectl describe pod` shows no problem of once that was over before it succeeded', limits, async (t) => {
  const { options, told } = await forbiddenPod(t);
  const once = await spawnRun(t, options, 'once');
  await once.logged('mint failed');
  assert.match(await told(), FORBIDDEN);
  await options.workspace.recover();
  assert.equal((await once.exited).code, 0);
  assert.equal(await told(), '');
});
