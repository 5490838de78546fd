import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { PassThrough } from 'node:stream';

/** As long as whoever asks waits for an answer of the API server. */
const DEADLINE_MS = 10_000;
/** A login has a token, or a certificate and its key. */
const MAX_OUTPUT = 256 * 1024;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) end(child);
});

/**
 * Starts the program with which a kubeconfig logs in, in the place of `spawn`, because the client library would wait for it
 * for ever, and keep whatever it prints. It has no standard input. At the deadline, or with this process, it is killed with
 * all that it has started.
 */
export function startLogin(
  command: string,
  args: readonly string[] = [],
  options: SpawnOptions = {},
  deadlineMs = DEADLINE_MS,
): ChildProcess {
  const env = withoutIdentity(options.env ?? process.env);
  const child: ChildProcess = spawn(command, args, {
    ...options,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  // Where no more files can be opened, Node.js makes no pipes. The library takes them for granted, and would not say why.
  const pipes = [(child.stdout ??= new PassThrough()), (child.stderr ??= new PassThrough())];
  const deadline = AbortSignal.timeout(deadlineMs);
  const giveUp = (what: string): void => {
    child.emit('error', new Error(`${command} ${what}`));
    end(child);
  };
  const expire = (): void => giveUp(`did not end within ${deadlineMs / 1_000} s`);
  let printed = 0;
  for (const pipe of pipes) {
    pipe.on('data', ({ length }: Buffer | string) => {
      printed += length;
      if (printed > MAX_OUTPUT) giveUp('printed far more than an ExecCredential');
    });
  }
  running.add(child);
  deadline.addEventListener('abort', expire, { once: true });
  child.once('close', () => {
    deadline.removeEventListener('abort', expire);
    running.delete(child);
  });
  return child;
}

/** It logs in to the cluster, by whatever variables a cloud has for that, and not to the workspace. */
function withoutIdentity(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('DATABRICKS_')));
}

function end({ pid, stderr, stdout }: ChildProcess): void {
  if (pid === undefined) return; // it was never there
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has ended; what has left it runs on.
  }
  for (const pipe of [stdout, stderr]) pipe?.destroy();
}
