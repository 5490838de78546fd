import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { killWithDescendants } from './proc.ts';
import type { StatusReport } from '../../src/http/status-json.ts';
import { MetricSamples } from './metric-samples.ts';
import { sidecarSetup, type SetupOptions, type SidecarSetup } from './sidecar-setup.ts';
import { undoAfter, type Cleanup } from './cleanup.ts';
import { eventually, PATIENCE_MS } from './eventually.ts';

/** The Node.js that was installed with the project, whichever one runs the tests. */
export const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');
const OLDEST = '22.22.0';
const { OLDEST_NODE = '' } = process.env;
/** The first Node.js that package.json allows, and how to have it where it is missing. */
export const oldest = {
  version: OLDEST,
  path: OLDEST_NODE,
  missing:
    OLDEST_NODE === '' &&
    `npm install --prefix /tmp/oldest node@${OLDEST}; OLDEST_NODE=/tmp/oldest/node_modules/.bin/node npm test`,
};
/** The entry, from source. */
export const SOURCE = join(import.meta.dirname, '../../src/main.ts');

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly credential?: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Outcome extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** One process of the sidecar, as a person or a platform sees it. */
export class Sidecar {
  readonly directory: string;
  readonly configFile: string;
  readonly lines: LogLine[] = [];
  readonly exited: Promise<Exit>;
  readonly #child: Child;
  #stdout = '';
  #stderr = '';
  #address = '';

  constructor(child: Child, { directory, configFile }: SidecarSetup) {
    this.directory = directory;
    this.configFile = configFile;
    this.#child = child;
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }));
    child.stderr.on('data', (chunk) => (this.#stderr += String(chunk)));
    createInterface(child.stdout).on('line', (line) => {
      this.#stdout += `${line}\n`;
      this.lines.push(JSON.parse(line) as LogLine);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get address(): { readonly host: string; readonly port: number } {
    const { hostname, port } = new URL(this.#address);
    return { host: hostname, port: Number(port) };
  }

  /** The first line with that message, waited for; `from` leaves out those before that place. */
  async logged(msg: string, { from = 0, withinMs = PATIENCE_MS } = {}): Promise<LogLine> {
    return await eventually(`the line "${msg}"`, () => this.lines.slice(from).find((line) => line.msg === msg), {
      withinMs,
      onTimeout: () => `it said: ${this.#stdout}${this.#stderr}`,
      isHopeless: () => this.#child.exitCode !== null,
    });
  }

  async started(): Promise<this> {
    const { port } = await this.logged('started');
    this.#address = `http://127.0.0.1:${String(port)}`;
    return this;
  }

  async get(path: string, init: RequestInit = {}): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`${this.#address}${path}`, init);
    return { status: response.status, body: await response.text() };
  }

  async isReady(query = ''): Promise<boolean> {
    return (await this.get(`/readyz${query}`)).status === 200;
  }

  async ready(withinMs = PATIENCE_MS): Promise<this> {
    await eventually('/readyz answers 200', async () => await this.isReady(), {
      withinMs,
      onTimeout: () => `it said: ${this.#stdout}${this.#stderr}`,
    });
    return this;
  }

  async status(): Promise<StatusReport> {
    return JSON.parse((await this.get('/status')).body) as StatusReport;
  }

  async metrics(): Promise<MetricSamples> {
    return new MetricSamples((await this.get('/metrics')).body);
  }

  path(name: string): string {
    return join(this.directory, 'run', name);
  }

  async read(name: string): Promise<string> {
    return await readFile(this.path(name), 'utf8');
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** How it ended, and how long that took. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit & { readonly durationMs: number }> {
    const startedAt = performance.now();
    if (this.#child.exitCode === null) this.kill(signal);
    return { ...(await this.exited), durationMs: performance.now() - startedAt };
  }
}

function spawnSidecar(setup: SidecarSetup, command: string): Child {
  const { entry = SOURCE, env, flags, node = NODE } = setup;
  return spawn(node, [entry, command, ...flags], { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** `run` or `once`, from its beginning to the end of the test at the latest; whoever wants it to be up waits for `started()`. */
export async function spawnRun(t: Cleanup, options: SetupOptions, command = 'run'): Promise<Sidecar> {
  const setup = await sidecarSetup(t, options);
  const child = spawnSidecar(setup, command);
  const sidecar = new Sidecar(child, setup);
  undoAfter(t, async () => {
    killWithDescendants(child);
    await sidecar.exited;
  });
  return sidecar;
}

/** A sidecar that answers. */
export async function startSidecar(t: Cleanup, options: SetupOptions): Promise<Sidecar> {
  return await (await spawnRun(t, options)).started();
}

/** Any command, to its end. */
export async function runCommand(
  t: Cleanup,
  command: string,
  options: SetupOptions,
): Promise<Outcome & { readonly directory: string }> {
  const setup = await sidecarSetup(t, options);
  const child = spawnSidecar(setup, command);
  undoAfter(t, () => killWithDescendants(child));
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, stdout, stderr, directory: setup.directory };
}
