import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf } from '../test/support/proc.ts';
import { SIDECAR_UID } from './layout.ts';
import type { End, Timeline } from './timeline.ts';

export interface Launch {
  /** With arguments. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface SidecarOptions extends Launch {
  readonly timeline: Timeline;
  /** Why it may end by itself at its start, by exit code: faults of these names explain it. */
  readonly mayEnd: Readonly<Record<number, RegExp>>;
  readonly onSurprise: (what: string) => void;
}

/** In place of the kubelet's back-off, which grows to minutes. */
const RESTART_MS = 1_000;
/** Until a new process answers and has adopted what its predecessor left. */
const SETTLING_MS = 3_000;
const STOP_WITHIN_MS = 2_000;
const GRACE_MS = 5_000;
const TICK_MS = 50;
const KEPT_LINES = 40;
const ACCOUNT = [`--reuid=${SIDECAR_UID}`, `--regid=${SIDECAR_UID}`, '--clear-groups'];
/** As in a container: the first process of its own process namespace, with which all others end. */
const CONTAINER = ['unshare', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'];
/** With mounts of its own, as a container has them, too: what is mounted for the sidecar must not stop who observes it. */
const BARE = ['unshare', '--mount'];

/** Whether faults since its start explain that it ended with this code, by itself. */
function isExplained(code: number | null, startedAt: number, { mayEnd, timeline }: Explanations): boolean {
  const reason = mayEnd[code ?? -1];
  return reason !== undefined && timeline.had(reason, startedAt - 500);
}

/**
 * On a busy machine SIGTERM may meet one that has not begun yet: it is about to end by itself, or hears no signal yet and
 * is ended by it, or by the one that comes after it.
 */
export function isGoodEnd(
  code: number | null,
  { startedAt, hasBegun }: { readonly startedAt: number; readonly hasBegun: boolean },
  explanations: Explanations,
): boolean {
  return code === 0 || (!hasBegun && (code === null || isExplained(code, startedAt, explanations)));
}

/** Under the account of the sidecar. `wrapper` is a program, with its arguments, that runs it; `hear` gets all that it says. */
export function launch({ command, env }: Launch, hear: (text: string) => void, wrapper: readonly string[] = []) {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  // `env` comes last: what is preloaded is for the sidecar only.
  const [file = '', ...args] = [...wrapper, 'setpriv', ...ACCOUNT, 'env', '-i', ...variables, ...command];
  const child = spawn(file, args, { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => hear(String(chunk)));
  return child;
}

type Explanations = Pick<SidecarOptions, 'mayEnd' | 'timeline'>;

/** How late the timers of this process are, which shares the machine with the one that it waits for. */
class Delays {
  readonly #ticking = setInterval(() => this.#tick(), TICK_MS);
  #tickedAt = performance.now();
  #worstMs = 0;

  /** The longest, in milliseconds. */
  end(): number {
    clearInterval(this.#ticking);
    this.#tick();
    return this.#worstMs;
  }

  #tick(): void {
    const now = performance.now();
    this.#worstMs = Math.max(this.#worstMs, now - this.#tickedAt - TICK_MS);
    this.#tickedAt = now;
  }
}

/** The program under test and whoever starts it again. */
export class SupervisedSidecar {
  readonly lines: string[] = [];
  starts = 0;
  startedAt = 0;
  /** Since somebody last took it. */
  #output = '';
  #child: ChildProcess | undefined;
  #pid: number | undefined;
  #isExpectedToEnd = false;
  /** It has said so. */
  #hasBegun = false;
  #isOver = false;
  #supervising: Promise<void> = Promise.resolve();
  readonly #options: SidecarOptions;

  constructor(options: SidecarOptions) {
    this.#options = options;
  }

  /** Of the program itself; undefined while it does not run. */
  get pid(): number | undefined {
    this.#pid ??= this.#findPid();
    return this.#pid;
  }

  get isContainer(): boolean {
    return this.starts % 2 === 1;
  }

  start(): void {
    this.#supervising = this.#supervise();
  }

  takeOutput(): string {
    const output = this.#output;
    this.#output = '';
    return output;
  }

  signal(name: NodeJS.Signals): void {
    if (this.pid === undefined) return;
    try {
      process.kill(this.pid, name);
    } catch {
      // It has ended already.
    }
  }

  kill(): void {
    this.#isExpectedToEnd = true;
    this.signal('SIGKILL');
  }

  /** In good order, which must not take long. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const isStarting = Date.now() - this.startedAt < SETTLING_MS;
    this.#isExpectedToEnd = true;
    const askedAt = performance.now();
    const ended = once(child, 'exit') as Promise<[number | null]>;
    this.signal('SIGTERM');
    // As the kubelet does; the first process of a namespace hears no signal before it has asked for it.
    const insisting = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    const delays = new Delays();
    const [code] = await ended;
    clearTimeout(insisting);
    const tookMs = performance.now() - askedAt;
    const patienceMs = STOP_WITHIN_MS + 2 * delays.end();
    if (isStarting) return;
    if (!isGoodEnd(code, { startedAt: this.startedAt, hasBegun: this.#hasBegun }, this.#options)) {
      this.#options.onSurprise(`SIGTERM ended the sidecar with ${String(code)} instead of 0`);
    }
    if (this.#hasBegun && tookMs > patienceMs)
      this.#options.onSurprise(`the sidecar took ${Math.round(tookMs)} ms to stop`);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.stop();
    await this.#supervising;
  }

  async #supervise(): Promise<void> {
    const { timeline } = this.#options;
    let isUp: End = timeline.begin('the sidecar is not up', { impairs: ['process'] });
    while (!this.#isOver) {
      this.starts += 1;
      this.#isExpectedToEnd = false;
      this.#hasBegun = false;
      const child = launch(this.#options, (text) => this.#hear(text), this.isContainer ? CONTAINER : BARE);
      this.#child = child;
      this.startedAt = Date.now();
      isUp(SETTLING_MS);
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      this.#child = undefined;
      this.#pid = undefined;
      isUp = timeline.begin('the sidecar is not up', { impairs: ['process'] });
      if (!this.#isExpectedToEnd) this.#judgeEnd(code, signal);
      if (!this.#isOver) await delay(RESTART_MS);
    }
    isUp();
  }

  #judgeEnd(code: number | null, signal: string | null): void {
    if (!isExplained(code, this.startedAt, this.#options)) {
      this.#options.onSurprise(`the sidecar ended by itself with ${String(code ?? signal)}`);
    }
  }

  #hear(text: string): void {
    this.#output += text;
    this.#hasBegun ||= text.includes('"msg":"started"');
    this.lines.push(...text.trim().split('\n'));
    this.lines.splice(0, this.lines.length - KEPT_LINES);
  }

  #findPid(): number | undefined {
    const outer = this.#child?.pid;
    if (outer === undefined || !this.isContainer) return outer;
    return childrenOf(outer)[0];
  }
}
