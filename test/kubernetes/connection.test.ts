import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SinkError } from '../../src/credential/errors.ts';
import { openConnection, stateOf } from '../../src/kubernetes/connection.ts';
import { temporaryDirectory } from '../support/cleanup.ts';

const SERVER = { server: 'https://127.0.0.1:1' };

/** JSON is YAML, too. */
function kubeconfig(user: object, cluster: object = SERVER): string {
  return JSON.stringify({
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
  });
}

const COMPLAINTS = [
  'no session: Bearer canary.4711 was refused',
  'token=canary-4711&',
  '"id_token": "canary-4711"',
  'client_secret=canary',
  'parse "http://user:canary^@proxy:3128": net/url: invalid userinfo',
  `k8s-aws-v1.${'Y2FuYXJ5canary'.repeat(9)}`,
  'Token: canary.4711',
  ...['secret', 'password', 'assertion'].map((what) => `${what}: canary.4711`),
  `id ${'canary4711'.repeat(7)}`,
  'AccessDenied: the token: expired for Role_4711',
];

const REFUSED: Readonly<Record<string, readonly [content: string | undefined, problem: RegExp, remedy: RegExp]>> = {
  'is not there': [undefined, /cannot be read \(ENOENT\)$/, /^set KUBECONFIG to the path of one file/],
  'is empty': ['\n', /is empty$/, /^put a kubeconfig there/],
  'cannot be parsed': ['{"users": [', /cannot be parsed$/, /^put a kubeconfig there/],
  'names a number as its token file': [kubeconfig({ tokenFile: 5 }), /cannot be parsed$/, /^put a kubeconfig there/],
  'has no current context': ['{"users": []}', /has no current-context/, /^set its current-context to/],
  'has a context without its cluster': [
    kubeconfig({ token: 'x' }).replace('"cluster":"c"', '"cluster":"d"'),
    /has no current-context, or one whose cluster or user is missing$/,
    /a cluster and a user of the same file/,
  ],
  'has a context without its user': [
    kubeconfig({ token: 'x' }).replace('"user":"u"', '"user":"v"'),
    /has no current-context, or one whose cluster or user is missing$/,
    /a cluster and a user of the same file/,
  ],
  'asks for a proxy': [
    kubeconfig({ token: 'x' }, { ...SERVER, 'proxy-url': 'http://127.0.0.1:1' }),
    /requires a proxy, which is not supported$/,
    /^remove proxy-url from its cluster/,
  ],
  'names a server without TLS': [
    kubeconfig({ token: 'x' }, { server: 'http://127.0.0.1:1' }),
    /names a server without TLS$/,
    /^make its server begin with https:\/\//,
  ],
  'names a server without TLS in capitals': [
    kubeconfig({ token: 'x' }, { server: 'HTTP://127.0.0.1:1' }),
    /names a server without TLS$/,
    /^make its server begin with https:\/\//,
  ],
  'names an address for a server': [
    kubeconfig({ token: 'x' }, { server: '127.0.0.1:6443' }),
    /names a server that is not an https URL$/,
    /^set its server to a URL of the form https:\/\/host:port/,
  ],
  'names a host and a port for a server': [
    kubeconfig({ token: 'x' }, { server: 'localhost:6443' }),
    /names a server that is not an https URL$/,
    /^set its server to a URL of the form https:\/\/host:port/,
  ],
  'says as which groups to ask, and not as whom': [
    kubeconfig({ token: 'x', 'as-groups': ['admins'] }),
    /impersonates a uid, groups or extra fields, but no user$/,
    /^set `as` for its user, too/,
  ],
  'logs in with what kubectl has dropped': [
    kubeconfig({ 'auth-provider': { name: 'gcp', config: {} } }),
    /uses the auth-provider gcp, which is not supported$/,
    /^configure exec, tokenFile/,
  ],
  'names a file that is not there': [
    kubeconfig({ tokenFile: 'nothing' }),
    /cannot be used: \/.*\/nothing ENOENT$/,
    /^fix what it refers to: files/,
  ],
  'names a program that is not there': [
    kubeconfig({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: '/nowhere/login' } }),
    /cannot be used: \/nowhere\/login ENOENT$/,
    /^fix what it refers to: .*program/,
  ],
  'names a program that prints nothing but a token': [
    kubeconfig({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'echo', args: ['canary.f395accd'] } }),
    /cannot be used: the login program did not print an ExecCredential$/,
    /^fix what it refers to: .*program/,
  ],
  'names a program that prints another object': [
    kubeconfig({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'echo', args: ['{}'] } }),
    /cannot be used: the login program did not print an ExecCredential$/,
    /^fix what it refers to: .*program/,
  ],
  'names a program that complains at length, with a token in it': [
    kubeconfig({
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: 'sh',
        args: ['-c', `echo "no session for eyJjYW5hcnkiOiJmMzk1YWNjZCJ9.e30.x:\n see $(printf %0999d 0)" >&2; exit 1`],
      },
    }),
    /cannot be used: no session for \[redacted\]: see 0{400,480}$/,
    /^fix what it refers to: .*program/,
  ],
  'names a program that complains with logins in it that are no JWT': [
    kubeconfig({
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: 'sh',
        args: ['-c', `printf '%s\\n' ${COMPLAINTS.map((complaint) => `'${complaint}'`).join(' ')} >&2; exit 1`],
      },
    }),
    /cannot be used: no session: \[redacted\] was refused token=\[redacted\]& "id_token": \[redacted\] client_secret=\[redacted\] parse "http:\/\/user:\[redacted\]@proxy:3128": net\/url: invalid userinfo k8s-aws-v1\.\[redacted\] Token: \[redacted\] secret: \[redacted\] password: \[redacted\] assertion: \[redacted\] id \[redacted\] AccessDenied: the token: expired for Role_4711$/,
    /^fix what it refers to: .*program/,
  ],
  'names a program that fails without a word': [
    kubeconfig({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'false' } }),
    /cannot be used: the login program failed without output$/,
    /^fix what it refers to: .*program/,
  ],
};

for (const [what, [content, problem, remedy]] of Object.entries(REFUSED)) {
  test(`a kubeconfig that ${what} is refused with what to do about it, and nothing about pods`, async (t) => {
    const path = join(await temporaryDirectory(t), 'kubeconfig');
    if (content !== undefined) await writeFile(path, content);
    await assert.rejects(openConnection(path), (error) => {
      assert.ok(error instanceof SinkError);
      assert.ok(error.message.includes(`the kubeconfig ${path} `), error.message);
      assert.match(error.message, problem);
      assert.match(error.remedy, remedy);
      assert.doesNotMatch(error.remedy, /mount/);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /canary/);
      return true;
    });
  });
}

test('without a kubeconfig, and outside of a pod, the remedy names both ways out', async (t) => {
  const { KUBERNETES_SERVICE_HOST: host } = process.env;
  t.after(() => {
    if (host !== undefined) process.env['KUBERNETES_SERVICE_HOST'] = host;
  });
  delete process.env['KUBERNETES_SERVICE_HOST'];
  await assert.rejects(openConnection(undefined), {
    failure: 'refused',
    message: /: this is not a pod \(KUBERNETES_SERVICE_HOST is not set\), and KUBECONFIG is not set either$/,
    remedy: /^mount the token of the service account .*, or set KUBECONFIG$/,
  });
});

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

test(
  'a pod without its service account is told what to mount',
  { skip: existsSync(SERVICE_ACCOUNT) && `${SERVICE_ACCOUNT} is there` },
  async (t) => {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
    t.after(() => {
      delete process.env['KUBERNETES_SERVICE_HOST'];
      delete process.env['KUBERNETES_SERVICE_PORT'];
      Object.assign(process.env, host && { KUBERNETES_SERVICE_HOST: host }, port && { KUBERNETES_SERVICE_PORT: port });
    });
    Object.assign(process.env, { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' });
    await assert.rejects(openConnection(undefined), {
      failure: 'refused',
      message: new RegExp(
        String.raw`: no service account is mounted in this pod \(${SERVICE_ACCOUNT}/[\w.]+ ENOENT\)$`,
      ),
      remedy: /^mount the token of the service account in the pod/,
    });
  },
);

test('certificates and tokens are read again for each request, because they are rotated on disk', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'kubeconfig');
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => join(directory, name)) as [string, string, string];
  const user = { 'client-certificate': cert, 'client-key': key };
  await writeFile(path, kubeconfig(user, { ...SERVER, 'certificate-authority': ca, 'tls-server-name': 'api.example' }));
  const rotate = async (to: string) =>
    await Promise.all([ca, cert, key].map(async (name) => await writeFile(name, `${name} ${to}`)));
  await rotate('first');
  const connect = await openConnection(path);
  for (const to of ['first', 'second']) {
    await rotate(to);
    const { server, options } = await connect();
    assert.equal(server, SERVER.server);
    assert.partialDeepStrictEqual(options, {
      ca: Buffer.from(`${ca} ${to}`),
      cert: Buffer.from(`${cert} ${to}`),
      key: Buffer.from(`${key} ${to}`),
      servername: 'api.example',
    });
  }
});

test('a kubeconfig counts as another one when it is written, and when one with the same time takes its place', async (t) => {
  const directory = await temporaryDirectory(t);
  const [path, successor] = [join(directory, 'kubeconfig'), join(directory, 'successor')];
  assert.equal(stateOf(path), undefined);
  for (const file of [path, successor]) {
    await writeFile(file, '');
    await utimes(file, 1, 1); // as what unpacks an archive may set it
  }
  const states = [stateOf(path)];
  await utimes(path, 1, 2);
  states.push(stateOf(path));
  await utimes(path, 1, 1);
  await rename(successor, path);
  states.push(stateOf(path));
  assert.equal(new Set(states).size, 3, states.join(', '));
});

test('a kubeconfig that is a pipe is refused, and never waited for', async (t) => {
  const path = join(await temporaryDirectory(t), 'kubeconfig');
  execFileSync('mkfifo', [path]);
  await assert.rejects(openConnection(path), {
    message: `the API server cannot be found: the kubeconfig ${path} is a pipe, not a file`,
    remedy: /^set KUBECONFIG to the path of one file/,
  });
});

test('a line break at the end of a token file is not sent', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'token'), 'x\n');
  const path = join(directory, 'kubeconfig');
  await writeFile(path, kubeconfig({ tokenFile: 'token' }));
  const { options } = await (await openConnection(path))();
  assert.deepEqual(options.headers, { Authorization: 'Bearer x' });
});

test('a program may log in with a certificate and its key, as where a cluster takes no tokens', async (t) => {
  const path = join(await temporaryDirectory(t), 'kubeconfig');
  const login = { status: { clientCertificateData: 'a certificate', clientKeyData: 'its key' } };
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'echo', args: [JSON.stringify(login)] };
  await writeFile(path, kubeconfig({ exec }));
  const { options } = await (await openConnection(path))();
  assert.partialDeepStrictEqual(options, { cert: 'a certificate', key: 'its key', headers: {} });
});

test('of a token and a file with one the file counts, as with kubectl: only that is renewed', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'token'), 'renewed');
  const path = join(directory, 'kubeconfig');
  await writeFile(path, kubeconfig({ token: 'once', tokenFile: 'token' }));
  const { options } = await (await openConnection(path))();
  assert.deepEqual(options.headers, { Authorization: 'Bearer renewed' });
});

test('of several users it is the one of the current context who logs in', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'kubeconfig');
  const { users, ...rest } = JSON.parse(kubeconfig({ tokenFile: 'ours' })) as { readonly users: readonly object[] };
  const all = [{ name: 'other', user: { tokenFile: 'theirs' } }, ...users];
  await writeFile(path, JSON.stringify({ ...rest, users: all }));
  for (const name of ['ours', 'theirs']) await writeFile(join(directory, name), name);
  const { options } = await (await openConnection(path))();
  assert.deepEqual(options.headers, { Authorization: 'Bearer ours' });
});

test('a token file that was empty when it was read is read again for the next request', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'kubeconfig');
  await writeFile(path, kubeconfig({ tokenFile: 'token' }));
  for (const [index, empty] of ['', '\n'].entries()) {
    await writeFile(join(directory, 'token'), empty);
    const connect = await openConnection(path);
    await writeFile(join(directory, 'token'), `written ${index}`);
    const { options } = await connect();
    assert.deepEqual(options.headers, { Authorization: `Bearer written ${index}` });
  }
});

test('whom a kubeconfig asks as goes to the API server with uid, groups and extras, as with kubectl', async (t) => {
  const path = join(await temporaryDirectory(t), 'kubeconfig');
  const user = {
    token: 'x',
    as: 'jürgen',
    'as-uid': 7,
    'as-groups': ['writers', 'prüfer'],
    'as-user-extra': { 'acme.example/project': ['a', 'b'], 'ü%': ['ß'] },
  };
  const inBytes = (text: string): string => Buffer.from(text).toString('latin1');
  await writeFile(path, kubeconfig(user));
  const { options } = await (await openConnection(path))();
  assert.deepEqual(options.headers, {
    Authorization: 'Bearer x',
    'Impersonate-User': inBytes('jürgen'),
    'Impersonate-Uid': '7',
    'Impersonate-Group': ['writers', inBytes('prüfer')],
    'Impersonate-Extra-acme.example%2Fproject': ['a', 'b'],
    'Impersonate-Extra-%C3%BC%25': [inBytes('ß')],
  });
});

test('a kubeconfig that asks as nobody else sends nothing about that', async (t) => {
  const path = join(await temporaryDirectory(t), 'kubeconfig');
  await writeFile(path, kubeconfig({ token: 'x', as: null, 'as-uid': '', 'as-groups': [], 'as-user-extra': null }));
  const { options } = await (await openConnection(path))();
  assert.deepEqual(options.headers, { Authorization: 'Bearer x' });
});
