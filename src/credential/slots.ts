import type { Cancellable } from './ports.ts';

export interface SlotRequest {
  /** By when it should run, on the monotonic clock: later requests have later instants, so that nobody waits for ever. */
  readonly wantedAt: number;
  /** The last attempt failed, or there is no credential yet: it may hang. */
  readonly isTroubled: boolean;
}

interface Waiter extends SlotRequest {
  readonly grant: (slot: number) => void;
}

/**
 * At most `size` commands run at once, first the one that is wanted soonest. Troubled credentials never hold all slots, so
 * that commands that hang cannot keep a healthy credential from its refresh.
 */
export class Slots {
  readonly #waiters: Waiter[] = [];
  readonly #taken = new Set<number>();
  #size: number;
  #troubled = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Who holds a slot beyond the new size keeps it, and its number, until the end of its task. */
  resize(size: number): void {
    this.#size = size;
    this.#grant();
  }

  /** Waits for a slot, runs `task` with its number, and gives the slot back. */
  async with<T>(request: SlotRequest, task: (slot: number) => Promise<T>, { signal }: Cancellable): Promise<T> {
    const slot = await this.#take(request, { signal });
    try {
      return await task(slot);
    } finally {
      if (request.isTroubled) this.#troubled -= 1;
      this.#taken.delete(slot);
      this.#grant();
    }
  }

  async #take(request: SlotRequest, { signal }: Cancellable): Promise<number> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const waiter = { ...request, grant: resolve };
    const leave = (): void => {
      const index = this.#waiters.indexOf(waiter);
      if (index === -1) return; // granted in the same turn: whoever took it gives it back
      this.#waiters.splice(index, 1);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#waiters.push(waiter);
    this.#waiters.sort((a, b) => a.wantedAt - b.wantedAt);
    this.#grant();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #grant(): void {
    while (this.#taken.size < this.#size) {
      const next = this.#waiters.find((waiter) => this.#mayRun(waiter));
      if (next === undefined) return;
      this.#waiters.splice(this.#waiters.indexOf(next), 1);
      if (next.isTroubled) this.#troubled += 1;
      next.grant(this.#takeLowest());
    }
  }

  #takeLowest(): number {
    let slot = 0;
    while (this.#taken.has(slot)) slot += 1;
    this.#taken.add(slot);
    return slot;
  }

  #mayRun(waiter: Waiter): boolean {
    if (!waiter.isTroubled) return true;
    // With a single slot there is none to keep free, so the healthy ones that wait go first instead.
    if (this.#size === 1) return this.#waiters.every(({ isTroubled }) => isTroubled);
    return this.#troubled < this.#size - 1;
  }
}
