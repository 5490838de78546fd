import type { Cancellable, Clock } from '../../src/credential/ports.ts';
import { type Alarm, Ticker } from '../../src/credential/ticker.ts';

interface Event {
  readonly at: number;
  /** Of two at the same instant the one that was planned first comes first, so that a seed always tells the same story. */
  readonly order: number;
  readonly happen: Happening;
}

/** @returns whether somebody was woken, who has to say what he waits for next before time passes */
type Happening = () => boolean;

/** Time that passes from one event to the next. */
export class SimulatedTime implements Clock {
  /** A heap: the earliest first. */
  readonly #events: Event[] = [];
  #now = 0;
  #planned = 0;

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  at(at: number, happen: Happening): void {
    const events = this.#events;
    this.#planned += 1;
    const event = { at, order: this.#planned, happen };
    let index = events.length;
    events.push(event);
    for (let parent = (index - 1) >> 1; index > 0 && isBefore(event, events[parent]!); parent = (index - 1) >> 1) {
      events[index] = events[parent]!;
      index = parent;
    }
    events[index] = event;
  }

  async sleep(ms: number, { signal }: Cancellable): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.at(this.#now + ms, () => {
      resolve();
      return true;
    });
    await promise;
    signal.throwIfAborted();
  }

  async run(untilMs: number): Promise<void> {
    await turn();
    for (let next = this.#events[0]; next !== undefined && next.at <= untilMs; next = this.#events[0]) {
      this.#now = Math.max(this.#now, next.at);
      if (this.#take().happen()) await turn();
    }
    this.#now = untilMs;
  }

  #take(): Event {
    const events = this.#events;
    const first = events[0]!;
    const last = events.pop()!;
    if (events.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1;
      if (!isBefore(events[child]!, last)) break;
      events[index] = events[child]!;
      index = child;
    }
    events[index] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Everything that waits for promises alone has gone on when it settles. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Rings as the real one does, without looking at every alarm of ten thousand sidecars each second. */
export class SimulatedTicker extends Ticker {
  readonly #time: SimulatedTime;
  /** By alarm, its present wait. */
  readonly #waits = new Map<Alarm, symbol>();

  constructor(time: SimulatedTime) {
    super(time, () => {});
    this.#time = time;
  }

  override add(alarm: Alarm): void {
    const wait = Symbol('wait');
    this.#waits.set(alarm, wait);
    if (alarm.at === Infinity) return;
    this.#time.at(alarm.at, () => {
      const isWaiting = this.#waits.get(alarm) === wait;
      if (isWaiting) alarm.ring();
      return isWaiting;
    });
  }

  override remove(alarm: Alarm): void {
    this.#waits.delete(alarm);
  }

  override hasten(): void {}
}
