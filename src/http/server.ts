import type { Duplex } from 'node:stream';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import type { Cancellable, Clock } from '../credential/ports.ts';
import { type Check, type CredentialStatus, readinessChecks } from '../credential/status.ts';
import { prefersHtml, prefersOpenMetrics } from './accept.ts';
import { answerInTurn, endConnections, limitConnections } from './limits.ts';
import { answerProbe, parseProbeQuery } from './probes.ts';
import { singleFlight } from './single-flight.ts';
import { reportStatus } from './status-json.ts';

export interface ServerOptions {
  readonly clock: Clock;
  readonly liveness: () => readonly Check[];
  /** Looks at every sink. */
  readonly statuses: (options: Cancellable) => Promise<readonly CredentialStatus[]>;
  readonly renderMetrics: (
    format: 'text' | 'openmetrics',
    statuses: readonly CredentialStatus[],
  ) => Promise<Exposition>;
  readonly version: string;
  readonly log: { readonly error: (fields: object, message: string) => void };
  /** How long the looks for one answer may take. */
  readonly deadlineMs?: number;
}

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

const DEADLINE_MS = 5_000;
/** A client that sends its request byte by byte holds a connection no longer than these two together. */
const REQUEST_TIMEOUT_MS = 10_000;
const LOOK_FOR_SLOW_MS = 5_000;
/** Longer than the usual scrape interval, so that Prometheus need not connect each time. */
const KEEP_ALIVE_MS = 75_000;
/** Who sends many requests without waiting for an answer is stopped here. */
const MAX_REQUESTS_PER_CONNECTION = 64;
const METHODS = 'GET, HEAD';
const PATHS = ['/healthz', '/readyz', '/metrics', '/status'];

// Not by an import, with which comes what `fetch` is made of where the program runs from its sources.
const { STATUS_CODES } = process.getBuiltinModule('node:http');
const CLIENT_ERRORS: Readonly<Record<string, number>> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_HEADER_OVERFLOW: 431 };

/** Everything it says is computed at the request. Nothing of a request is ever echoed. */
export function createServer(options: ServerOptions): FastifyInstance {
  const { log, deadlineMs = DEADLINE_MS } = options;
  const server = Fastify({
    logger: false,
    forceCloseConnections: true,
    handlerTimeout: deadlineMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxRequestsPerSocket: MAX_REQUESTS_PER_CONNECTION,
    http: { connectionsCheckingInterval: LOOK_FOR_SLOW_MS },
    clientErrorHandler: refuseConnection,
    frameworkErrors: (_error, _request, reply) => {
      void answer(reply, 400, 'the URL is malformed\n');
    },
  });
  limitConnections(server.server);
  endConnections(server.server);
  answerInTurn(server);
  // Bodies are nobody's concern here: none is read, so none can be malformed.
  server.removeAllContentTypeParsers();
  addRoutes(server, options);

  server.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?');
    if (!PATHS.includes(path)) return answer(reply, 404, `not found; the paths are ${PATHS.join(', ')}\n`);
    return answer(reply.header('allow', METHODS), 405, `method not allowed; allowed here: ${METHODS}\n`);
  });

  server.setErrorHandler<FastifyError>((error, request, reply) => {
    if (error.code === 'FST_ERR_HANDLER_TIMEOUT') {
      return answer(reply, 503, `timed out: the sinks could not be checked within ${deadlineMs / 1_000} s\n`);
    }
    const status = error.statusCode ?? 500;
    if (status >= 400 && status < 500) return answer(reply, status, `${reason(status)}\n`);
    // Who hung up does not read the answer, and whatever the abort made of it is no news.
    if (!request.signal.aborted) {
      log.error({ err: error, path: request.routeOptions.url }, 'http request failed');
    }
    return answer(reply, 500, 'internal error; see the log of the sidecar\n');
  });

  return server;
}

function addRoutes(server: FastifyInstance, options: ServerOptions): void {
  const { clock, liveness, renderMetrics, version } = options;
  const statuses = singleFlight(options.statuses);
  // What many ask for at once is rendered once: with hundreds of credentials that takes a while, and nothing else gets a turn.
  const expose = (format: 'text' | 'openmetrics') =>
    singleFlight(async (each) => await renderMetrics(format, await statuses(each)));
  const expositions = { text: expose('text'), openmetrics: expose('openmetrics') };

  server.get('/healthz', (request, reply) => {
    const query = parseProbeQuery(request.query, ['verbose']);
    if (typeof query === 'string') return answer(reply, 400, query);
    const { status, body } = answerProbe('healthz', liveness(), query.isVerbose);
    return answer(reply, status, body);
  });

  server.get('/readyz', async (request, reply) => {
    const query = parseProbeQuery(request.query, ['verbose', 'sinks']);
    if (typeof query === 'string') return answer(reply, 400, query);
    const checks = readinessChecks(await statuses({ signal: request.signal }), clock, query.kind);
    const { status, body } = answerProbe('readyz', checks, query.isVerbose);
    return answer(reply, status, body);
  });

  server.get('/metrics', async (request, reply) => {
    const format = prefersOpenMetrics(request.headers.accept) ? 'openmetrics' : 'text';
    const { contentType, body } = await expositions[format]({ signal: request.signal });
    return answer(reply.header('vary', 'accept'), 200, body, contentType);
  });

  server.get('/status', async (request, reply) => {
    const report = reportStatus(await statuses({ signal: request.signal }), clock, version);
    reply.header('vary', 'accept');
    if (!prefersHtml(request.headers.accept)) {
      return answer(reply, 200, `${JSON.stringify(report, null, 2)}\n`, 'application/json; charset=utf-8');
    }
    // Loaded for the first one who looks, which in most pods is nobody.
    const { PAGE_HEADERS, renderStatusPage } = await import('./status-page.ts');
    return answer(reply.headers(PAGE_HEADERS), 200, renderStatusPage(report), 'text/html; charset=utf-8');
  });
}

function answer(
  reply: FastifyReply,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): FastifyReply {
  return reply
    .code(status)
    .header('content-type', contentType)
    .header('cache-control', 'no-store')
    .header('x-content-type-options', 'nosniff')
    .send(body);
}

/** What is no HTTP at all never reaches a route. */
function refuseConnection(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code !== 'ECONNRESET' && socket.writable) {
    const status = CLIENT_ERRORS[error.code ?? ''] ?? 400;
    const body = `${reason(status)}\n`;
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}

function reason(status: number): string {
  return (STATUS_CODES[status] ?? 'bad request').toLowerCase();
}
