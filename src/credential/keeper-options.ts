import type { Credential, Minter, Observer, Sink } from './ports.ts';
import type { BackoffPolicy, Random, RefreshPolicy } from './schedule.ts';
import type { Slots } from './slots.ts';
import type { Ticker } from './ticker.ts';

/** What a keeper is made of. */
export interface KeeperOptions {
  readonly name: string;
  /** The endpoint or the instance, for the status only. */
  readonly resource: string;
  /** What is asked for; the service's own default where it is undefined. */
  readonly ttlMs: number | undefined;
  /** Deadline of one attempt while there is no valid credential; sooner where one is about to expire. */
  readonly timeoutMs: number;
  readonly refresh: RefreshPolicy;
  readonly backoff: BackoffPolicy;
  readonly minter: Minter;
  readonly sinks: readonly Sink[];
  readonly slots: Slots;
  readonly ticker: Ticker;
  readonly random: Random;
  readonly observer: Observer;
  /** Whether what an earlier process left in the sinks may be used for as long as it lives. */
  readonly adopts: boolean;
  /** Held by the keeper that this one replaces, for the same identity. */
  readonly inherited?: Credential | undefined;
}
