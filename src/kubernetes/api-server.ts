import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent, request as requestHttps, type RequestOptions } from 'node:https';
import { SinkError } from '../credential/errors.ts';
import { recordOf } from '../credential/json.ts';
import type { Cancellable } from '../credential/ports.ts';
import { unlessAborted } from '../credential/tasks.ts';
import { type ApiAnswer, linesOf, parse, toAnswer } from './answer.ts';
import { unreachable } from './api-errors.ts';
import { type Access, type Connect, noLogin, openConnection, stateOf } from './connection.ts';

export interface Query {
  readonly [name: string]: string;
}

export interface Limits extends Cancellable {
  readonly timeoutMs?: number;
}

export interface ApiRequest extends Limits {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  readonly query?: Query;
  readonly body?: object;
  /** Of the body; JSON when left out. */
  readonly contentType?: string;
  /** On a connection of its own: one that was kept alive may be dead without anybody knowing. */
  readonly isAlone?: boolean;
}

export interface WatchHandlers {
  /** The server has begun to send what changes from now on. */
  readonly onOpen: () => void;
  readonly onEvent: (event: WatchEvent) => void;
}

export interface WatchEvent {
  /** `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`. */
  readonly type: string;
  readonly object: unknown;
}

/** Of a request, login and whole answer included; of a watch, until it has begun. */
const TIMEOUT_MS = 10_000;
/** The server sends a bookmark every minute: after this long without a word the connection is dead. */
const SILENCE_MS = 90_000;
/**
 * From the look before a mint to the write after it, in most cases. A server keeps idle connections for a minute and a
 * half, and those of the client that a new configuration has replaced would stay open as long.
 */
const IDLE_MS = 10_000;
const KEPT = { keepAlive: true, maxFreeSockets: 4, timeout: IDLE_MS } as const;
/** The server ends a watch by itself then, so that none lives for ever. */
const WATCH_SECONDS = 300;

/** Plain requests to the API server of one cluster. What goes wrong on the way is a SinkError `unreachable`. */
export class ApiServer {
  readonly #kubeconfig: string | undefined;
  readonly #userAgent: string;
  readonly #https = new Agent(KEPT);
  readonly #http = new HttpAgent(KEPT);
  #connect: Promise<Connect> | undefined;
  /** Of the last request, for messages; empty before the first. */
  #address = '';
  /** Of the kubeconfig, as it was read. */
  #state: string | undefined;

  constructor(kubeconfig: string | undefined, userAgent: string) {
    this.#kubeconfig = kubeconfig;
    this.#userAgent = userAgent;
  }

  /** Without a request: whether it is known where the server is and who we are. @throws SinkError */
  async prepare({ signal }: Cancellable): Promise<void> {
    signal.throwIfAborted();
    await unlessAborted(this.#open(), { signal });
  }

  /** @throws SinkError */
  async request({ timeoutMs = TIMEOUT_MS, signal, ...request }: ApiRequest): Promise<ApiAnswer> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    try {
      return await toAnswer(await this.#authorized({ ...request, signal: deadline }));
    } catch (error) {
      signal.throwIfAborted();
      this.#distrust();
      throw this.#unreachable(error, deadline.aborted ? tooSlow(timeoutMs) : undefined);
    }
  }

  /** Until the server ends it. An answer other than 200 is returned. @throws SinkError */
  async watch(
    path: string,
    query: Query,
    { onOpen, onEvent }: WatchHandlers,
    { signal, timeoutMs = TIMEOUT_MS }: Limits,
  ): Promise<ApiAnswer | undefined> {
    // Until it has begun, or is refused, it is a request like others.
    const opening = new AbortController();
    const deadline = AbortSignal.timeout(timeoutMs);
    const giveUp = (): void => opening.abort();
    deadline.addEventListener('abort', giveUp, { once: true });
    const timing = { watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: `${WATCH_SECONDS}` };
    try {
      const response = await this.#authorized({
        method: 'GET',
        path,
        query: { ...query, ...timing },
        signal: AbortSignal.any([signal, opening.signal]),
        isAlone: true,
      });
      if (response.statusCode !== 200) return await toAnswer(response);
      deadline.removeEventListener('abort', giveUp);
      onOpen();
      for await (const line of linesOf(response)) {
        const { type, object } = recordOf(parse(line));
        if (typeof type !== 'string') throw new Error('it sent something that is not a watch event');
        onEvent({ type, object });
      }
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      this.#distrust();
      throw this.#unreachable(error, opening.signal.aborted ? tooSlow(timeoutMs) : undefined);
    }
  }

  /** After a 401 the login is read again, once: its token may have been rotated, and the library still has the old one. */
  async #authorized(request: ApiRequest): Promise<IncomingMessage> {
    const refused = this.#connect;
    const first = await this.#send(request);
    if (first.statusCode !== 401) return first;
    // Not read: what is no API server might never end its answer, and for a watch that has begun there is no deadline any more.
    first.destroy();
    // Another request may have read it again meanwhile.
    if (refused === undefined || this.#connect === refused) this.#connect = undefined;
    return await this.#send(request);
  }

  async #send(request: ApiRequest): Promise<IncomingMessage> {
    const { sent, answered } = this.#start(await this.#access(request), request);
    try {
      return await answered;
    } catch (error) {
      if (!sent.reusedSocket || codeOf(error) !== 'ECONNRESET') throw error;
      // The server closed a connection that was kept alive, before it saw the request. It may have closed the others, too.
      return await this.#send({ ...request, isAlone: true });
    }
  }

  /** Logging in may run a program that hangs, so the request's deadline counts for it, too. */
  async #access({ signal }: Cancellable): Promise<Access> {
    signal.throwIfAborted();
    const access = this.#open().then(async (connect) => await connect());
    try {
      return await unlessAborted(access, { signal });
    } catch (error) {
      if (error instanceof SinkError || !(error instanceof Error) || isBug(error)) throw error;
      throw noLogin(this.#kubeconfig, error, signal.aborted ? 'the login does not end in time' : undefined);
    }
  }

  async #open(): Promise<Connect> {
    if (this.#connect === undefined) {
      this.#state = stateOf(this.#kubeconfig);
      this.#connect = openConnection(this.#kubeconfig);
    }
    return await this.#connect.catch((error: unknown) => {
      this.#connect = undefined;
      throw error;
    });
  }

  /** Others that were kept alive may be dead as well, and the server may have another address or authority by now. */
  #distrust(): void {
    for (const { freeSockets } of [this.#https, this.#http]) {
      for (const socket of Object.values(freeSockets).flat()) socket?.destroy();
    }
    const state = stateOf(this.#kubeconfig);
    if (state !== undefined && state !== this.#state) this.#connect = undefined;
  }

  #start({ server, options }: Access, request: ApiRequest) {
    const { method, path, query = {}, body, contentType, isAlone = false, signal } = request;
    const url = new URL(server + path);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const isPlain = url.protocol === 'http:';
    this.#address = ` ${url.hostname}:${url.port || (isPlain ? 80 : 443)}`;
    // As bytes: before a text Node.js would encode the headers, too, and those that are UTF-8 already a second time.
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const all: RequestOptions = {
      ...options,
      method,
      signal,
      // As in kubectl: where a cluster's authority is an intermediate one, only that is given, and not the one above it.
      allowPartialTrustChain: true,
      // Not the library's, which remembers the first certificates for ever.
      agent: isAlone ? false : isPlain ? this.#http : this.#https,
      headers: {
        ...(options.headers as Record<string, string>),
        accept: 'application/json',
        'user-agent': this.#userAgent,
        ...(content !== undefined && { 'content-type': contentType ?? 'application/json' }),
      },
    };
    const sent = (isPlain ? requestHttp : requestHttps)(url, all);
    const { promise: answered, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    sent.on('response', (response) => {
      sent.setTimeout(SILENCE_MS, () => response.destroy(new Error('no data received for too long')));
      resolve(response);
    });
    sent.on('error', reject); // what comes after the answer ends the answer, too
    // Of an answer that switches protocols (101) nothing else is told.
    sent.on('close', () => reject(new Error('the connection ended without an answer')));
    sent.end(content);
    return { sent, answered };
  }

  #unreachable(error: unknown, reason?: string): SinkError {
    if (error instanceof SinkError) return error;
    if (!(error instanceof Error) || isBug(error)) throw error;
    return unreachable(this.#address, error, reason);
  }
}

/** What Node.js refuses has a code, also where it is a TypeError; what our own code stumbles over has none. */
function isBug(error: Error): boolean {
  return codeOf(error) === undefined && [RangeError, ReferenceError, TypeError].some((kind) => error instanceof kind);
}

function tooSlow(timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1_000} s`;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
