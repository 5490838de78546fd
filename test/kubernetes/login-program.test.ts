import assert from 'node:assert/strict';
import { execFile as execFileWithCallback } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ApiServer } from '../../src/kubernetes/api-server.ts';
import { startLogin } from '../../src/kubernetes/login-program.ts';
import { clientFor } from '../support/api-client.ts';
import { credential } from '../support/sidecar-setup.ts';
import { allGone, hangingCli, workspaceFor } from '../support/sidecar-clis.ts';
import { spawnRun } from '../support/sidecar.ts';
import { assertKeepsNoProcess } from '../support/processes.ts';
import { temporaryDirectory, type Cleanup } from '../support/cleanup.ts';

const execFile = promisify(execFileWithCallback);

/** Of a cluster that is not there. */
async function kubeconfigWith(t: Cleanup, command: string, more: object = {}): Promise<string> {
  const path = join(await temporaryDirectory(t), 'kubeconfig');
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command, ...more };
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'u', user: { exec } }],
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

test('a program that a kubeconfig logs in with is ended in time, with what it has started', async (t) => {
  const hanging = await hangingCli(t);
  const child = startLogin(hanging.path, [], {}, 2_000);
  const failed = once(child, 'close');
  const [pids] = await Promise.all([
    hanging.pids(),
    assert.rejects(failed, { message: `${hanging.path} did not end within 2 s` }),
  ]);
  await allGone(pids);
});

for (const stream of [1, 2]) {
  test(
    `a program that a kubeconfig logs in with is ended where it prints without an end, to ${stream === 1 ? 'standard output' : 'standard error'}`,
    { timeout: 10_000 },
    async () => {
      const child = startLogin('sh', ['-c', `exec yes >&${stream}`]);
      for (const pipe of [child.stdout!, child.stderr!]) pipe.resume(); // as the client library does
      const closed = once(child, 'close');
      await assert.rejects(closed, { message: 'sh printed far more than an ExecCredential' });
      await allGone([child.pid!]);
    },
  );
}

test('where no file can be opened any more, such a program is an error that can be told, and not the end', async () => {
  const script = `
    import { openSync, writeSync } from 'node:fs';
    import { startLogin } from '${import.meta.resolve('../../src/kubernetes/login-program.ts')}';
    let limit;
    while (limit === undefined) try { openSync('/dev/null') } catch (error) { limit = error.code }
    const child = startLogin('true');
    for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding('utf8'); // as the client library does
    let failure;
    child.on('error', ({ code }) => (failure = code));
    child.on('close', () => writeSync(1, failure));
  `;
  const [sh, node] = ['ulimit -n 200; exec "$0" "$@"', process.execPath];
  const { stdout } = await execFile('sh', ['-c', sh, node, '--input-type=module', '--eval', script]);
  assert.equal(stdout, 'EMFILE');
});

test('a program that a kubeconfig logs in with has no input to wait for', async () => {
  const [code] = (await once(startLogin('cat'), 'close')) as [number | null];
  assert.equal(code, 0);
});

test('a program that has ended in time is not ended again at its deadline: another one may have its number', async (t) => {
  const deadline = new AbortController();
  t.mock.method(AbortSignal, 'timeout', () => deadline.signal);
  const child = startLogin('true');
  for (const pipe of [child.stdout!, child.stderr!]) pipe.resume();
  await once(child, 'close');
  child.on('error', () => {});
  const kill = t.mock.method(process, 'kill', () => true);
  deadline.abort();
  assert.equal(kill.mock.callCount(), 0);
});

test('a program that a kubeconfig has logged in with is not kept in memory', async () => {
  await assertKeepsNoProcess(async () => {
    const child = startLogin('true');
    for (const pipe of [child.stdout!, child.stderr!]) pipe.resume();
    await once(child, 'close');
  });
});

for (const [title, more] of [
  ['', {}],
  [', with variables of its own,', { env: [{ name: 'CLOUD_PROFILE', value: 'mine' }] }],
] as const) {
  test(`a program that a kubeconfig logs in with${title} sees the environment without the identity`, async (t) => {
    const directory = await temporaryDirectory(t);
    const [program, seen] = [join(directory, 'login'), join(directory, 'seen')];
    await writeFile(program, `#!/bin/sh\nenv > '${seen}'\necho '{"status": {"token": "x"}}'\n`);
    await chmod(program, 0o755);
    Object.assign(process.env, { DATABRICKS_CLIENT_SECRET: 'canary', CLOUD_REGION: 'here' });
    t.after(() => ['DATABRICKS_CLIENT_SECRET', 'CLOUD_REGION'].forEach((name) => delete process.env[name]));
    await new ApiServer(await kubeconfigWith(t, program, more), 'test').prepare(t);
    const environment = await readFile(seen, 'utf8');
    assert.match(environment, /^CLOUD_REGION=here$/m);
    assert.equal(/^CLOUD_PROFILE=mine$/m.test(environment), 'env' in more);
    assert.doesNotMatch(environment, /canary/);
  });
}

test('a program that hangs at a later login holds up no request for longer than that may take', async (t) => {
  const hanging = await hangingCli(t);
  const directory = await temporaryDirectory(t);
  const program = join(directory, 'login');
  const expired = { status: { token: 'x', expirationTimestamp: '2020-01-01T00:00:00Z' } };
  const once = `mkdir '${directory}/asked' 2>/dev/null && echo '${JSON.stringify(expired)}'`;
  await writeFile(program, `#!/bin/sh\n${once} || exec '${hanging.path}'\n`);
  await chmod(program, 0o755);
  const kubeconfig = await kubeconfigWith(t, program);
  const api = new ApiServer(kubeconfig, 'test');
  await api.prepare(t);
  await assert.rejects(api.request({ method: 'GET', path: '/api', timeoutMs: 100, signal: t.signal }), {
    failure: 'unreachable',
    message: `cannot log in to the API server with the kubeconfig ${kubeconfig}: the login does not end in time`,
    remedy: /^fix what the kubeconfig refers to: .*a login program/,
  });
  for (const pid of await hanging.pids()) process.kill(pid, 'SIGKILL');
});

for (const [what, expiry] of [
  ['has expired', ', "expirationTimestamp": "2020-01-01T00:00:00Z"'],
  ['is refused', ''],
] as const) {
  test(`a program that a kubeconfig logs in with runs once for all requests that come together when its login ${what}`, async (t) => {
    // The second login that is printed is good, also where the first one has not expired.
    const server = createServer(({ headers: { authorization } }, response) => {
      response.writeHead(authorization === 'Bearer 2' ? 200 : 401).end('{}');
    });
    t.after(() => server.close());
    const directory = await temporaryDirectory(t);
    const [program, runs] = [join(directory, 'login'), join(directory, 'runs')];
    const print = `echo '{"status": {"token": "'$(wc -l < '${runs}')'"${expiry}}}'`;
    await writeFile(program, `#!/bin/sh\necho run >> '${runs}'\n${print}\n`);
    await chmod(program, 0o755);
    const { api, kubeconfig } = await clientFor(t, server);
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: program };
    const text = await readFile(kubeconfig, 'utf8');
    await writeFile(kubeconfig, text.replace('{"token":"first"}', JSON.stringify({ exec })));
    await api.prepare(t);
    const ask = async () => (await api.request({ method: 'GET', path: '/', signal: t.signal })).status;
    const statuses = await Promise.all(Array.from({ length: 20 }, ask));
    assert.equal(await readFile(runs, 'utf8'), 'run\nrun\n');
    assert.deepEqual(new Set(statuses), new Set([200]));
  });
}

for (const [what, printed] of [
  ['an ExecCredential without a status', '{"kind": "ExecCredential", "spec": {}}'],
  ['a status without a login', '{"status": {}}'],
  ['an empty token', '{"status": {"token": ""}}'],
  ['null', 'null'],
] as const) {
  test(`a program that prints ${what} once is asked again at the next request, and nothing is asked for as nobody`, async (t) => {
    const seen: unknown[] = [];
    const server = createServer(({ headers }, response) => {
      seen.push(headers.authorization);
      response.end('{}');
    });
    t.after(() => server.close());
    const output = join(await temporaryDirectory(t), 'output');
    const print = async (token: string, more: object = {}): Promise<void> =>
      await writeFile(output, JSON.stringify({ status: { token, ...more } }));
    const { api, kubeconfig } = await clientFor(t, server);
    const text = await readFile(kubeconfig, 'utf8');
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'cat', args: [output] };
    await writeFile(kubeconfig, text.replace('{"token":"first"}', JSON.stringify({ exec })));
    const ask = async () => await api.request({ method: 'GET', path: '/', signal: t.signal });
    await print('first', { expirationTimestamp: '2020-01-01T00:00:00Z' });
    await api.prepare(t);
    await writeFile(output, printed);
    await assert.rejects(ask(), {
      failure: 'unreachable',
      message: `cannot log in to the API server with the kubeconfig ${kubeconfig}: the login program did not print an ExecCredential`,
      remedy: /^fix what the kubeconfig refers to: .*a login program/,
    });
    await print('second');
    await ask();
    assert.deepEqual(seen, ['Bearer second']);
  });
}

test(
  'SIGTERM ends the sidecar with 0 within a second while such a program hangs at the start, and all that it started',
  { timeout: 30_000 },
  async (t) => {
    const hanging = await hangingCli(t);
    const secret = { namespace: 'apps', name: 'lakebase', data: { password: 'token' } };
    const sidecar = await spawnRun(t, {
      workspace: await workspaceFor(t),
      config: { credentials: [credential('/nowhere', { sinks: [{ secret }] })] },
      env: { KUBECONFIG: await kubeconfigWith(t, hanging.path) },
    });
    const pids = await hanging.pids();
    const { code, durationMs } = await sidecar.stop();
    assert.equal(code, 0);
    assert.ok(durationMs < 1_000, `${durationMs} ms`);
    assert.equal(sidecar.stderr, '');
    await allGone(pids);
  },
);
