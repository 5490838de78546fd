import assert from 'node:assert/strict';
import { copyFile, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { execa } from 'execa';
import { temporaryDirectory } from '../support/cleanup.ts';
import { unwantedPort } from '../support/ports.ts';
import { eventually } from '../support/eventually.ts';
import { startWorkspace, type Workspace } from '../support/workspace.ts';
import { existingKubeconfig, ownCluster, whyNoCluster, whyNotOwn, type Cluster } from './cluster.ts';
import { killAll, processesOf } from './daemons.ts';
import { buildImage, whyNoImage } from './image.ts';
import { files, state } from './layout.ts';
import { down, status, up } from './lifecycle.ts';
import { podProcesses } from './leftovers.ts';
import { locatePrograms } from './programs.ts';
import { sidecarProcess } from './support/pods-processes.ts';
import { NAMESPACE, namespace, sidecarPod } from './sidecar-pod.ts';
import { childrenOf, traces } from './traces.ts';

const repository = join(import.meta.dirname, '..', '..');
const isUp = existingKubeconfig === undefined && (await status()) !== 'down';
const skip =
  whyNotOwn ||
  (isUp && 'a cluster is up: run "npm run cluster -- down" first') ||
  ((await whyNoCluster()) ?? (await whyNoImage()) ?? false);

async function run(...args: readonly string[]) {
  return runWith({}, ...args);
}

async function runWith(env: NodeJS.ProcessEnv, ...args: readonly string[]) {
  return execa(process.execPath, ['scripts/cluster.ts', ...args], { cwd: repository, env, reject: false });
}

describe('a cluster of its own', { skip, concurrency: false }, () => {
  let untouched: Awaited<ReturnType<typeof traces>>;
  let cluster: Cluster;
  let workspace: Workspace;

  before(async () => {
    const archive = join(tmpdir(), `lakebase-credential-sidecar-${process.pid}.tar`);
    await buildImage({ output: archive, cli: process.env['DATABRICKS_CLI'] });
    // Not sooner: where buildah runs for the first time, it makes /etc/cni and /var/lib/containers, and keeps them.
    untouched = await traces();
    const port = await unwantedPort();
    const { exitCode, stdout, stderr } = await run('up', '--audit', '--host-port', `${port}`);
    assert.equal(exitCode, 0, stderr);
    assert.equal(stdout, files.kubeconfig);
    cluster = await ownCluster();
    await cluster.loadImage(archive);
    await rm(archive);
    workspace = await startWorkspace({ port, publicUrl: `http://${cluster.hostAddress}:${port}` });
    await cluster.kubectl(['create', '-f', '-'], { input: namespace });
  });
  after(async () => {
    await workspace.close();
    await down();
  });

  async function podOf(
    name: string,
  ): Promise<{ readonly metadata: { readonly uid: string }; readonly status: PodStatus }> {
    return JSON.parse(await cluster.kubectl(['--namespace', NAMESPACE, 'get', 'pod', name, '-o', 'json']));
  }

  async function start(pod: ReturnType<typeof sidecarPod>): Promise<string> {
    await cluster.kubectl(['create', '-f', '-'], { input: pod });
    const { uid } = (await podOf(pod.metadata.name)).metadata;
    await eventually(`pod ${pod.metadata.name} runs`, async () => sidecarProcess(uid).catch(() => undefined));
    return uid;
  }

  async function isReady(name: string): Promise<void> {
    const log = async () => cluster.kubectl(['--namespace', NAMESPACE, 'logs', name]);
    await cluster
      .kubectl(['--namespace', NAMESPACE, 'wait', `pod/${name}`, '--for=condition=Ready', '--timeout=30s'])
      .catch(async (error: unknown) => assert.fail(`${String(error)}\n${await log()}`));
  }

  test('is left as it is by another up', async () => {
    const programs = Object.values(await locatePrograms());
    const running = await processesOf(programs);
    const { exitCode, stdout } = await run('up');
    assert.deepEqual({ exitCode, stdout }, { exitCode: 0, stdout: files.kubeconfig });
    assert.deepEqual(await processesOf(programs), running);
    assert.deepEqual(await run('status').then(({ exitCode, stdout }) => [exitCode, stdout]), [0, files.kubeconfig]);
  });

  test('is used, and not stopped, as the cluster of somebody else by who names it in KUBECONFIG', async (t) => {
    const KUBECONFIG = join(await temporaryDirectory(t), 'config');
    await copyFile(files.kubeconfig, KUBECONFIG);
    const PATH = `${dirname(cluster.kubectlPath)}:${process.env['PATH']}`;
    for (const [command, stdout] of [
      ['up', KUBECONFIG],
      ['status', KUBECONFIG],
      ['down', ''],
    ] as const) {
      const result = await runWith({ KUBECONFIG, PATH }, command);
      assert.deepEqual([command, result.exitCode, result.stdout], [command, 0, stdout], result.stderr);
      assert.match(result.stderr, /KUBECONFIG/);
    }
    assert.equal(await status(), 'up');
  });

  test('refuses to change its audit log while it runs', async () => {
    await assert.rejects(up({ hasAuditLog: false }), /runs with an audit log: stop it first/);
  });

  for (const uid of [65_532, 12_345]) {
    test(`runs the image as user ${uid} with a read-only root, under Pod Security restricted`, async () => {
      const name = `user-${uid}`;
      const podUid = await start(sidecarPod({ name, uid, workspace }));
      await isReady(name);
      const pgpass = await stat(state('kubelet/pods', podUid, 'volumes/kubernetes.io~empty-dir/run/pgpass'));
      assert.deepEqual([pgpass.uid, pgpass.mode & 0o777], [uid, 0o600]);
      assert.match(await readFile(files.auditLog, 'utf8'), new RegExp(`"name":"${name}"`));
    });
  }

  test('sees the sidecar, as PID 1, end within a second of SIGTERM', async () => {
    const name = 'stops';
    const pid = await sidecarProcess(await start(sidecarPod({ name, uid: 65_532, workspace })));
    await isReady(name);
    const sentAt = performance.now();
    process.kill(pid, 'SIGTERM');
    await eventually('it ends', async () =>
      readlink(`/proc/${pid}/exe`).then(
        () => false,
        () => true,
      ),
    );
    assert.ok(performance.now() - sentAt < 1_000);
    const ended = await eventually('the kubelet tells', async () => {
      return (await podOf(name)).status.containerStatuses?.[0]?.state.terminated;
    });
    assert.equal(ended.exitCode, 0);
  });

  test('sees no zombie of the CLI, neither of one that minted nor of one that was killed', async () => {
    const name = 'mints';
    const pid = await sidecarProcess(await start(sidecarPod({ name, uid: 65_532, workspace, timeout: '1s' })));
    await isReady(name);
    // Once the first credential is there, the CLI is asked for its version.
    await eventually('no child is left', async () => (await childrenOf(pid)).length === 0);
    workspace.fail('any', 'hang');
    const hanging = 'hangs';
    const other = await sidecarProcess(
      await start(sidecarPod({ name: hanging, uid: 65_532, workspace, timeout: '1s' })),
    );
    await eventually('an attempt is cut off', async () =>
      (await cluster.kubectl(['--namespace', NAMESPACE, 'logs', hanging])).includes('"timeout"'),
    );
    // The next attempt may be running by now, or have ended a moment ago; what nobody asks after would be seen at each look.
    await eventually(
      'nothing is left that has ended',
      async () => !(await childrenOf(other)).some((child) => child.startsWith('Z')),
    );
    workspace.fail('any', 'hang', 0);
  });

  test('is mended by up after a crash, and leaves nothing behind after down', async () => {
    const programs = await locatePrograms();
    for (const name of ['kubelet', 'containerd', 'kube-apiserver']) {
      await killAll(async () => [...(await processesOf([programs[name]!])).values()].flat(), name);
    }
    assert.equal(await status(), 'broken');
    assert.equal((await run('status')).exitCode, 1);
    assert.notEqual((await podProcesses()).length, 0);
    assert.equal((await run('up')).exitCode, 0);
    assert.equal(await status(), 'up');
    assert.deepEqual(await podProcesses(), []);
    assert.equal((await run('down')).exitCode, 0);
    assert.deepEqual(await traces(), untouched);
    await assert.rejects(readdir(state()), { code: 'ENOENT' });
    assert.equal((await run('down')).exitCode, 0);
  });

  test('is stopped by a run of its tests that is interrupted while it loads images', async () => {
    const args = ['scripts/test-cluster.ts', 'test/cluster/commands.test.ts'];
    const running = execa(process.execPath, args, { cwd: repository, reject: false, timeout: 120_000 });
    for await (const line of running.iterable({ from: 'stderr' })) {
      if (line.endsWith('loading images')) process.kill(running.pid!, 'SIGTERM');
    }
    const { exitCode, stderr } = await running;
    assert.equal(exitCode, 143, stderr);
    assert.deepEqual(await traces(), untouched);
  });
});

interface PodStatus {
  readonly containerStatuses?: readonly { readonly state: { readonly terminated?: { readonly exitCode: number } } }[];
}
