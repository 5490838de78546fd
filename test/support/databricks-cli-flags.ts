import { CliError } from './databricks-cli-http.ts';

interface Flag {
  readonly short?: string;
  readonly takes?: string;
  readonly help: string;
}

type Flags = Readonly<Record<string, Flag>>;

export interface CommandLine {
  readonly positionals: readonly string[];
  readonly flags: ReadonlyMap<string, string>;
}

const HELP: Flags = { help: { short: 'h', help: 'help for generate-database-credential' } };
const BODY: Flags = {
  json: {
    takes: 'JSON',
    help: 'either inline JSON string or @path/to/file.json with request body (default JSON (0 bytes))',
  },
};
const LIFETIME: Flags = {
  'expire-time': { takes: 'string', help: 'Timestamp in UTC of when this credential should expire.' },
  ttl: { takes: 'string', help: 'The requested time-to-live for the generated credential token.' },
};
const GLOBAL: Flags = {
  debug: { help: 'enable debug logging' },
  output: { short: 'o', takes: 'type', help: 'output type: text or json (default text)' },
  profile: { short: 'p', takes: 'string', help: '~/.databrickscfg profile' },
  target: { short: 't', takes: 'string', help: 'bundle target to use (if applicable)' },
};

export interface Syntax {
  readonly usage: string;
  readonly flags: Flags;
}

export function endpointSyntax(hasLifetime: boolean): Syntax {
  return {
    usage: 'databricks postgres generate-database-credential ENDPOINT [flags]',
    flags: { ...HELP, ...BODY, ...(hasLifetime ? LIFETIME : {}) },
  };
}

export const INSTANCE_SYNTAX: Syntax = {
  usage: 'databricks database generate-database-credential [flags]',
  flags: { ...HELP, ...BODY, 'request-id': { takes: 'string', help: '' } },
};

export const VERSION_SYNTAX: Syntax = {
  usage: 'databricks version [flags]',
  flags: { help: { short: 'h', help: 'help for version' } },
};

function table(flags: Flags): string {
  const rows = Object.entries(flags)
    .sort(([left], [right]) => left.localeCompare(right))
    .map(([name, { short, takes, help }]) => {
      const label = `  ${short === undefined ? '    ' : `-${short}, `}--${name}${takes === undefined ? '' : ` ${takes}`}`;
      return { label, help };
    });
  const width = Math.max(...rows.map(({ label }) => label.length));
  return rows.map(({ label, help }) => `${label.padEnd(width)}   ${help}`).join('\n');
}

export function usageOf({ usage, flags }: Syntax): string {
  return `Usage:\n  ${usage}\n\nFlags:\n${table(flags)}\n\nGlobal Flags:\n${table(GLOBAL)}\n`;
}

export function misused(message: string, syntax: Syntax): CliError {
  return new CliError(`${message}\n\n${usageOf(syntax)}`);
}

/** `--debug` and `--target` are taken and change nothing. @throws CliError with the usage */
export function parseFlags(argv: readonly string[], syntax: Syntax): CommandLine {
  const known: Flags = { ...syntax.flags, ...GLOBAL };
  const positionals: string[] = [];
  const flags = new Map<string, string>();
  for (let at = 0; at < argv.length; at += 1) {
    const argument = argv[at]!;
    const [, dashes, name = '', value] = /^(--?)([^=]+)(?:=(.*))?$/s.exec(argument) ?? [];
    if (dashes === undefined) {
      positionals.push(argument);
      continue;
    }
    const [long, flag] =
      Object.entries(known).find(([key, { short }]) => (dashes === '--' ? key === name : short === name)) ?? [];
    if (long === undefined) {
      throw misused(
        dashes === '--' ? `unknown flag: --${name}` : `unknown shorthand flag: '${name}' in -${name}`,
        syntax,
      );
    }
    if (flag?.takes === undefined) flags.set(long, value ?? 'true');
    else {
      const taken = value ?? argv[(at += 1)];
      if (taken === undefined) throw misused(`flag needs an argument: ${argument}`, syntax);
      flags.set(long, taken);
    }
  }
  return { positionals, flags };
}
