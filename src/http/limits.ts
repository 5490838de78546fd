import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/**
 * Whoever opens connections without end must not use up the file descriptors that writing a credential needs. More than the 511
 * that may wait to be accepted: these are accepted all at once, and would close each other before they are heard.
 */
const MAX_CONNECTIONS = 600;

/**
 * Beyond the limit a new connection closes the oldest one, whatever that is doing, so that a probe is answered however many
 * others are open. A client that sends more requests than `maxRequestsPerSocket` without waiting for answers loses its connection.
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
 * Some answers end their connection: the last one that it may carry, because Node.js would wait for the client to close it; and
 * that to a request with a body, which nobody reads, but Node.js would go on taking in after the answer, without a time limit.
 */
export function endConnections(server: Server): void {
  const counts = new WeakMap<Socket, number>();
  server.prependListener('request', ({ headers, socket }, response) => {
    const count = (counts.get(socket) ?? 0) + 1;
    counts.set(socket, count);
    const hasBody = 'transfer-encoding' in headers || 'content-length' in headers;
    if (hasBody || count === server.maxRequestsPerSocket) response.setHeader('connection', 'close');
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
