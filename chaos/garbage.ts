import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

const TRY_EVERY_MS = 100;
const ANSWERS_WITHIN_MS = 30_000;

/** Has the garbage of another Node.js collected, which runs with `--inspect` on this port of loopback. */
export class GarbageCollector {
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** It may be about to start. */
  static async connect(port: number, signal: AbortSignal): Promise<GarbageCollector> {
    const socket = new WebSocket(await targetAt(port, signal));
    await once(socket, 'open', { signal });
    return new GarbageCollector(socket);
  }

  /** What is there afterwards is held. @returns bytes of it, in the heap of JavaScript */
  async collect(): Promise<number> {
    await this.#ask('HeapProfiler.collectGarbage');
    const { usedSize } = (await this.#ask('Runtime.getHeapUsage')) as { readonly usedSize: number };
    return usedSize;
  }

  /** The other one does not end before that. */
  close(): void {
    this.#socket.close();
  }

  /** One question at a time. */
  async #ask(method: string): Promise<unknown> {
    const answered = once(this.#socket, 'message', { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });
    this.#socket.send(JSON.stringify({ id: 1, method }));
    const [{ data }] = (await answered) as [{ readonly data: string }];
    const answer = JSON.parse(data) as { readonly result?: unknown };
    if (answer.result === undefined) throw new Error(`${method} failed: ${data}`);
    return answer.result;
  }
}

async function targetAt(port: number, signal: AbortSignal): Promise<string> {
  for (;;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/json/list`, { signal });
      const [target] = (await response.json()) as { readonly webSocketDebuggerUrl: string }[];
      return target!.webSocketDebuggerUrl;
    } catch {
      await delay(TRY_EVERY_MS, undefined, { signal });
    }
  }
}
