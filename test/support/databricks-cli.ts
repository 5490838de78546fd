import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { authenticate, resolveHost, type Program } from './databricks-cli-auth.ts';
import { loadConfig, nextSteps } from './databricks-cli-config.ts';
import {
  endpointSyntax,
  INSTANCE_SYNTAX,
  misused,
  parseFlags,
  usageOf,
  VERSION_SYNTAX,
  type CommandLine,
} from './databricks-cli-flags.ts';
import { CliError, messageOf, send, traceparent, unreadable, type Call, type Reply } from './databricks-cli-http.ts';

// Stands in for the Databricks CLI, for the commands that mint. It is held to recordings of the real one, and knows
// only node: modules because it is started thousands of times. Unlike the real one it does not use proxies.

/** How this copy differs from the current version of a healthy program; the first argument, put there by a wrapper. */
interface Oddities {
  readonly version?: string;
  readonly startDelayMs?: number;
  readonly ignoresSigterm?: boolean;
}

const POSTGRES_SINCE = [0, 285];
const LIFETIME_SINCE = [1, 7];

function takeOddities(argv: string[]): Oddities {
  const marker = '--stand-in=';
  return argv[0]?.startsWith(marker) ? (JSON.parse(argv.shift()!.slice(marker.length)) as Oddities) : {};
}

function isAtLeast(version: string, [major = 0, minor = 0]: readonly number[]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function showVersion(version: string, argv: readonly string[]): string {
  if (parseFlags(argv, VERSION_SYNTAX).flags.get('output') !== 'json') return `Databricks CLI v${version}\n`;
  const details = {
    ProjectName: 'cli',
    Version: version,
    Branch: 'undefined',
    Tag: 'undefined',
    ShortCommit: '00000000',
    FullCommit: '0'.repeat(40),
    CommitTime: '1970-01-01T00:00:00Z',
    Summary: 'v0.0.0',
    Major: 0,
    Minor: 0,
    Patch: 0,
    Prerelease: '',
    IsSnapshot: false,
    BuildTime: '1970-01-01T00:00:00Z',
  };
  return `${JSON.stringify(details, null, 2)}\n`;
}

function readBody(flags: CommandLine['flags']): Record<string, unknown> {
  const json = flags.get('json');
  if (json === undefined) return {};
  try {
    return JSON.parse(json.startsWith('@') ? readFileSync(json.slice(1), 'utf8') : json) as Record<string, unknown>;
  } catch (error) {
    throw new CliError(`error decoding JSON at (inline): ${(error as Error).message}`);
  }
}

type Render = (answer: Record<string, unknown>) => unknown;

interface Request {
  readonly path: string;
  readonly body: unknown;
  readonly render: Render;
}

/** Go's JSON leaves empty fields out. */
function renderAs(expiryField: string): Render {
  return ({ [expiryField]: expiry, token }) => ({
    ...(expiry ? { [expiryField]: expiry } : {}),
    ...(token ? { token } : {}),
  });
}

function renderTimestamp(answer: Record<string, unknown>): unknown {
  const { expire_time: expiry } = answer;
  if (expiry === undefined) return renderAs('expire_time')(answer);
  if (typeof expiry !== 'string' || Number.isNaN(Date.parse(expiry)))
    throw new Error(`parsing time ${JSON.stringify(expiry)}`);
  return renderAs('expire_time')({ ...answer, expire_time: new Date(expiry).toISOString().replace('.000Z', 'Z') });
}

function endpointRequest({ positionals, flags }: CommandLine): Request {
  const [ttl, expireTime] = [flags.get('ttl'), flags.get('expire-time')];
  if (ttl !== undefined && !/^-?\d+(?:\.\d{1,9})?s$/.test(ttl)) throw new CliError(`invalid TTL: ${ttl}`);
  if (expireTime !== undefined && Number.isNaN(Date.parse(expireTime)))
    throw new CliError(`invalid EXPIRE_TIME: ${expireTime}`);
  const body = {
    ...readBody(flags),
    ...(positionals[0] === undefined ? {} : { endpoint: positionals[0] }),
    ...(expireTime === undefined ? {} : { expire_time: expireTime }),
    ...(ttl === undefined ? {} : { ttl }),
  };
  return { path: '/api/2.0/postgres/credentials', body, render: renderTimestamp };
}

function instanceRequest({ flags }: CommandLine): Request {
  const body = readBody(flags);
  const requestId = flags.get('request-id') ?? (body['request_id'] || randomUUID());
  return {
    path: '/api/2.0/database/credentials',
    body: { ...body, request_id: requestId },
    render: renderAs('expiration_time'),
  };
}

function parseAnswer(call: Call, reply: Reply, render: Render): string {
  if (String(reply.headers['content-type']).startsWith('text/html')) {
    throw new CliError('received HTML response instead of JSON');
  }
  try {
    return `${JSON.stringify(render(JSON.parse(reply.text) as Record<string, unknown>), null, 2)}\n`;
  } catch (error) {
    const isCut = error instanceof SyntaxError && /Unexpected end|Unterminated/.test(error.message);
    throw unreadable(call, reply, isCut ? 'unexpected end of JSON input' : (error as Error).message);
  }
}

async function mint(group: string, commandLine: CommandLine, program: Program): Promise<string> {
  const config = loadConfig(commandLine.flags.get('profile'));
  const issuer = config.host ? await resolveHost(config, program) : '';
  const { authType, token } = await authenticate(config, issuer, program);
  const { path, body, render } = group === 'postgres' ? endpointRequest(commandLine) : instanceRequest(commandLine);
  const command = `cmd/${group}_generate-database-credential cmd-exec-id/${randomUUID()} interactive/none auth/${authType}`;
  const call: Call = {
    method: 'POST',
    url: config.host + path,
    headers: {
      accept: 'application/json',
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      traceparent: traceparent(),
      'user-agent': `${program.userAgent} ${command}`,
      ...(config.workspace_id ? { 'x-databricks-workspace-id': config.workspace_id } : {}),
    },
    body: JSON.stringify(body),
  };
  const reply = await send(call, ({ status }) => status === 429 || status === 503);
  if (reply.status === 401 || reply.status === 403) {
    throw new CliError(messageOf(reply) + nextSteps(reply.status, authType, config));
  }
  if (reply.status >= 400) throw new CliError(messageOf(reply));
  return parseAnswer(call, reply, render);
}

async function run(argv: readonly string[], version: string): Promise<string> {
  const [group = '', command, ...rest] = argv;
  if (group === 'version') return showVersion(version, argv.slice(1));
  if (!['postgres', 'database'].includes(group) || (group === 'postgres' && !isAtLeast(version, POSTGRES_SINCE))) {
    throw new CliError(`unknown command "${group}" for "databricks"`);
  }
  if (command !== 'generate-database-credential')
    throw new CliError(`unknown command "${command}" for "databricks ${group}"`);
  const syntax = group === 'postgres' ? endpointSyntax(isAtLeast(version, LIFETIME_SINCE)) : INSTANCE_SYNTAX;
  const commandLine = parseFlags(rest, syntax);
  if (commandLine.flags.has('help')) return usageOf(syntax);
  const received = commandLine.positionals.length;
  const expected = group === 'postgres' && !commandLine.flags.has('json') ? 1 : 0;
  if (received > 0 && expected === 0 && group === 'postgres') {
    throw new CliError(
      "when --json flag is specified, no positional arguments are allowed. Provide 'endpoint' in your JSON input",
    );
  }
  if (received !== expected) throw misused(`accepts ${expected} arg(s), received ${received}`, syntax);
  return mint(group, commandLine, {
    version,
    userAgent: `cli/${version} databricks-sdk-go/0.175.0 go/1.26.7 os/linux`,
  });
}

const argv = process.argv.slice(2);
const { version = '1.13.0', startDelayMs = 0, ignoresSigterm = false } = takeOddities(argv);
if (ignoresSigterm) process.on('SIGTERM', () => {});
if (startDelayMs > 0) await delay(startDelayMs);
try {
  process.stdout.write(await run(argv, version));
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  process.stderr.write(`Error: ${error.message}\n`);
  process.exitCode = 1;
}
