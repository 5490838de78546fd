import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface ProxyOptions {
  readonly port: number;
  readonly targetPort: number;
}

/** What stands between a client and a server on loopback, and can be in the way. */
export class Proxy {
  /** Of each chunk, in each direction. */
  latencyMs = 0;
  readonly #options: ProxyOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  /** While it hangs. */
  #stopped: PromiseWithResolvers<void> | undefined;

  private constructor(options: ProxyOptions) {
    this.#options = options;
  }

  static async start(options: ProxyOptions): Promise<Proxy> {
    const proxy = new Proxy(options);
    await proxy.open();
    return proxy;
  }

  async open(): Promise<void> {
    this.#server = createServer((client) => this.#connect(client)).listen(this.#options.port, '127.0.0.1');
    await once(this.#server, 'listening');
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

  /** Connections stay, and others begin, but nothing passes through any more. */
  hang(): void {
    this.#stopped = Promise.withResolvers();
  }

  goOn(): void {
    this.#stopped?.resolve();
    this.#stopped = undefined;
  }

  #connect(client: Socket): void {
    const server = connect(this.#options.targetPort, '127.0.0.1');
    void this.#pass(client, server);
    void this.#pass(server, client);
  }

  async #pass(from: Socket, to: Socket): Promise<void> {
    this.#sockets.add(from);
    try {
      for await (const chunk of from) {
        await this.#stopped?.promise;
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
