import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Agent, IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** What is printed after `Error: `. */
export class CliError extends Error {}

/** No answer; in the words of Go, which is what the real program is written in. */
export class NetworkError extends CliError {
  readonly isTransient: boolean;

  constructor(message: string, isTransient: boolean) {
    super(message);
    this.isTransient = isTransient;
  }
}

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Reply {
  readonly status: number;
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export type Retryable = (reply: Reply) => boolean;

const INACTIVITY_MS = 60_000;
const PATIENCE_MS = 300_000;
const MAX_PAUSE_MS = 10_000;

/** The connections of each protocol. */
const agents = new Map<boolean, Agent>();

function resolver(): string {
  try {
    return /^nameserver\s+(\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? '127.0.0.53';
  } catch {
    return '127.0.0.53';
  }
}

function translate(
  error: NodeJS.ErrnoException & { address?: string; port?: number },
  { method, url }: Call,
): NetworkError {
  const prefix = `${method === 'GET' ? 'Get' : 'Post'} "${url}": `;
  switch (error.code ?? '') {
    case 'ECONNREFUSED':
      return new NetworkError(`${prefix}dial tcp ${error.address}:${error.port}: connect: connection refused`, true);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new NetworkError(
        `${prefix}dial tcp: lookup ${new URL(url).hostname} on ${resolver()}:53: no such host`,
        false,
      );
    case 'ECONNRESET':
      // Node has one code for a connection that was closed, which is not retried, and for one that was reset.
      return error.message === 'socket hang up' || error.message === 'aborted'
        ? new NetworkError(`${prefix}${error.message === 'aborted' ? 'unexpected ' : ''}EOF`, false)
        : new NetworkError(`${prefix}read: connection reset by peer`, true);
    case 'ETIMEDOUT':
      return new NetworkError(`${prefix}i/o timeout`, true);
    default:
      return new NetworkError(
        /CERT|SIGNED|TLS|SSL/.test(error.code ?? '')
          ? `${prefix}tls: failed to verify certificate: x509: ${error.message}`
          : `${prefix}${error.message}`,
        false,
      );
  }
}

function sendOnce(call: Call): Promise<Reply> {
  const isTls = call.url.startsWith('https:');
  const caFile = process.env['SSL_CERT_FILE'];
  // Loaded where it is needed, and not by an import, with which comes what `fetch` is made of: half of a start.
  const http = isTls ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http');
  const agent = agents.get(isTls) ?? new http.Agent({ keepAlive: true });
  agents.set(isTls, agent);
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const request = http.request(call.url, {
    method: call.method,
    agent,
    headers: call.headers,
    timeout: INACTIVITY_MS,
    ...(isTls && caFile ? { ca: readFileSync(caFile) } : {}),
  });
  const fail = (error: Error): void => reject(translate(error, call));
  request.on('timeout', () => request.destroy(Object.assign(new Error('i/o timeout'), { code: 'ETIMEDOUT' })));
  request.on('error', fail);
  request.on('response', (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', fail);
    response.on('end', () => {
      const { statusCode: status = 0, statusMessage: reason = '', headers } = response;
      resolve({ status, reason, headers, text: Buffer.concat(chunks).toString() });
    });
  });
  request.end(call.body);
  return promise;
}

/** Not answered in time, for all retries. */
export class TimedOut extends CliError {}

/** Retries for five minutes, without a word: nothing but the caller's deadline makes it sooner. */
export async function send(call: Call, isRetryable: Retryable, patienceMs = PATIENCE_MS): Promise<Reply> {
  const deadline = Date.now() + patienceMs;
  for (let attempt = 1; ; attempt += 1) {
    let failure: Reply | NetworkError;
    try {
      failure = await sendOnce(call);
      if (!isRetryable(failure)) return failure;
    } catch (error) {
      if (!(error instanceof NetworkError) || !error.isTransient) throw error;
      failure = error;
    }
    const pauseMs = Math.min(attempt * 1000, MAX_PAUSE_MS) + 50 + Math.random() * 700;
    if (Date.now() + pauseMs > deadline) {
      throw new TimedOut(`timed out: ${failure instanceof NetworkError ? failure.message : messageOf(failure)}`);
    }
    await delay(pauseMs);
  }
}

/** The `message` of an error in JSON, else the body as it is. */
export function messageOf({ text }: Reply): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not JSON: printed as it came.
  }
  return text;
}

function dumpHeaders(mark: string, headers: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(headers)
    .filter(([name]) => name !== 'transfer-encoding')
    .map(([name, value]) => [name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase()), value] as const)
    .sort(([left], [right]) => left.localeCompare(right))
    .map(([name, value]) => `${mark} * ${name}: ${name === 'Authorization' ? 'REDACTED' : String(value)}`);
}

function dumpBody(mark: string, body: string): string[] {
  return body.split('\n').map((line) => `${mark} ${line}`);
}

/** The whole exchange, the token in the answer included: that is what the real program prints. */
export function unreadable(call: Call, reply: Reply, reason: string): CliError {
  const log = [
    `${call.method} ${new URL(call.url).pathname}`,
    '> * Host: ',
    ...dumpHeaders('>', call.headers),
    ...dumpBody('>', JSON.stringify(JSON.parse(call.body ?? '{}'), null, 2)),
    `< HTTP/1.1 ${reply.status} ${reply.reason}`,
    ...dumpHeaders('<', reply.headers),
    ...dumpBody('<', reply.text),
  ].join('\n');
  return new CliError(
    `failed to unmarshal response body: ${reason}. This is likely a bug in the Databricks SDK for Go or the underlying REST API. ` +
      'Please report this issue with the following debugging information to the SDK issue tracker at ' +
      `https://github.com/databricks/databricks-sdk-go/issues. Request log:\n\`\`\`\n${log}\n\`\`\``,
  );
}

export function traceparent(): string {
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
}
