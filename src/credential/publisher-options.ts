import type { Credential, Observer, Sink } from './ports.ts';
import type { BackoffPolicy, Random, RefreshPolicy } from './schedule.ts';
import type { Ticker } from './ticker.ts';

/** What a publisher is made of. */
export interface PublisherOptions {
  readonly credentialName: string;
  readonly sink: Sink;
  readonly ticker: Ticker;
  readonly backoff: BackoffPolicy;
  readonly random: Random;
  readonly observer: Observer;
  /** Tells when another writer's credential in a shared sink is due for a refresh. */
  readonly refresh: RefreshPolicy;
  /** The last one that was minted here: it tells the service's time. */
  readonly minted: () => Credential | undefined;
  /** Told of what stands in a shared sink, which may be another writer's and better. */
  readonly onFound: (found: Credential) => void;
}
