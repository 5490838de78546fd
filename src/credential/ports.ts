import type { MintError, SinkError } from './errors.ts';
import type { Secret } from './secret.ts';

// Instants (`…At`) are epoch milliseconds, durations (`…Ms`) milliseconds.

export interface Cancellable {
  /** Whoever waits passes it on; a rejection carries `signal.reason`. */
  readonly signal: AbortSignal;
}

export interface Lifespan {
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface Credential {
  readonly token: Secret;
  /** By this machine's clock, from the moment the command was started: what every decision is made on. */
  readonly local: Lifespan;
  /** By the service's clock: what files, annotations and metrics show. */
  readonly service: Lifespan;
  /** SHA-256 of the token in hexadecimal. */
  readonly fingerprint: string;
  /** Who it is for, where the token says so. */
  readonly subject?: string | undefined;
  /** The monotonic reading that goes with `local.issuedAt`, or with the adoption by this process. */
  readonly monotonicAt: number;
}

/** A credential that another process minted; whoever adopts it adds its own monotonic reading. */
export type Recovered = Omit<Credential, 'monotonicAt'>;

/** Whose token it is. Two credentials with different identities never replace each other. */
export interface Identity {
  readonly workspace: string;
  /** `projects/…/branches/…/endpoints/…` or the name of a Provisioned instance. */
  readonly resource: string;
  /** Client id, or what else names the principal (`profile NAME`, `pat`). */
  readonly principal: string;
}

/** What a Postgres client needs besides the token. */
export interface Connection {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
  readonly sslmode?: string | undefined;
}

export interface Clock {
  /** Wall clock. */
  now(): number;
  /** Milliseconds since some start; never set, stands still while the machine is suspended. */
  monotonic(): number;
  sleep(ms: number, options: Cancellable): Promise<void>;
}

export interface MintOptions extends Cancellable {
  readonly timeoutMs: number;
  /** Number of the slot it runs in, from 0: commands that run at once share no state on disk. */
  readonly slot: number;
}

export interface Minter {
  /** One run of the command. @throws MintError */
  mint(options: MintOptions): Promise<Credential>;
}

export type Holding =
  | { readonly state: 'holds'; readonly credential: Credential }
  | { readonly state: 'lacks'; readonly problem: SinkError };

export interface Sink {
  /** Label in logs and metrics: `file:PATH`. */
  readonly name: string;
  readonly kind: 'file' | 'secret';
  /** Before anything is minted: makes what must exist. @throws SinkError */
  prepare(options: Cancellable): Promise<void>;
  /** Whether it could be written now, without changing anything: says what it found. @throws SinkError */
  examine(options: Cancellable): Promise<string>;
  /** Sweeps what an earlier process left here, but for what this identity may go on using: that it returns. */
  recover(options: Cancellable): Promise<Recovered | undefined>;
  /** Atomic for readers, safe to repeat with the same credential. @throws SinkError */
  write(credential: Credential, options: Cancellable): Promise<void>;
  /** What a reader would get now, verified. `known` are the credentials that may be there. */
  inspect(known: readonly Credential[], options: Cancellable): Promise<Holding>;
  /** Calls back when somebody may have changed it, until the signal. */
  watch(onChange: () => void, options: Cancellable): Promise<void>;
}

/** Told of everything a person or a metric wants to know; never decides anything. */
export interface Observer {
  mintStarted(credential: string): void;
  minted(credential: string, minted: Credential, details: MintDetails): void;
  mintFailed(credential: string, error: MintError, details: FailureDetails): void;
  adopted(credential: string, adopted: Credential, dueAt: number): void;
  expired(credential: string): void;
  sinkWritten(credential: string, sink: string, written: Credential, repaired: boolean): void;
  sinkFailed(credential: string, sink: string, error: SinkError, retryAt: number): void;
  sinkRepairsLimited(credential: string, sink: string, resumeAt: number): void;
  clockJumped(byMs: number): void;
}

export interface MintDetails {
  readonly durationMs: number;
  /** When the next refresh is due. */
  readonly dueAt: number;
  /** How many attempts had failed before. */
  readonly failuresBefore: number;
}

export interface FailureDetails {
  readonly durationMs: number;
  readonly retryAt: number;
  readonly consecutiveFailures: number;
  /** Life left of the present credential, negative once expired; undefined where there never was one. */
  readonly remainingMs: number | undefined;
}
