import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, test, type TestContext } from 'node:test';
import { execa } from 'execa';
import { bundleSizes } from '../support/bundle-sizes.ts';
import { clis, type Cli } from '../support/clis.ts';
import { IMAGE_FLAGS } from '../support/image-settings.ts';
import { buildBundle, copyProject } from '../support/project-copy.ts';
import { configText, sidecarSetup } from '../support/sidecar-setup.ts';
import { allGone, hangingCli, scriptedCli, testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { NODE, oldest, runCommand, startSidecar } from '../support/sidecar.ts';
import { cleanupOfSuite } from '../support/suite.ts';

const BUDGETS = join(import.meta.dirname, '../fixtures/bundle-sizes.json');
const kib = (bytes: number): number => Math.ceil(bytes / 1_024);

interface Bom {
  readonly bomFormat: string;
  readonly metadata: { readonly component: { readonly name: string } };
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly hashes?: readonly { readonly content: string }[];
    readonly licenses?: readonly unknown[];
  }[];
}

const options = { timeout: 30_000 };

describe('the bundle', () => {
  const shared = cleanupOfSuite();
  let entry: string;

  before(async () => {
    const project = await copyProject(shared);
    entry = await buildBundle(project);
    const { stdout } = await execa(NODE, ['scripts/sbom.ts'], { cwd: project });
    assert.match(stdout, /sbom\.cdx\.json/);
    // What it needs is in it.
    await rm(join(project, 'node_modules'));
    await rm(join(project, 'src'), { recursive: true });
  });

  test('no part of the bundle has grown, nor has a package come in, without anybody having said that it is worth it', async () => {
    const budgets = JSON.parse(await readFile(BUDGETS, 'utf8')) as Record<string, Record<string, number>>;
    const sizes = bundleSizes(join(entry, '..'));
    const grown = Object.entries(sizes).flatMap(([part, packages]) =>
      Object.entries(packages).flatMap(([name, bytes]) => {
        const size = kib(bytes);
        const budget = budgets[part]?.[name];
        if (budget === undefined) return size > 1 ? [`${part}: ${name} is new, ${size} KiB`] : [];
        return size > budget * 1.05 + 2 ? [`${part}: ${name} has grown from ${budget} to ${size} KiB`] : [];
      }),
    );
    const found = JSON.stringify(sizes, (_, value: unknown) => (typeof value === 'number' ? kib(value) : value));
    assert.deepEqual(grown, [], `if that is worth it, let test/fixtures/bundle-sizes.json be ${found}`);
  });

  test('a reader that has seen enough, as head has, is no failure of what it read', options, async (t) => {
    const { env, flags } = await sidecarSetup(t, { workspace: await workspaceFor(t) });
    for (const command of ['help', 'schema', 'version', 'check']) {
      const child = spawn(NODE, [entry, command, ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.destroy();
      const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
      assert.deepEqual([code, stderr], [0, ''], command);
    }
  });

  test('the list of what the bundle is made of has each package, with its licence and the hash that is locked, and no other', async () => {
    const read = async (path: string): Promise<unknown> =>
      JSON.parse(await readFile(join(entry, '../..', path), 'utf8'));
    const { bomFormat, components, metadata } = (await read('dist/sbom.cdx.json')) as Bom;
    assert.equal(bomFormat, 'CycloneDX');
    assert.equal(metadata.component.name, 'lakebase-credential-sidecar');
    const names = new Set(components.map(({ name }) => name));
    for (const name of [
      '@kubernetes/client-node',
      'chokidar',
      'execa',
      'fastify',
      'find-my-way',
      'js-yaml',
      'pino',
      'prom-client',
      'zod',
    ])
      assert.ok(names.has(name), name);
    for (const name of ['esbuild', 'typescript', 'undici', 'light-my-request', 'pg', 'yaml'])
      assert.ok(!names.has(name), name);
    const { packages } = (await read('package-lock.json')) as { packages: Record<string, { integrity?: string }> };
    const locked = new Set(Object.values(packages).map(({ integrity }) => integrity));
    for (const { name, hashes = [], licenses = [] } of components) {
      const integrity = hashes.map(({ content }) => `sha512-${Buffer.from(content, 'hex').toString('base64')}`);
      assert.ok(
        integrity.some((hash) => locked.has(hash)),
        name,
      );
      assert.ok(licenses.length > 0, name);
    }
  });

  test('the licence of each package whose code is in the bundle comes with it', async () => {
    const { components } = JSON.parse(await readFile(join(entry, '../sbom.cdx.json'), 'utf8')) as Bom;
    const licences = (await readFile(join(entry, '../third-party-licences.txt'), 'utf8')).split(/^-{80}$/m);
    assert.equal(licences.length, components.length);
    for (const [index, { name, version }] of components.entries()) {
      const [title = '', ...text] = licences[index]!.trim().split('\n');
      assert.ok(title.startsWith(`${name} ${version} (`), title);
      assert.match(text.join('\n'), /copyright/i, name);
    }
  });

  test('a build that cannot record bytecode says why, and leaves nothing running', options, async (t) => {
    const directory = await temporaryDirectory(t);
    const script = join(import.meta.dirname, '../../scripts/bytecode.ts');
    const code = `
      globalThis.fetch = () => Promise.reject(new Error('the proxy does not answer'));
      const { recordBytecode } = await import(${JSON.stringify(script)});
      await recordBytecode(${JSON.stringify(join(entry, '..'))});`;
    const args = ['--eval', code];
    const builder = spawn(NODE, args, {
      env: { TMPDIR: directory },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let isOver = false;
    t.after(() => isOver || process.kill(-builder.pid!, 'SIGKILL'));
    const stderr = await text(builder.stderr); // whoever is left would keep it open
    isOver = true;
    assert.match(stderr, /the proxy does not answer/);
    assert.deepEqual(await readdir(directory), []);
  });

  test('V8 takes the bytecode of each part, also with the flags that the image gives it', options, async () => {
    const parts = join(entry, '..', 'parts');
    const names = (await readdir(parts)).filter((name) => name.endsWith('.bytecode'));
    assert.ok(names.length > 5 && IMAGE_FLAGS.length > 0);
    const code = `
      const { readFileSync } = require('node:fs');
      const isRejected = (name) => new (require('node:vm').Script)(readFileSync(name.replace('.bytecode', ''), 'latin1'),
        { cachedData: readFileSync(name) }).cachedDataRejected;
      console.log(JSON.stringify(process.argv.slice(1).filter(isRejected)));`;
    const rejectedWith = async (flags: readonly string[]): Promise<unknown> => {
      const { stdout } = await execa(NODE, [...flags, '--eval', code, '--', ...names], { cwd: parts });
      return JSON.parse(stdout) as unknown;
    };
    assert.deepEqual(await rejectedWith(IMAGE_FLAGS), []);
    assert.deepEqual(await rejectedWith(['--no-maglev']), names);
  });

  test('prints help, versions and the schema', options, async (t) => {
    for (const command of ['help', 'version', 'schema']) {
      const { code, stdout, stderr } = await runCommand(t, command, { config: null, entry });
      assert.equal(code, 0, stderr);
      assert.equal(stderr, '');
      assert.ok(stdout.length > 50);
    }
  });

  test('says which Node.js it needs where that is too old', options, async (t) => {
    const preload = join(await temporaryDirectory(t), 'older.cjs');
    const older = "Object.defineProperty(process,'versions',{value:{...process.versions,node:'22.21.9'}})";
    await writeFile(preload, older);
    const { exitCode, stderr } = await execa(NODE, ['--require', preload, entry, 'run'], { reject: false });
    assert.equal(exitCode, 69);
    assert.equal(stderr, 'lakebase-credential-sidecar: Node.js 22.22 or newer is needed, this is 22.21.9');
  });

  const worksWith = async (t: TestContext, { cli, node = NODE }: { cli: Cli; node?: string }): Promise<void> => {
    const workspace = await workspaceFor(t);
    const sidecar = await (await startSidecar(t, { workspace, cli, entry, node })).ready();
    assert.equal(await sidecar.read('token'), workspace.minted[0]?.token);
    assert.equal((await stat(sidecar.path('pgpass'))).mode & 0o7777, 0o600);
    assert.equal((await sidecar.metrics()).get('valid'), 1);
    assert.match((await sidecar.get('/status', { headers: { accept: 'text/html' } })).body, /^<!doctype html>/);
    await writeFile(sidecar.path('token'), 'something else');
    await sidecar.logged('sink repaired after somebody else changed it');
    await writeFile(sidecar.configFile, configText(sidecar.directory, cli, { log: { level: 'debug' } }));
    await sidecar.logged('configuration reloaded');
    const { code, durationMs } = await sidecar.stop();
    assert.equal(code, 0);
    assert.ok(durationMs < 1_000, `${durationMs} ms`);
    assert.equal(sidecar.stderr, '');
  };

  testWithEachCli('publishes a credential, answers, follows its configuration, and ends with 0', async (t, cli) => {
    await worksWith(t, { cli });
  });

  test('does so with the oldest Node.js that will do', { ...options, skip: oldest.missing }, async (t) => {
    const { stdout } = await execa(oldest.path, ['--version']);
    assert.equal(stdout, `v${oldest.version}`);
    await worksWith(t, { cli: clis[0]!, node: oldest.path });
  });

  test('loads no more of Node.js than files, processes, HTTP and its own metrics need', options, async (t) => {
    const workspace = await workspaceFor(t);
    const directory = await temporaryDirectory(t);
    const [preload, list] = [join(directory, 'list.cjs'), join(directory, 'list.json')];
    await writeFile(
      preload,
      `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(list)}, JSON.stringify(process.moduleLoadList)))`,
    );
    const sidecar = await startSidecar(t, { workspace, entry, env: { NODE_OPTIONS: `--require="${preload}"` } });
    await (await sidecar.ready()).metrics();
    await sidecar.stop();
    const loaded = JSON.parse(await readFile(list, 'utf8')) as string[];
    assert.ok(loaded.includes('NativeModule http'));
    for (const name of [
      'assert',
      'fs/promises',
      'http2',
      'https',
      'inspector',
      'internal/repl/history',
      'readline',
      'tls',
      'worker_threads',
      'zlib',
    ])
      assert.ok(!loaded.includes(`NativeModule ${name}`), name);
  });

  testWithEachCli('adopts after kill -9 what it had published', async (t, cli) => {
    const workspace = await workspaceFor(t);
    const killed = await (await startSidecar(t, { workspace, cli, entry })).ready();
    await killed.stop('SIGKILL');
    const { directory } = killed;
    const sidecar = await (await startSidecar(t, { workspace, cli, entry, directory })).ready();
    assert.equal((await sidecar.metrics()).get('adoptions_total'), 1);
    assert.equal(workspace.minted.length, 1);
  });

  test('ends with 0 within a second while a CLI hangs, and all that it started', options, async (t) => {
    const workspace = await workspaceFor(t);
    const cli = await hangingCli(t);
    const sidecar = await startSidecar(t, { workspace, cli: cli.path, entry });
    const pids = await cli.pids();
    const { code, durationMs } = await sidecar.stop('SIGINT');
    assert.equal(code, 0);
    assert.ok(durationMs < 1_000, `${durationMs} ms`);
    await allGone(pids);
    assert.deepEqual(await readdir(join(sidecar.directory, 'tmp')), []);
  });

  // For the bundle parts of execa are left out.
  for (const [trouble, script] of Object.entries({
    'fails with words': 'echo "Error: no such endpoint" >&2; exit 1',
    'is killed': 'kill -KILL $$',
    'prints far too much': 'yes',
    'does not answer in time': 'exec sleep 600',
    'is no program': undefined,
  })) {
    test(`says of a CLI that ${trouble} what the source says`, options, async (t) => {
      const workspace = await workspaceFor(t);
      const path = await scriptedCli(t, script ?? '');
      if (script === undefined) await writeFile(path, '#!/nonexistent/interpreter\n');
      const config = { minter: { cli: { command: path, timeout: '3s' } } };
      const say = async (which: { readonly entry?: string }): Promise<unknown> => {
        const sidecar = await startSidecar(t, { workspace, config, ...which });
        const { err, msg } = await sidecar.logged('mint failed');
        await sidecar.stop(); // and with it the next run of the CLI
        return { err, msg };
      };
      const [bySource, byBundle] = await Promise.all([say({}), say({ entry })]);
      assert.deepEqual(byBundle, bySource);
    });
  }

  test('ends with the documented codes, in words and without a stack trace', options, async (t) => {
    const workspace = await workspaceFor(t);
    const outcomes = [
      [64, await runCommand(t, 'mint', { workspace, entry })],
      [69, await runCommand(t, 'run', { workspace, entry, cli: '/nonexistent/databricks' })],
      [78, await runCommand(t, 'run', { workspace, entry, config: '{' })],
      [78, await runCommand(t, 'once', { workspace, entry, config: { unknown: true } })],
    ] as const;
    for (const [expected, { code, stderr }] of outcomes) {
      assert.equal(code, expected, stderr);
      assert.match(stderr, /^lakebase-credential-sidecar: \S.*\n$/s);
      assert.doesNotMatch(stderr, /^\s+at |bug/m);
    }
  });

  testWithEachCli('checks and mints once', async (t, cli) => {
    const workspace = await workspaceFor(t);
    const check = await runCommand(t, 'check', { workspace, cli, entry });
    assert.equal(check.code, 0, check.stdout + check.stderr);
    const { code, stderr } = await runCommand(t, 'once', { workspace, cli, entry });
    assert.equal(code, 0, stderr);
    assert.equal(workspace.minted.length, 2);
  });
});
