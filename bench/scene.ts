import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { clis, TELLS_VERSION, type Cli } from '../test/support/clis.ts';
import type { Cleanup } from '../test/support/cleanup.ts';
import { IMAGE_ENVIRONMENT, IMAGE_FLAGS } from '../test/support/image-settings.ts';
import { requireLoopback } from './loopback.ts';
import { Report } from './report.ts';

/** The Node.js that was installed with the project. */
export const NODE = resolve('node_modules/.bin/node');
export const BUNDLE = resolve('dist/main.js');
export const RESOURCE = 'projects/backstage/branches/production/endpoints/';
/** Where Kubernetes keeps a memory-backed volume. */
const SHARED_MEMORY = '/dev/shm';
/** So long that nothing is due: the first refresh can come at any time of a token's first half. */
export const QUIET_LIFETIME_SECONDS = 86_400;

export interface LogLine {
  readonly time: string;
  readonly msg: string;
  readonly credential?: string;
  readonly [field: string]: unknown;
}

export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** When it was spawned, by `performance.now()`. */
  readonly startedAt: number;
  readonly lines: LogLine[];
  /** Settles with the port once it answers. */
  readonly port: Promise<number>;
}

/** Everything that runs and lies about while one part is measured; gone when it is closed. */
export class Scene implements Cleanup {
  readonly directory: string;
  /** For what a pod has on a memory-backed volume. */
  readonly memory: string;
  readonly report = new Report();
  /** The real one where there is one. */
  readonly cli: Cli = clis.at(-1)!;
  readonly #children = new Set<ChildProcess>();
  #undo: () => unknown = () => {};
  #closing: Promise<void> | undefined;
  #count = 0;

  private constructor(directory: string, memory: string) {
    this.directory = directory;
    this.memory = memory;
  }

  static async create(): Promise<Scene> {
    return new Scene(await mkdtemp(join(tmpdir(), 'bench-')), await mkdtemp(join(SHARED_MEMORY, 'bench-')));
  }

  /** Called once, by `undoAfter`. */
  after(undo: () => unknown): void {
    this.#undo = undo;
  }

  /** Also in the middle of a measurement, which can start nothing afterwards. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#children].map(async (child) => await this.stop(child)));
    await this.#undo();
    for (const place of [this.directory, this.memory]) await rm(place, { recursive: true, force: true, maxRetries: 3 });
  }

  /** An empty folder of its own. */
  async folder(): Promise<string> {
    return await this.#folderIn(this.directory);
  }

  /** The same in memory, where the chart has all that a sidecar writes. */
  async volume(): Promise<string> {
    return await this.#folderIn(this.memory);
  }

  async #folderIn(place: string): Promise<string> {
    this.#count += 1;
    const path = join(place, String(this.#count));
    await mkdir(path);
    return path;
  }

  /** The stand-in workspace, in another process; returns the variables that name it and a principal there. */
  async startWorkspace(tokenLifetimeSeconds: number): Promise<Record<string, string>> {
    const args = ['test/support/workspace.ts', String(tokenLifetimeSeconds)];
    const child = this.spawn(NODE, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface(child.stdout as Readable), 'line')) as [string];
    const { url, clientId, clientSecret } = JSON.parse(line) as Record<string, string>;
    return identity(url, clientId, clientSecret);
  }

  /** A CLI that costs next to nothing: a shell script with this as its body for everything but its version. */
  async script(body: string): Promise<Cli> {
    const path = join(await this.folder(), 'databricks');
    await writeFile(path, `#!/bin/sh\n${TELLS_VERSION}\n${body}\n`, { mode: 0o755 });
    return { name: 'a shell script', path, isReal: false };
  }

  /** A bare Node.js that does this, and then nothing; returns its process id. */
  startNode(code = ''): number {
    return this.spawn(NODE, ['-e', `${code}setInterval(()=>{},1e9)`], { stdio: 'ignore' }).pid!;
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    if (this.#closing !== undefined) throw new Error(`${command} is not started: the measurement is over`);
    const child = spawn(command, args, options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** How long it takes from start to exit. */
  async time(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
    const startedAt = performance.now();
    const child = this.spawn(command, args, { env, cwd: '/', stdio: 'ignore' });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`${command} ended with ${String(code)}`);
    return performance.now() - startedAt;
  }

  /** As the chart has it in a pod: by variables, with the CLI on the path. Its file is `pgpass` in `directory`. */
  async startInjected(identity: NodeJS.ProcessEnv, directory: string, { path }: Cli = this.cli): Promise<Running> {
    const programs = await this.folder();
    await symlink(path, join(programs, 'databricks'));
    return await this.startSidecar({
      ...identity,
      PATH: `${programs}:${process.env['PATH']}`,
      LAKEBASE_ENDPOINT: `${RESOURCE}primary`,
      LAKEBASE_CREDENTIAL_DIR: directory,
      LAKEBASE_CREDENTIAL_HTTP_HOST: '127.0.0.1',
      LAKEBASE_CREDENTIAL_HTTP_PORT: '0',
      PGHOST: 'localhost',
      PGDATABASE: 'app',
    });
  }

  /** The bundle's `run`, with a folder of its own for what it needs. */
  async startSidecar(env: NodeJS.ProcessEnv, config?: object): Promise<Running> {
    requireLoopback('DATABRICKS_HOST', env['DATABRICKS_HOST']);
    const folder = await this.volume();
    const flags: string[] = [];
    if (config !== undefined) {
      flags.push('--config', join(folder, 'config.yaml'));
      await writeFile(join(folder, 'config.yaml'), JSON.stringify({ ...config, http: { host: '127.0.0.1', port: 0 } }));
    }
    const startedAt = performance.now();
    const child = this.spawn(NODE, [...IMAGE_FLAGS, BUNDLE, 'run', ...flags], {
      env: { PATH: process.env['PATH'], TMPDIR: folder, ...IMAGE_ENVIRONMENT, ...env },
      cwd: '/',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: LogLine[] = [];
    const { promise: port, resolve: answers, reject } = Promise.withResolvers<number>();
    child.once('exit', (code) => reject(new Error(`the sidecar ended with ${String(code)}`)));
    port.catch(() => undefined); // who wants to know waits for it
    createInterface(child.stdout as Readable).on('line', (text) => {
      const line = JSON.parse(text) as LogLine;
      lines.push(line);
      if (line.msg === 'started') answers(Number(line['port']));
    });
    return { child, pid: child.pid!, startedAt, lines, port };
  }

  async stop(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }
}

/** Of nobody: for CLIs that ask no workspace. */
export const NOBODY = identity('https://workspace.invalid', 'nobody', 'nothing');

function identity(url = '', clientId = '', clientSecret = ''): Record<string, string> {
  return { DATABRICKS_HOST: url, DATABRICKS_CLIENT_ID: clientId, DATABRICKS_CLIENT_SECRET: clientSecret };
}

/** One file, `pgpass`, in `directory`, and other sinks. */
export function credential(name: string, directory: string, others: readonly object[] = []): object {
  return {
    name,
    endpoint: `${RESOURCE}${name}`,
    connection: { host: 'localhost', database: 'app' },
    sinks: [{ file: { path: join(directory, name, 'pgpass'), format: 'pgpass' } }, ...others],
  };
}

/** What a scripted CLI answers, as the expression of a shell: a new token at each run. */
export function shellAnswer(lifetimeSeconds: number): string {
  const expiry = `$(date -u -d "@$(($(date +%s) + ${lifetimeSeconds}))" +%Y-%m-%dT%H:%M:%SZ)`;
  return `printf '{"token":"token-%s-of-%s","expire_time":"%s"}' "$$" "\${3##*/}" "${expiry}"`;
}
