import { parseArgs } from 'node:util';
import type { Config } from './config/load.ts';
import { AppError, StartupError, UsageError, withRemedy } from './credential/errors.ts';
import { OPEN_FILES_REMEDIES } from './credential/failures.ts';
import type { Cancellable } from './credential/ports.ts';
import { JWT } from './credential/redact.ts';
import { Stopped } from './platform/signals.ts';
import { writeTerminationLog } from './platform/termination-log.ts';

const NAME = 'lakebase-credential-sidecar';

/** Documented, and stable: platforms act on them. */
const EXIT_CODES = { config: 78, usage: 64, mint: 69, sink: 73, sinks: 73, startup: 69 } as const;
const EXIT_BUG = 1;

const COMMANDS = ['run', 'once', 'check', 'schema', 'version', 'help'] as const;
type Command = (typeof COMMANDS)[number];

const OPTIONS = {
  config: { type: 'string' },
  'http-host': { type: 'string' },
  'http-port': { type: 'string' },
  'log-level': { type: 'string' },
  timeout: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

const HELP = `Usage: ${NAME} [command] [options]

Keeps a short-lived Lakebase (Databricks Postgres) credential fresh beside an application that expects a password.

Commands:
  run       keep every credential fresh until SIGTERM or SIGINT (the default)
  once      mint and write every credential once
  check     test everything except the port, leave nothing behind, and say how to fix what fails
  schema    print the JSON Schema of the configuration
  version   print the versions of this program, Node.js and the Databricks CLI
  help      print this help

Options:
  --config FILE       configuration file; also LAKEBASE_CREDENTIAL_CONFIG; without it, environment variables configure one credential
  --http-host HOST    address to listen on (run)
  --http-port PORT    port of health, metrics and status (run)
  --log-level LEVEL   trace, debug, info, warn, error or fatal
  --timeout DURATION  time limit of once, such as 90s; default 60s

Exit codes:
  0      success; for run: stopped by a signal
  1      a bug in this program
  64     wrong usage
  69     not available: the CLI, the workspace, the port, or standard output; once: timed out; check: something failed
  73     a sink (a file or a Secret) cannot be written
  78     invalid configuration
  128+N  stopped by signal N; for run: by a second signal
`;

export interface Terminal extends Cancellable {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Node.js opens them when they are asked for, which costs milliseconds: `run` asks for neither. */
  readonly streams: { readonly stdout: NodeJS.WriteStream; readonly stderr: NodeJS.WriteStream };
}

interface Invocation {
  readonly command: Command;
  readonly values: ReturnType<typeof parse>['values'];
}

/** Runs one command and says how it ended: the exit code. */
export async function runCli(terminal: Terminal): Promise<number> {
  try {
    const invocation = readArguments(terminal.argv);
    return await dispatch(invocation, terminal);
  } catch (error) {
    return error instanceof Stopped ? error.exitCode : lastWords(error, terminal.streams);
  }
}

/** Says why the process ends: to who started it, and to the kubelet; with the exit code that goes with it. */
export function lastWords(error: unknown, { stderr }: Pick<Terminal['streams'], 'stderr'>): number {
  const foreseen = error instanceof AppError ? error : outOfFiles(error);
  const words = foreseen?.message ?? `bug: ${error instanceof Error ? error.stack : String(error)}`;
  const text = words.replaceAll(JWT, '[redacted]'); // V8 quotes values, as where one is no object
  stderr.write(`${NAME}: ${text.replaceAll('\n', '\n  ')}\n`);
  writeTerminationLog(text);
  return foreseen === undefined ? EXIT_BUG : EXIT_CODES[foreseen.code];
}

/** It can meet whatever opens a file: a port, a pipe, a part of this program. Nobody has to foresee it at each place. */
function outOfFiles(error: unknown): StartupError | undefined {
  if (!(error instanceof Error && 'code' in error)) return undefined;
  const { code, message } = error;
  if (code !== 'EMFILE' && code !== 'ENFILE') return undefined;
  return new StartupError(withRemedy(message, OPEN_FILES_REMEDIES[code]), { cause: error });
}

async function dispatch({ command, values }: Invocation, terminal: Terminal): Promise<number> {
  const { env, signal, streams } = terminal;
  const load = async (): Promise<Config> => {
    const { loadConfig } = await import('./config/load.ts');
    return await loadConfig({ env, flags: values });
  };
  switch (command) {
    case 'help':
      await printTo(streams, (stdout) => stdout.write(HELP));
      return 0;
    case 'schema': {
      const { configJsonSchema } = await import('./config/json-schema.ts');
      await printTo(streams, (stdout) => stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`));
      return 0;
    }
    case 'version': {
      const { printVersions } = await import('./commands/version.ts');
      await printTo(streams, async (stdout) => await printVersions({ load, env, stdout, signal }));
      return 0;
    }
    case 'check': {
      const { check } = await import('./commands/check.ts');
      const isWell = await printTo(streams, async (stdout) => await check({ load, stdout, signal }));
      return isWell ? 0 : EXIT_CODES.startup;
    }
    case 'once': {
      const { once } = await import('./commands/once.ts');
      await once({ load, timeout: values.timeout, signal });
      return 0;
    }
    case 'run': {
      const { run } = await import('./commands/run.ts');
      return await run({ load, signal }).catch(zeroIfStopped);
    }
    default:
      return command satisfies never;
  }
}

/** A reader that closes the pipe, as `head` does, is no failure. @throws StartupError if the output is lost otherwise */
async function printTo<T>(
  { stdout }: Terminal['streams'],
  print: (stdout: NodeJS.WriteStream) => T | Promise<T>,
): Promise<T> {
  let first: NodeJS.ErrnoException | undefined;
  stdout.on('error', (error) => (first ??= error));
  const result = await print(stdout);
  const { promise: written, resolve } = Promise.withResolvers<NodeJS.ErrnoException | null | undefined>();
  stdout.write('', resolve); // the event may come later than the exit
  const problem = first ?? (await written);
  if (problem && problem.code !== 'EPIPE') {
    throw new StartupError(`cannot write to standard output: ${problem.message}`);
  }
  return result;
}

/** Being stopped is how a sidecar ends well. */
function zeroIfStopped(error: unknown): number {
  if (error instanceof Stopped) return 0;
  throw error;
}

function readArguments(argv: readonly string[]): Invocation {
  const { values, positionals } = parse(argv);
  const [command = 'run', ...rest] = positionals;
  if (values.help === true) return { command: 'help', values };
  if (values.version === true) return { command: 'version', values };
  if (!isCommand(command)) throw new UsageError(`unknown command "${command}": use one of ${COMMANDS.join(', ')}`);
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" after ${command}`);
  const empty = Object.entries(values).find(([, value]) => value === '')?.[0];
  if (empty !== undefined) throw new UsageError(`--${empty} is empty: give it a value, or leave it out`);
  if (values.timeout !== undefined && command !== 'once')
    throw new UsageError('--timeout works only with the command once');
  return { command, values };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    const [words = ''] = (error as Error).message.split(/\. |\.$/);
    throw new UsageError(`${words.charAt(0).toLowerCase()}${words.slice(1)}; see ${NAME} help`, { cause: error });
  }
}

function isCommand(word: string): word is Command {
  return COMMANDS.some((command) => command === word);
}
