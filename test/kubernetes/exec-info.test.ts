import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { openConnection } from '../../src/kubernetes/connection.ts';
import { type Cleanup, temporaryDirectory } from '../support/cleanup.ts';

const API_VERSION = 'client.authentication.k8s.io/v1';
const AUTHORITY = Buffer.from('authority').toString('base64');
const BASE = { server: 'https://127.0.0.1:1', 'tls-server-name': 'api.example' };

/** What `bin/login` beside the kubeconfig is told, which it prints as its token, in base64. */
async function toldTo(t: Cleanup, exec: object, cluster: object): Promise<unknown> {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'kubeconfig');
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { exec: { apiVersion: API_VERSION, command: 'bin/login', ...exec } } }],
  };
  await mkdir(join(directory, 'bin'));
  const print = `echo "{\\"status\\": {\\"token\\": \\"$(printf %s "$KUBERNETES_EXEC_INFO" | base64 | tr -d '\\n')\\"}}"`;
  await writeFile(join(directory, 'bin/login'), `#!/bin/sh\n${print}\n`);
  await chmod(join(directory, 'bin/login'), 0o755);
  await writeFile(join(directory, 'ca.crt'), 'authority');
  await writeFile(path, JSON.stringify(config));
  const { options } = await (await openConnection(relative('', path)))();
  const { Authorization: login = '' } = options.headers as Readonly<Record<string, string>>;
  return JSON.parse(Buffer.from(login.replace('Bearer ', ''), 'base64').toString());
}

test('a program that a kubeconfig logs in with is looked for beside that, and told which answer is asked for', async (t) => {
  const told = { kind: 'ExecCredential', apiVersion: API_VERSION, spec: { interactive: false } };
  assert.deepEqual(await toldTo(t, {}, BASE), told);
  // As `kubectl config` writes what is not given.
  assert.deepEqual(await toldTo(t, { args: null, env: null, provideClusterInfo: false }, BASE), told);
});

test('it is told by which cluster, if it asks for that', async (t) => {
  const config = { audience: 'x' };
  const extensions = [
    { name: 'other', extension: {} },
    { name: 'client.authentication.k8s.io/exec', extension: config },
  ];
  const clusters = [
    [
      { ...BASE, 'certificate-authority-data': AUTHORITY },
      { ...BASE, 'certificate-authority-data': AUTHORITY },
    ],
    [
      { ...BASE, 'certificate-authority': 'ca.crt' },
      { ...BASE, 'certificate-authority-data': AUTHORITY },
    ],
    [
      { ...BASE, 'insecure-skip-tls-verify': true, extensions },
      { ...BASE, 'insecure-skip-tls-verify': true, config },
    ],
  ] as const;
  for (const [given, cluster] of clusters) {
    const { spec } = (await toldTo(t, { provideClusterInfo: true }, given)) as { readonly spec: object };
    assert.deepEqual(spec, { cluster, interactive: false });
  }
});

test('an authority that is not there is told as that, also where the program would be told of it', async (t) => {
  await assert.rejects(toldTo(t, { provideClusterInfo: true }, { ...BASE, 'certificate-authority': 'missing.crt' }), {
    failure: 'refused',
    message: /^the API server cannot be found: the kubeconfig .+ cannot be used: .+\/missing\.crt ENOENT$/,
  });
});
