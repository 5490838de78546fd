import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test, type TestContext } from 'node:test';
import { temporaryDirectory, SharedCleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { configText } from '../../support/sidecar-setup.ts';
import { workspaceFor } from '../../support/sidecar-clis.ts';
import type { LogLine, Sidecar } from '../../support/sidecar.ts';
import { whyNotBuilt } from './api-server.ts';
import { ruleFor, SECRET, type Account } from './namespace.ts';
import { assertFrugal, MANAGER, SecretsWorld } from './world.ts';

const skip = await whyNotBuilt();
const RULE = `- {apiGroups: [""], resources: [secrets], resourceNames: [${SECRET}], verbs: [get, watch, patch, create]}`;

describe('a Secret that cannot be written', { skip, concurrency: 4 }, () => {
  const shared = new SharedCleanup();
  let base: SecretsWorld;

  before(async () => {
    base = await SecretsWorld.start(shared);
  });
  after(async () => {
    await assertFrugal(base.api);
    await shared.undo();
  });

  /** With a workspace of its own: what was minted last is this test's. */
  async function begin(
    t: TestContext,
    name: string,
  ): Promise<{ readonly world: SecretsWorld; readonly account: Account }> {
    const world = await base.inNamespace(name, { workspace: await workspaceFor(t) });
    return { world, account: await world.account('backstage') };
  }

  /** What the log says of the sink, which never holds back the file beside it. */
  async function complaint(sidecar: Sidecar, failure: string): Promise<LogLine & { err: { message: string } }> {
    const found = await eventually(
      `a complaint (${failure})`,
      () =>
        sidecar.lines.find(
          ({ msg, err }) => msg === 'sink not written' && (err as { failure?: string }).failure === failure,
        ),
      { onTimeout: () => sidecar.stdout },
    );
    await eventually('the file is there all the same', () => sidecar.isReady('?sinks=file'));
    assert.ok(!(await sidecar.isReady()));
    const reported = (await sidecar.status()).credentials[0]!.sinks.find(({ kind }) => kind === 'secret')!;
    assert.equal(reported.failure?.code, failure);
    assert.equal(reported.failure?.remedy, found['remedy']);
    return found as LogLine & { err: { message: string } };
  }

  function manifest(name: string, more: object): object {
    return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, ...more };
  }

  for (const [how, args, manager] of [
    ['applies', ['apply', '--server-side', '--field-manager=theirs', '-f', '-'], 'theirs'],
    ['once wrote', ['create', '-f', '-'], 'kubectl-create'],
  ] as const) {
    test(`because another manager ${how} our key is left alone, and the manager and the key are named`, async (t) => {
      const { world, account } = await begin(t, `conflict-${manager}`);
      await world.kubectl(args, manifest(SECRET, { data: { password: 'dGhlaXJz' } }));
      const sidecar = await world.start(t, { account, withFile: true });
      const { err } = await complaint(sidecar, 'conflict');
      assert.match(
        err.message,
        new RegExp(
          `^cannot apply secret:${world.namespace}/${SECRET}: \\.data\\.password belongs to the field manager "${manager}"$`,
        ),
      );
      assert.equal(await world.read(), 'theirs');
      const check = await world.run(t, 'check', { account, withFile: true });
      assert.equal(check.code, 69);
      assert.match(check.stdout, /belongs to the field manager/);
    });
  }

  test('because another manager applies our key is taken over with force: true', async (t) => {
    const { world, account } = await begin(t, 'forced');
    await world.kubectl(
      ['apply', '--server-side', '--field-manager=theirs', '-f', '-'],
      manifest(SECRET, { data: { password: 'dGhlaXJz', other: 'dGhlaXJz' } }),
    );
    const sidecar = await world.start(t, { account, secret: { force: true } });
    await sidecar.ready();
    assert.equal(await world.read(), world.newest());
    assert.equal(await world.read('other'), 'theirs');
  });

  test('because a manager begins to apply a key that was ours is left alone from then on', async (t) => {
    const { world, account } = await begin(t, 'seized');
    const sidecar = await (await world.start(t, { account, withFile: true })).ready();
    const seize = ['apply', '--server-side', '--force-conflicts', '--field-manager=theirs', '-f', '-'];
    await world.kubectl(seize, manifest(SECRET, { data: { password: 'dGhlaXJz' } }));
    assert.match((await complaint(sidecar, 'conflict')).err.message, /"theirs"/);
    assert.equal(await world.read(), 'theirs');
  });

  test('because it is immutable is refused with the reason, and made anew when somebody deletes it', async (t) => {
    const { world, account } = await begin(t, 'immutable');
    await world.kubectl(['create', '-f', '-'], manifest(SECRET, { immutable: true, data: { a: 'YQ==' } }));
    const sidecar = await world.start(t, { account, withFile: true });
    const { err, remedy } = await complaint(sidecar, 'refused');
    assert.equal(err.message, `secret:${world.namespace}/${SECRET} is immutable`);
    assert.match(String(remedy), /^delete the Secret/);
    await world.kubectl(['delete', 'secret', SECRET]);
    await world.holdsNewest();
  });

  test('because it has another type is refused with both types', async (t) => {
    const { world, account } = await begin(t, 'type');
    await world.kubectl(['create', '-f', '-'], manifest(SECRET, { type: 'example.com/theirs', data: {} }));
    const sidecar = await world.start(t, { account, withFile: true });
    assert.match(
      (await complaint(sidecar, 'refused')).err.message,
      /has the type example\.com\/theirs, but Opaque is configured/,
    );
  });

  test('under another name of its credential is written, when that was renamed in the configuration', async (t) => {
    const { world, account } = await begin(t, 'renamed');
    const sidecar = await (await world.start(t, { account })).ready();
    const { directory } = sidecar;
    const { config } = world.setup({ account, directory, credential: { name: 'renamed' } });
    assert.ok(typeof config === 'object' && config !== null);
    await writeFile(sidecar.configFile, configText(directory, undefined, config));
    const nameOf = async () => (await world.secret())?.metadata.labels?.['lakebase-credential-sidecar/credential'];
    await eventually('it is known by the new name', async () => (await nameOf()) === 'renamed', { withinMs: 10_000 });
    await sidecar.ready();
    assert.equal(await world.read(), world.newest());
    assert.equal(world.workspace.minted.length, 1, 'it was adopted');
  });

  test('with the type that it has is written', async (t) => {
    const { world, account } = await begin(t, 'own-type');
    const sidecar = await world.start(t, { account, secret: { type: 'example.com/ours' } });
    await sidecar.ready();
    assert.equal((await world.secret())?.type, 'example.com/ours');
  });

  test('because its namespace is missing says so, and is written as soon as there is one', async (t) => {
    const { world, account } = await begin(t, 'somewhere');
    const rule = {
      kind: 'ClusterRole',
      apiVersion: 'rbac.authorization.k8s.io/v1',
      metadata: { name: 'everywhere' },
      rules: [ruleFor()],
    };
    await world.kubectl(['create', '-f', '-'], rule);
    await world.kubectl([
      'create',
      'clusterrolebinding',
      'everywhere',
      '--clusterrole=everywhere',
      `--serviceaccount=${world.namespace}:${account.name}`,
    ]);
    const sidecar = await world.start(t, { account, withFile: true, secret: { namespace: 'nowhere' } });
    const { err } = await complaint(sidecar, 'no_namespace');
    assert.match(err.message, /namespaces "nowhere" not found/);
    await world.kubectl(['create', 'namespace', 'nowhere']);
    await eventually('it is written', () => sidecar.isReady(), { withinMs: 30_000 });
  });

  test('because it would be larger than a Secret may be quotes the API server, and not the token', async (t) => {
    const { world, account } = await begin(t, 'large');
    const filler = Buffer.alloc(1_048_576 - 300, 'x').toString('base64');
    await world.kubectl(['create', '-f', '-'], manifest(SECRET, { data: { filler } }));
    const sidecar = await world.start(t, { account, withFile: true });
    const { err } = await complaint(sidecar, 'refused');
    assert.match(err.message, /Too long.*\(422\)$/);
    assert.ok(!sidecar.stdout.includes(world.newest()));
  });

  test('because the role is missing shows the verb, the object and the rule, and is written when it is given', async (t) => {
    const { world, account } = await begin(t, 'role');
    await world.forbid(account);
    const check = await world.run(t, 'check', { account });
    assert.equal(check.code, 69);
    assert.ok(check.stdout.includes(RULE), check.stdout);
    const sidecar = await world.start(t, { account, withFile: true });
    const { err, remedy } = await complaint(sidecar, 'forbidden');
    assert.equal(
      err.message,
      `cannot get secrets "${SECRET}" in namespace "${world.namespace}": ${account.username} lacks the rule ${RULE}`,
    );
    assert.ok(String(remedy).includes(RULE));
    await world.allow(account, [ruleFor()]);
    await eventually('it is written', () => sidecar.isReady(), { withinMs: 30_000 });
  });

  for (const verb of ['patch', 'create']) {
    test(`because the verb ${verb} is missing names it`, async (t) => {
      const { world, account } = await begin(t, `without-${verb}`);
      await world.allow(account, [
        ruleFor(
          SECRET,
          ['get', 'watch', 'patch', 'create'].filter((one) => one !== verb),
        ),
      ]);
      const sidecar = await world.start(t, { account, withFile: true });
      const { err } = await complaint(sidecar, 'forbidden');
      assert.ok(err.message.startsWith(`cannot ${verb} secrets "${SECRET}"`), err.message);
    });
  }

  test('because of a quota of its namespace says so, and is written as soon as that is larger', async (t) => {
    const { world, account } = await begin(t, 'full');
    const hard = (count: string) => ({ hard: { 'count/secrets': count } });
    const allow = async (count: string): Promise<void> => {
      const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'few' }, spec: hard(count) };
      await world.kubectl(['apply', '-f', '-'], quota);
      // What a controller counts, where there is one.
      const patch = JSON.stringify({ status: { ...hard(count), used: { 'count/secrets': '0' } } });
      await world.kubectl(['patch', 'quota', 'few', '--subresource=status', '--type=merge', '-p', patch]);
    };
    await allow('0');
    const sidecar = await world.start(t, { account, withFile: true });
    const { err, remedy } = await complaint(sidecar, 'forbidden');
    assert.match(err.message, /is forbidden: exceeded quota: few, requested: count\/secrets=1, .* \(403\)$/);
    assert.match(String(remedy), /^give the namespace a larger quota/);
    await allow('9');
    await eventually('it is written', () => sidecar.isReady(), { withinMs: 30_000 });
  });

  test('without the verb watch is written all the same, and says that changes by others are seen late', async (t) => {
    const { world, account } = await begin(t, 'without-watch');
    await world.allow(account, [ruleFor(SECRET, ['get', 'patch', 'create'])]);
    const sidecar = await (await world.start(t, { account })).ready();
    const { err } = (await sidecar.logged('sink watch failed; changes by others are noticed late')) as LogLine & {
      err: { message: string };
    };
    assert.match(err.message, /^cannot watch secrets/);
    await world.kubectl(['delete', 'secret', SECRET]);
    await world.holdsNewest({ withinMs: 30_000 });
    await world.allow(account, [ruleFor()]);
    await sidecar.logged('sink is watched again', { withinMs: 40_000 });
  });

  test('is examined by check, which writes nothing', async (t) => {
    const { world, account } = await begin(t, 'check');
    for (const expected of [/does not exist yet and can be created/, /can be written/]) {
      const check = await world.run(t, 'check', { account });
      assert.equal(check.code, 0, check.stdout);
      assert.match(check.stdout, expected);
      if (expected.source.includes('created')) {
        assert.equal(await world.secret(), undefined);
        await world.kubectl(['create', '-f', '-'], manifest(SECRET, {}));
      }
    }
    assert.equal((await world.secret())?.data, undefined);
  });

  test('by once ends with 73 and the reason; one that can is written, and minted for in any case', async (t) => {
    const { world, account } = await begin(t, 'once');
    const done = await world.run(t, 'once', { account });
    assert.equal(done.code, 0, done.stderr);
    assert.equal(await world.read(), world.newest());
    assert.equal((await world.secret())!.metadata.managedFields[0]?.manager, MANAGER);
    await world.forbid(account);
    const refused = await world.run(t, 'once', { account, flags: ['--timeout', '5s'] });
    assert.equal(refused.code, 73, refused.stderr);
    assert.ok(refused.stderr.includes(RULE), refused.stderr);
  });

  const kubeconfigs = {
    'that does not exist': [
      undefined,
      /\/kubeconfig cannot be read \(ENOENT\)\s+→ set KUBECONFIG to the path of one file/,
    ],
    'that is empty': ['', /is empty\s+→ put a kubeconfig there/],
    'that cannot be parsed': ['{"users": [', /cannot be parsed\s+→ put a kubeconfig there/],
    'that is no kubeconfig': ['hello', /has no current-context.*\s+→ set its current-context to/],
    'without a current context': [
      '{"clusters": [], "users": [], "contexts": []}',
      /has no current-context.*\s+→ set its current-context to/,
    ],
  } as const;
  for (const [what, [content, expected]] of Object.entries(kubeconfigs)) {
    test(`by a kubeconfig ${what} ends with 73, before anything is minted`, async (t) => {
      const directory = await temporaryDirectory(t);
      const kubeconfig = `${directory}/kubeconfig`;
      if (content !== undefined) await writeFile(kubeconfig, content);
      const account = { name: 'nobody', username: 'nobody', kubeconfig, tokenFile: '' };
      const workspace = await workspaceFor(t);
      const run = await base.run(t, 'run', { account, workspace });
      assert.equal(run.code, 73, run.stderr);
      assert.match(run.stderr, expected);
      assert.deepEqual(workspace.requests, []);
    });
  }

  test('outside of a pod and without a kubeconfig ends with 73, before anything is minted', async (t) => {
    const account = { name: 'nobody', username: 'nobody', kubeconfig: '', tokenFile: '' };
    const workspace = await workspaceFor(t);
    const run = await base.run(t, 'run', { account, workspace });
    assert.equal(run.code, 73, run.stderr);
    assert.match(run.stderr, /this is not a pod/);
    const pod = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' };
    const unmounted = await base.run(t, 'run', { account, workspace, env: { KUBECONFIG: '', ...pod } });
    assert.equal(unmounted.code, 73, unmounted.stderr);
    assert.deepEqual(workspace.requests, []);
    assert.match(unmounted.stderr, /no service account is mounted in this pod \(\/var\/run\/secrets\/.* ENOENT\)/);
  });
});
