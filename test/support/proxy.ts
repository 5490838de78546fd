import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What stands between a client and a server on loopback, and can be in the way. */
export class Proxy {
  /** Of each chunk, in each direction. */
  latencyMs = 0;
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  readonly #forgotten = new WeakSet<Socket>();
  #port: number;
  #server: Server | undefined;
  /** While it hangs. */
  #stopped: PromiseWithResolvers<void> | undefined;

  private constructor(targetPort: number, port: number) {
    this.#targetPort = targetPort;
    this.#port = port;
  }

  /** On any free port without one. */
  static async start(targetPort: number, port = 0): Promise<Proxy> {
    const proxy = new Proxy(targetPort, port);
    await proxy.open();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  async open(): Promise<void> {
    this.#server = createServer((client) => this.#connect(client)).listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Nobody gets a connection, or keeps one. */
  close(): void {
    this.#server?.close();
    this.cut();
  }

  /** Ends all connections, as a load balancer does that is restarted. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Nothing passes through the connections that are there any more, as through a firewall that has forgotten them. */
  forget(): void {
    for (const socket of this.#sockets) this.#forgotten.add(socket);
  }

  /** Connections stay, and others begin, but nothing passes through any more. */
  hang(): void {
    this.#stopped = Promise.withResolvers();
  }

  goOn(): void {
    this.#stopped?.resolve();
    this.#stopped = undefined;
  }

  #connect(client: Socket): void {
    const server = connect(this.#targetPort, '127.0.0.1');
    void this.#pass(client, server);
    void this.#pass(server, client);
  }

  async #pass(from: Socket, to: Socket): Promise<void> {
    this.#sockets.add(from);
    try {
      for await (const chunk of from) {
        await this.#stopped?.promise;
        if (this.#forgotten.has(from)) continue;
        if (this.latencyMs > 0) await delay(this.latencyMs);
        to.write(chunk as Buffer);
      }
    } catch {
      // One end is gone, so the other one goes, too.
    } finally {
      this.#sockets.delete(from);
      to.destroy();
    }
  }
}
