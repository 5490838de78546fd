import type { Cancellable, Clock } from '../src/credential/ports.ts';
import type { CredentialReport, StatusReport } from '../src/http/status-json.ts';
import type { Reader } from './reader.ts';

export type Tone = 'plain' | 'good' | 'warn' | 'bad';

export interface Happening {
  /** Since the demo began. */
  readonly atMs: number;
  readonly text: string;
  readonly tone: Tone;
}

export interface Outage {
  readonly beganAtMs: number;
  endedAtMs: number | undefined;
  /** Failed attempts of the sidecar to mint. */
  attempts: number;
  /** Logins of the pgpass reader. */
  logins: number;
  /** The pgpass file was the same at its end as at its beginning. */
  hasFileStayed: boolean | undefined;
}

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
}

/** Everything there is to see. Whoever changes it says so, and whoever waits for something is told. */
export class Scene {
  readonly happenings: Happening[] = [];
  readonly wantedRotations: number;
  cliTitle = '';
  workspaceUrl = '';
  tokenLifetimeMs = 0;
  isWorkspaceUp = true;
  sidecarUrl = '';
  status: StatusReport | undefined;
  /** At the status, from the first that found it ready. */
  looks = 0;
  readyLooks = 0;
  readers: readonly Reader[] = [];
  rotations = 0;
  outage: Outage | undefined;
  /** The story has been told; what goes on is for whoever wants to look around. */
  isOver = false;
  readonly #clock: Clock;
  readonly #beganAt: number;
  readonly #onTell: (happening: Happening) => void;
  readonly #waiters = new Set<Waiter>();

  constructor(clock: Clock, wantedRotations: number, onTell: (happening: Happening) => void) {
    this.#clock = clock;
    this.#beganAt = clock.monotonic();
    this.#onTell = onTell;
    this.wantedRotations = wantedRotations;
  }

  get elapsedMs(): number {
    return this.#clock.monotonic() - this.#beganAt;
  }

  get credential(): CredentialReport | undefined {
    return this.status?.credentials[0];
  }

  /** Of the credential that the sidecar holds; workspace, Lakebase and sidecar share one clock here. */
  get remainingMs(): number | undefined {
    const expiresAt = this.credential?.expiresAt ?? undefined;
    return expiresAt === undefined ? undefined : Date.parse(expiresAt) - this.#clock.now();
  }

  tell(text: string, tone: Tone = 'plain'): void {
    const happening = { atMs: this.elapsedMs, text, tone };
    this.happenings.push(happening);
    this.#onTell(happening);
    this.changed();
  }

  saw(status: StatusReport): void {
    this.status = status;
    if (status.ready || this.looks > 0) this.looks += 1;
    if (status.ready) this.readyLooks += 1;
    this.changed();
  }

  changed(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isMet()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** By conditions instead of events: what happened before anybody waited for it counts as well. */
  async until(isMet: () => boolean, { signal }: Cancellable): Promise<void> {
    signal.throwIfAborted();
    if (isMet()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { isMet, resolve };
    const abort = (): void => reject(signal.reason as Error);
    this.#waiters.add(waiter);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#waiters.delete(waiter);
    }
  }
}

/** `6 s`, `1.8 s`: to the tenth only where that is not zero. */
export function inSeconds(ms: number): string {
  return `${Number((ms / 1_000).toFixed(1))} s`;
}
