import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';

const repository = join(import.meta.dirname, '..', '..');

function nameOf(script: string): string {
  return script === 'test-cluster' ? 'test:cluster' : script;
}

async function run(script: string, ...args: readonly string[]) {
  const env = { KUBECONFIG: undefined };
  return execa(process.execPath, [`scripts/${script}.ts`, ...args], { cwd: repository, env, reject: false });
}

for (const [script, ...args] of [
  ['cluster'],
  ['cluster', 'start'],
  ['cluster', 'up', 'down'],
  ['cluster', 'up', '--no-such-option'],
  ['test-cluster', '--no-such-option'],
  ['image'],
  ['image', '--output'],
  ['image', '--output', 'x.tar', '--without-cli', '--cli', '/bin/true'],
] as const) {
  test(`npm run ${[nameOf(script), '--', ...args].join(' ')} is wrong usage`, async () => {
    const { exitCode, stdout, stderr } = await run(script, ...args);
    assert.deepEqual({ exitCode, stdout }, { exitCode: 64, stdout: '' });
    assert.match(stderr, /npm run|option/i);
    assert.doesNotMatch(stderr, /\n {4}at /);
  });
}

for (const script of ['cluster', 'image', 'test-cluster']) {
  test(`npm run ${nameOf(script)} -- --help explains every option`, async () => {
    const { exitCode, stdout } = await run(script, '--help');
    assert.equal(exitCode, 0);
    assert.match(stdout, new RegExp(`npm run ${nameOf(script)} -- `));
  });
}

for (const [port, problem] of [
  ['0', /--host-port 0: a port is a number from 1 to 65535/],
  ['http', /--host-port http: a port is a number from 1 to 65535/],
] as const) {
  test(`the cluster refuses the host port ${port}`, async () => {
    const { exitCode, stderr } = await run('cluster', 'up', '--host-port', port);
    assert.equal(exitCode, 1);
    assert.match(stderr, problem);
  });
}

test('the image refuses a CLI that is not there', async () => {
  const { exitCode, stderr } = await run('image', '--output', 'x.tar', '--cli', '/nowhere/databricks');
  assert.deepEqual(
    { exitCode, stderr },
    { exitCode: 1, stderr: 'the CLI /nowhere/databricks is missing, or not executable' },
  );
});

test('the cluster tells whoever is not root, and changes nothing', async (t) => {
  const skip = process.platform !== 'linux' && 'needs Linux';
  if (skip !== false) return t.skip(skip);
  const options = { cwd: repository, env: { KUBECONFIG: undefined, HOME: tmpdir() }, reject: false } as const;
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const { exitCode, stderr } = await execa(process.execPath, ['scripts/cluster.ts', 'up'], { ...options, ...user });
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /^a cluster of its own needs root \(.*\): run as root, or set KUBECONFIG$/);
});
