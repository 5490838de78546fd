import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { killWithDescendants } from '../test/support/proc.ts';
import type { Cancellable, Clock } from '../src/credential/ports.ts';
import type { StatusReport } from '../src/http/status-json.ts';

const ENTRY = join(import.meta.dirname, '../src/main.ts');
const LAST_LINES = 5;
const GRACE_MS = 5_000;

/** What is read of a line of its log. */
export interface LogLine {
  readonly msg: string;
  readonly port?: number;
  readonly durationMs?: number;
  readonly remainingSeconds?: number;
  readonly err?: { readonly failure?: string };
}

export interface SidecarOptions {
  readonly configFile: string;
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly onLine: (line: LogLine) => void;
}

/** The real program, as a process of its own. */
export class Sidecar {
  /** Known once it has said where it listens. */
  url: string | undefined;
  readonly ended: Promise<void>;
  readonly #options: SidecarOptions;
  readonly #child: ChildProcess;
  readonly #said: string[] = [];

  constructor(options: SidecarOptions) {
    this.#options = options;
    this.#child = spawn(process.execPath, [ENTRY, 'run', '--config', options.configFile], {
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // Ctrl-C is for the demo, which stops one thing after the other
    });
    this.ended = once(this.#child, 'close').then(() => undefined);
    process.once('exit', this.#kill);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (text) => this.#hear(text));
    }
  }

  get lastWords(): string {
    return this.#said.slice(-LAST_LINES).join('\n');
  }

  /** Undefined while it does not answer. */
  async status({ signal }: Cancellable): Promise<StatusReport | undefined> {
    const headers = { accept: 'application/json' };
    const answer = await fetch(`${this.url}/status`, { headers, signal }).catch(() => undefined);
    return answer?.ok === true ? ((await answer.json()) as StatusReport) : undefined;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const over = new AbortController();
    const patience = this.#options.clock.sleep(GRACE_MS, over).then(this.#kill, () => undefined);
    await this.ended;
    over.abort();
    await patience;
    process.off('exit', this.#kill);
  }

  readonly #kill = (): void => {
    killWithDescendants(this.#child);
  };

  #hear(text: string): void {
    this.#said.push(text);
    if (this.#said.length > LAST_LINES) this.#said.shift();
    if (!text.startsWith('{')) return;
    const line = JSON.parse(text) as LogLine;
    if (line.msg === 'started') this.url = `http://127.0.0.1:${line.port}`;
    this.#options.onLine(line);
  }
}
