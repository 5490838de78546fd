import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Cancellable } from '../credential/ports.ts';

/**
 * Whoever opens connections without end must not use up the file descriptors that writing a credential needs. More than may wait
 * to be accepted (511, and they are accepted all at once): else those would throw each other out before they are heard.
 */
const MAX_CONNECTIONS = 600;

/**
 * One connection too many closes the oldest, whatever that does: a probe that asks now is answered, however many others sit
 * there. A client that sends more requests than `maxRequestsPerSocket` without waiting for answers loses its connection.
 */
export function limitConnections(server: Server): void {
  server.on('dropRequest', (_request, socket: Socket) => socket.destroy());
  const open = new Set<Socket>(); // in order of arrival
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [oldest] = open;
    if (open.size <= MAX_CONNECTIONS || oldest === undefined) return;
    open.delete(oldest);
    oldest.destroy();
  });
}

/**
 * Nobody reads a body, but Node.js takes it in, and has no time limit for what goes on after the answer. So who sends one loses
 * the connection with the answer.
 */
export function endWithBodies(server: Server): void {
  server.prependListener('request', ({ headers }, response) => {
    const hasBody = 'transfer-encoding' in headers || 'content-length' in headers;
    if (hasBody) response.setHeader('connection', 'close');
  });
  server.on('checkExpectation', (_request, response) => response.writeHead(417, { connection: 'close' }).end());
}

/** Requests on one connection wait for each other's answers: a client that reads none costs the work of one at most. */
export function answerInTurn(server: FastifyInstance): void {
  const lastOf = new WeakMap<Socket, Promise<unknown>>();
  server.addHook('onRequest', async ({ socket }, { raw }) => {
    const before = lastOf.get(socket);
    const { promise: isOver, resolve } = Promise.withResolvers<void>();
    lastOf.set(socket, isOver);
    raw.once('close', resolve);
    await before;
  });
}

/**
 * Does `work` for everybody who asks, one at a time: who comes while it is done waits for the next time, and all who wait share
 * that. So no answer is older than its question, and a thousand questions at once cost as much as two. It stops when all have left.
 */
export function sharing<T>(work: (options: Cancellable) => Promise<T>): (options: Cancellable) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  let next: Turn<T> | undefined;

  const begin = (): Turn<T> => {
    const nobody = new AbortController();
    const result = last.then(async () => {
      if (next === turn) next = undefined;
      return await work({ signal: nobody.signal });
    });
    last = result.catch(() => {}); // who asked has the error
    const turn: Turn<T> = { result, nobody, waiting: new Set() };
    return turn;
  };

  return async ({ signal }) => {
    const turn = (next ??= begin());
    const { nobody, result, waiting } = turn;
    const leave = (): void => {
      waiting.delete(signal);
      if (waiting.size > 0) return;
      if (next === turn) next = undefined; // whoever comes now must not find it stopped
      nobody.abort(signal.reason);
    };
    waiting.add(signal);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await result;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  };
}

interface Turn<T> {
  readonly result: Promise<T>;
  readonly waiting: Set<AbortSignal>;
  readonly nobody: AbortController;
}
