import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { StartupError } from '../credential/errors.ts';

export interface Address {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
}

/** Both families at once. */
const ANY_ADDRESS = '::';

/**
 * At each further address of this name, and of no other, Fastify opens a server that nobody gets to see: none of the limits
 * on connections would hold there.
 */
const LOCALHOST = 'localhost';

const NO_LOOKUP = 'the name could not be looked up: set http.host to an IP address, or to "::" for all';
const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process in this pod or on this machine uses the port: stop it, or set http.port to a free one',
  EACCES: 'this user may not open the port: set http.port to one above 1023',
  EADDRNOTAVAIL:
    'no network interface of this machine has the address: set http.host to one that it has, or to "::" for all',
  EINVAL: 'nothing can listen on such an address by itself: set http.host to another one, or to "::" for all',
  EAFNOSUPPORT: 'this machine has no addresses of that kind: set http.host to "0.0.0.0"',
  ENOTFOUND: 'the name has no address: set http.host to an IP address, or to "::" for all',
  EAI_AGAIN: NO_LOOKUP,
  EAI_FAIL: NO_LOOKUP,
};

/** Where it listens in fact. @throws StartupError */
export async function listen(
  server: FastifyInstance,
  { host, port }: Address,
  addressesOf: (name: string) => Promise<string[]> = lookUp,
): Promise<Address> {
  let others: readonly string[] = [];
  try {
    let first = host;
    if (host === LOCALHOST) [first = host, ...others] = await addressesOf(host);
    // Told no address, Node.js takes this one, or 0.0.0.0 where there is no IPv6. Told it, Node.js looks it up, and for
    // that compiles a regular expression, which costs more than all else about listening.
    await server.listen({ host: host === ANY_ADDRESS ? '' : first, port });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const remedy = REMEDIES[code];
    if (remedy === undefined) throw error;
    throw new StartupError(`cannot listen on ${format({ host, port })}: ${remedy} (${code})`, { cause: error });
  }
  const { address, port: taken } = server.server.address() as AddressInfo;
  for (const other of others) await acceptAlso(server, { host: other, port: taken });
  return { host: address, port: taken };
}

async function lookUp(name: string): Promise<string[]> {
  const { lookup } = await import('node:dns/promises'); // half a MB that the default does without
  const found = await lookup(name, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

/** Hands what comes there to the one server, as if it had come to its own address. */
async function acceptAlso({ server }: FastifyInstance, address: Address): Promise<void> {
  const door = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket));
  server.once('close', () => door.close());
  try {
    await once(door.listen(address), 'listening');
  } catch {
    // The machine need not have it: `/etc/hosts` often names `::1` where there is no IPv6.
  }
}

function format({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
