import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below what systems give to those who want just any. */
const FIRST = 10_000;
const COUNT = 20_000;

/**
 * A free loopback port, and none that a system gives to those who want just any: nobody else comes by it before a program
 * has started that listens there, or during an outage. All are of one range, which somebody's relay may have to know
 * (docs/images.md).
 */
export async function unwantedPort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    await once(server.close(), 'close');
    return port;
  }
}

/** None of them twice. */
export async function unwantedPorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await unwantedPort());
  return [...ports];
}
