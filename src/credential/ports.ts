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

/** Of a credential: the service's own default and maximum. */
export const LONGEST_LIFETIME_MS = 3_600_000;

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
  /** What the monotonic clock read at `local.issuedAt`; where unknown, as if the wall clock had not been set since. */
  readonly monotonicAt: number;
}

/**
 * A credential that another process minted: without local times if that was on another machine, and without the monotonic
 * reading also if this machine has been restarted since.
 */
export type Recovered = Omit<Credential, 'monotonicAt' | 'local'> & Partial<Pick<Credential, 'monotonicAt' | 'local'>>;

/** Whose token it is. Two credentials with different identities never replace each other. */
export interface Identity {
  readonly workspace: string;
  /** `projects/…/branches/…/endpoints/…` or the name of a Provisioned instance. */
  readonly resource: string;
  /** Client id, or what else names the principal (`profile NAME`, `pat` with the first digits of its SHA-256). */
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
  /** The token in use, perhaps minted by another process: it is redacted from the command's words before they are told. */
  readonly held?: Secret | undefined;
}

export interface Minter {
  /** One run of the command. @throws MintError */
  mint(options: MintOptions): Promise<Credential>;
}

export type Holding =
  | { readonly state: 'holds'; readonly credential: Credential }
  | { readonly state: 'lacks'; readonly problem: SinkError };

export type Inspection =
  | Holding
  /** A reader gets the credential, but something about it wants to be written again. */
  | { readonly state: 'marred'; readonly credential: Credential }
  /** A reader gets one of the same identity that another writer has put there. */
  | { readonly state: 'shared'; readonly found: Recovered };

export interface Sink {
  /** As `labelOf` makes it. */
  readonly name: string;
  readonly kind: 'file' | 'secret';
  /** Before anything is minted: makes what must exist. @throws SinkError */
  prepare(options: Cancellable): Promise<void>;
  /** Whether it could be written now, without changing anything: says what it found. @throws SinkError */
  examine(options: Cancellable): Promise<string>;
  /** Removes what an earlier process left half-written, and returns the credential there that this identity may go on using. */
  recover(options: Cancellable): Promise<Recovered | undefined>;
  /**
   * Only for sinks that several processes write, each with mints of its own: asks for what is there now, so that
   * `inspect` knows it. Never rejects, and gives up soon: minting must not wait for it.
   */
  look?(options: Cancellable): Promise<void>;
  /**
   * Atomic for readers, safe to repeat with the same credential. It may leave a shared sink as it is, because another
   * writer was faster: `inspect` tells. @throws SinkError
   */
  write(credential: Credential, options: Cancellable): Promise<void>;
  /** What a reader would get now, verified. `known` are the credentials that may be there. */
  inspect(known: readonly Credential[], options: Cancellable): Promise<Inspection>;
  /** Cheaper than `inspect`: true only if the last one found all well and nothing can have changed since. */
  isUntouched?(options: Cancellable): Promise<boolean>;
  /** Tells when somebody may have changed it, until the signal: then it returns, or rejects with the reason. */
  watch(listener: SinkListener, options: Cancellable): Promise<void>;
}

export interface SinkListener {
  readonly onChange: () => void;
  /** From now on changes by others are seen late, or not at all; undefined when that is over. */
  readonly onTrouble: (problem: SinkError | undefined) => void;
}

/** Told of everything a person or a metric wants to know; never decides anything. */
export interface Observer {
  mintStarted(credential: string): void;
  minted(credential: string, minted: Credential, details: MintDetails): void;
  mintFailed(credential: string, error: MintError, details: FailureDetails): void;
  adopted(credential: string, adopted: Credential, dueAt: number): void;
  expired(credential: string): void;
  sinkWritten(credential: string, sink: string, written: Credential, details: WriteDetails): void;
  sinkFailed(credential: string, sink: string, error: SinkError, retryAt: number): void;
  /** `problem`: why readers do not get the token meanwhile; undefined where they do. */
  sinkRepairsLimited(credential: string, sink: string, resumeAt: number, problem: SinkError | undefined): void;
  /** Changes by others are no longer seen at once; without a problem: they are again. */
  sinkWatchChanged(credential: string, sink: string, problem: SinkError | undefined): void;
  /** Neither a write nor a look ends; or, where there is no problem any more, they do again. */
  sinkHangs(credential: string, sink: string, problem: SinkError | undefined): void;
  /** The cluster takes no events, so nobody sees there what happens to the credential. */
  eventsRefused(credential: string, problem: SinkError): void;
  clockJumped(byMs: number): void;
}

export interface MintDetails {
  readonly durationMs: number;
  /** When the next refresh is due. */
  readonly dueAt: number;
  /** How many attempts had failed before. */
  readonly failuresBefore: number;
  /** Another writer of a shared sink was faster, and its credential is in use instead. */
  readonly isOvertaken: boolean;
}

export interface WriteDetails {
  /** Somebody else had changed what was already written. */
  readonly isRepair: boolean;
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
