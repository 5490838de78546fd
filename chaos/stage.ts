import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StandInCliOptions } from '../test/support/clis.ts';
import { FAKETIME, HAS_FAKETIME } from '../test/support/faketime.ts';
import { whyNoHang } from '../test/support/hanging-mount.ts';
import { startLakebase, type Lakebase } from '../test/support/lakebase.ts';
import { startPostgres, type Postgres } from '../test/support/postgres.ts';
import { startWorkspace, type Workspace } from '../test/support/workspace.ts';
import type { Lane } from './catalogue.ts';
import { configText, otherPodText } from './configuration.ts';
import { Kubernetes } from './kubernetes.ts';
import { DATABASE, DIRECTORIES, LIFETIME_MS, SIDECAR_UID, WORKSPACE_NAME, WORKSPACE_PORT } from './layout.ts';
import type { Launch } from './sidecar.ts';

const ROOT = join(import.meta.dirname, '..');
/** A few files of a kilobyte or two need little; what fills it must be written quickly. */
const VOLUME = 'size=1m,nr_inodes=64,mode=0755';

interface Parts {
  readonly workspace: Workspace;
  readonly lakebase: Lakebase;
  readonly postgres: Postgres;
  readonly strayToken: string;
  readonly kubernetes: Kubernetes | undefined;
}

/** The world round the sidecar, in a mount namespace of its own. */
export class Stage {
  readonly directory: string;
  readonly workspace: Workspace;
  readonly lakebase: Lakebase;
  readonly postgres: Postgres;
  /** What no output may show, though a CLI prints it. */
  readonly strayToken: string;
  readonly kubernetes: Kubernetes | undefined;
  readonly #clientSecrets: string[] = [];

  private constructor(directory: string, { workspace, lakebase, postgres, strayToken, kubernetes }: Parts) {
    this.directory = directory;
    this.workspace = workspace;
    this.lakebase = lakebase;
    this.postgres = postgres;
    this.strayToken = strayToken;
    this.kubernetes = kubernetes;
  }

  static async set(directory: string): Promise<Stage> {
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
    for (const name of ['volume', 'project', 'cli', 'tmp', 'settings']) mkdirSync(join(directory, name));
    mount('tmpfs', join(directory, 'volume'), '-t', 'tmpfs', '-o', VOLUME);
    // What is built meanwhile is not what runs here.
    cpSync(join(ROOT, 'dist'), join(directory, 'dist'), { recursive: true });
    // A path that another account can walk, wherever the project lies.
    mount(ROOT, join(directory, 'project'), '--bind', '-o', 'ro');
    writeFileSync(join(directory, 'hosts'), '#');
    mount(join(directory, 'hosts'), '/etc/hosts', '--bind');
    const publicUrl = `http://${WORKSPACE_NAME}:${WORKSPACE_PORT}`;
    const [workspace, postgres, kubernetes] = await Promise.all([
      startWorkspace({ port: WORKSPACE_PORT, publicUrl, tokenLifetimeMs: LIFETIME_MS }),
      startPostgres(),
      Kubernetes.start(),
    ]);
    const lakebase = await startLakebase({ jwks: workspace.jwks, socketPath: postgres.socketPath });
    await postgres.ensureRole(workspace.clientId);
    await postgres.ensureDatabase(DATABASE);
    const strayToken = await workspace.signCredential();
    const stage = new Stage(directory, { workspace, lakebase, postgres, strayToken, kubernetes });
    stage.#furnish();
    return stage;
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  get cli(): string {
    return this.path('cli', 'databricks');
  }

  get configFile(): string {
    return this.path('settings', 'config.yaml');
  }

  get connection(): { readonly host: string; readonly port: number; readonly database: string } {
    return { host: 'localhost', port: this.lakebase.port, database: DATABASE };
  }

  get hasSecret(): boolean {
    return this.kubernetes !== undefined;
  }

  /** Why no fault of this lane can be made, or undefined. */
  whyNot(lane: Lane): string | undefined {
    if (lane === 'disk' && whyNoHang() !== false) return 'there is no /dev/fuse (modprobe fuse)';
    if (lane === 'clock' && !HAS_FAKETIME) return 'libfaketime is missing (apt-get install faketime)';
    const isOfCluster = lane === 'Kubernetes' || lane === 'Secret' || lane === 'pods';
    return isOfCluster && !this.hasSecret ? 'no Kubernetes is built (npm run cluster -- build)' : undefined;
  }

  /** The sidecar under test. */
  get sidecar(): Launch {
    const clock = {
      LD_PRELOAD: FAKETIME,
      FAKETIME_TIMESTAMP_FILE: this.path('settings', 'clock'),
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    };
    return { command: this.#command(this.configFile), env: { ...this.#env, ...(HAS_FAKETIME ? clock : {}) } };
  }

  /** That of a pod whose clock is right. */
  get otherPod(): Launch {
    return { command: this.#command(this.path('settings', 'other-pod.yaml')), env: this.#env };
  }

  #command(configFile: string): readonly string[] {
    const [node, entry] = [this.path('project/node_modules/.bin/node'), this.path('dist/main.js')];
    return [node, entry, 'run', '--config', configFile];
  }

  /** All of it, but for the clock. */
  get #env(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      TMPDIR: this.path('tmp'),
      DATABRICKS_HOST: this.workspace.url,
      DATABRICKS_CLIENT_ID: this.workspace.clientId,
      DATABRICKS_CLIENT_SECRET_FILE: this.path('settings', 'client-secret'),
      ...(this.hasSecret ? { KUBECONFIG: this.path('settings', 'kubeconfig') } : {}),
    };
  }

  set clock(offsetSeconds: number) {
    this.#settle('clock', `${offsetSeconds >= 0 ? '+' : ''}${offsetSeconds}`);
  }

  resolve(isKnown: boolean): void {
    // In place, because what is mounted is the file and not its name; and of one length, so that it is never half there.
    const text = `127.0.0.1 localhost\n${isKnown ? '1' : '#'}27.0.0.1 ${WORKSPACE_NAME}\n`;
    writeFileSync(this.path('hosts'), text, { flag: 'r+' });
  }

  /** All that the sidecar was ever given. */
  get clientSecrets(): readonly string[] {
    return this.#clientSecrets;
  }

  setClientSecret(secret: string): void {
    this.#clientSecrets.push(secret);
    this.#settle('client-secret', `${secret}\n`, SIDECAR_UID);
  }

  /** The program that the sidecar runs from now on; its name always stands for a whole one. */
  installCli(script: readonly string[], mode = 0o755): void {
    writeFileSync(`${this.cli}.new`, `#!/bin/sh\n${script.join('\n')}\n`, { mode });
    renameSync(`${this.cli}.new`, this.cli);
  }

  removeCli(): void {
    rmSync(this.cli);
  }

  /** @param way below a half as an editor does that writes in place, else as one that replaces the file */
  writeConfig(text: string, way: number): void {
    if (way < 0.5) writeFileSync(this.configFile, text);
    else this.#settle('config.yaml', text);
  }

  /** Without differences, the healthy program. */
  standInCli(options: StandInCliOptions = {}): string {
    return `exec '${this.path('project/test/support/databricks')}' '--stand-in=${JSON.stringify(options)}' "$@"`;
  }

  remount(option: 'ro' | 'rw'): boolean {
    return spawnSync('mount', ['-o', `remount,${option}`, this.path('volume')]).status === 0;
  }

  /** The contents of the volume that nobody asked for. */
  litter(): string[] {
    return DIRECTORIES.flatMap((directory) =>
      readdirSync(this.path('volume', directory)).map((name) => join(directory, name)),
    );
  }

  async close(): Promise<void> {
    await this.lakebase.close();
    await Promise.all([this.workspace.close(), this.postgres.close(), this.kubernetes?.close()]);
    for (const place of ['/etc/hosts', this.path('project'), this.path('volume')]) spawnSync('umount', ['-l', place]);
  }

  #furnish(): void {
    for (const name of ['volume', 'tmp']) chownSync(this.path(name), SIDECAR_UID, SIDECAR_UID);
    chmodSync(this.path('tmp'), 0o700);
    this.resolve(true);
    this.clock = 0;
    this.setClientSecret(this.workspace.clientSecret);
    this.installCli([this.standInCli()]);
    this.#settle('ca.pem', this.lakebase.caCertificate);
    if (this.kubernetes !== undefined) this.#furnishWith(this.kubernetes);
    this.#settle('config.yaml', configText(this));
  }

  #furnishWith(kubernetes: Kubernetes): void {
    const [caFile, tokenFile] = [this.path('settings', 'cluster-ca.pem'), this.path('settings', 'account-token')];
    this.#settle('cluster-ca.pem', kubernetes.view.ca);
    this.#settle('account-token', kubernetes.token, SIDECAR_UID);
    this.#settle('kubeconfig', kubernetes.kubeconfig({ caFile, tokenFile }), SIDECAR_UID);
    this.#settle('other-pod.yaml', otherPodText(this));
  }

  #settle(name: string, content: string, owner = 0): void {
    const path = this.path('settings', name);
    rmSync(`${path}.new`, { force: true });
    writeFileSync(`${path}.new`, content, { mode: owner === 0 ? 0o644 : 0o400 });
    chownSync(`${path}.new`, owner, owner);
    renameSync(`${path}.new`, path);
  }
}

function mount(source: string, target: string, ...options: readonly string[]): void {
  execFileSync('mount', [...options, source, target]);
}
