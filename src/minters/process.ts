import { execa } from 'execa';
import type { Cancellable, Clock } from '../credential/ports.ts';

export interface CommandLine {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | undefined;
  /** The signal that ended it. */
  readonly killedBy: string | undefined;
  /** `ENOENT`, `EACCES` …: it could not be started. */
  readonly errno: string | undefined;
  readonly hasTimedOut: boolean;
  readonly isTooLong: boolean;
}

/** An answer is 2 KB; what is longer is no answer, and must not fill the memory. */
const MAX_OUTPUT = 256 * 1024;
/** Between SIGTERM and SIGKILL after a deadline. */
const GRACE_MS = 5_000;
/** The same when this process stops: the end of a pod is not held up by a command. */
const GRACE_AT_STOP_MS = 500;
/** How long output is read after the end of a command: a program that has left its group may hold the pipe open. */
const LINGER_MS = 1_000;

/**
 * Commands that are killed when this process exits. Not by execa's own `cleanup`: during each run that would also listen
 * for two dozen signals, among them those that `nohup` makes this process ignore.
 */
const running = new Set<{ readonly kill: (signal: 'SIGKILL') => unknown }>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Runs a command in a process group of its own, at most `timeoutMs` long, and leaves nothing of the group behind.
 * Resolves whatever happened: an error of execa carries what was printed, hence the token.
 */
export async function runCommand(
  { file, args, env }: CommandLine,
  { signal, timeoutMs, clock }: Cancellable & { readonly timeoutMs: number; readonly clock: Clock },
): Promise<CommandResult> {
  signal.throwIfAborted();
  const child = execa(file, args, {
    env,
    extendEnv: false,
    cwd: '/', // the CLI takes its settings from a databricks.yml in the working directory or above it
    stdin: 'ignore',
    killDescendants: true,
    timeout: Math.ceil(timeoutMs), // execa takes whole milliseconds only, and throws otherwise
    forceKillAfterDelay: GRACE_MS,
    reject: false,
    maxBuffer: MAX_OUTPUT,
    cleanup: false, // see `running`
    verbose: 'none', // else NODE_DEBUG=execa prints the token
  });
  running.add(child);
  const ended = new AbortController();
  const after = (delayMs: number, act: () => void): void => {
    clock.sleep(delayMs, ended).then(act, () => {}); // it ended by itself
  };
  const { nodeChildProcess } = child;
  // In a later turn, so that what has arrived until then is read first.
  const hangUp = (): void =>
    void setImmediate(() => {
      nodeChildProcess.stdout?.destroy();
      nodeChildProcess.stderr?.destroy();
    });
  const stop = (): void => {
    child.kill('SIGTERM');
    after(GRACE_AT_STOP_MS, () => {
      child.kill('SIGKILL');
      hangUp();
    });
  };
  signal.addEventListener('abort', stop, { once: true });
  nodeChildProcess.once('exit', () => {
    child.kill('SIGKILL'); // what the command left running in its group ends with it, and would hold the pipes open
    after(LINGER_MS, hangUp);
  });
  const result = await child;
  running.delete(child);
  signal.removeEventListener('abort', stop);
  ended.abort();
  signal.throwIfAborted();
  return {
    stdout: result.stdout,
    stderr: result.stderr,
    exitCode: result.exitCode,
    killedBy: result.signal,
    errno: child.pid === undefined ? (result.code ?? 'unknown') : undefined,
    hasTimedOut: result.timedOut,
    isTooLong: result.isMaxBuffer,
  };
}
