import type { SecretView } from './kubernetes.ts';
import type { Reading, ReaderOptions } from './reading.ts';

// What the watcher is told, and what it tells.

export interface WatchOrder {
  readonly kind: 'watch';
  readonly volume: string;
  readonly reader: ReaderOptions;
  /** Undefined without an API server. */
  readonly secret: SecretView | undefined;
}

export type Order = WatchOrder | { readonly kind: 'clock'; readonly offsetMs: number };

export type Report =
  /** A file reads differently than before. */
  | { readonly kind: 'read'; readonly at: number; readonly path: string; readonly reading: Reading }
  /** Health was not the truth. `forMs`: for so long already, with the same files, or the same Secret. */
  | {
      readonly kind: 'lie';
      readonly of: 'files' | 'Secret';
      readonly at: number;
      readonly what: string;
      readonly forMs: number;
      readonly isReadyLie: boolean;
    }
  | { readonly kind: 'unwell'; readonly at: number; readonly what: string }
  | { readonly kind: 'said'; readonly place: string; readonly text: string }
  | { readonly kind: 'count'; readonly reads: number; readonly answers: number; readonly lagMs: number };
