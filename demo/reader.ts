import { type DatabaseError, Pool, type PoolConfig } from 'pg';
import type { Cancellable, Clock } from '../src/credential/ports.ts';

const PAUSE_MS = 400;
const PATIENCE_MS = 5_000;

export interface ReaderOptions {
  readonly name: string;
  /** How it comes by its password. */
  readonly habit: string;
  readonly connection: PoolConfig;
  readonly clock: Clock;
  readonly onLogin: (reader: Reader) => void;
}

export interface Refusal {
  readonly message: string;
  /** Why, in the words of the service. */
  readonly detail: string | undefined;
  /** Since the reader began. */
  readonly afterMs: number;
}

/** An application that asks the database something again and again, each time on a new connection: a new login. */
export class Reader {
  logins = 0;
  refusals = 0;
  firstRefusal: Refusal | undefined;
  lastLoginWasOk = true;
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get habit(): string {
    return this.#options.habit;
  }

  async run({ signal }: Cancellable): Promise<never> {
    const { clock, connection, name, onLogin } = this.#options;
    const pool = new Pool({
      ...connection,
      application_name: name,
      max: 1,
      maxUses: 1, // so that no connection outlives its query
      connectionTimeoutMillis: PATIENCE_MS,
    });
    const beganAt = clock.monotonic();
    try {
      for (;;) {
        const error = await pool.query('SELECT current_user').then(
          () => undefined,
          (reason: unknown) => reason as DatabaseError | Error,
        );
        signal.throwIfAborted(); // what fails because everything is being stopped is no refusal
        this.#count(error, clock.monotonic() - beganAt);
        onLogin(this);
        await clock.sleep(PAUSE_MS, { signal });
      }
    } finally {
      await pool.end();
    }
  }

  #count(error: DatabaseError | Error | undefined, afterMs: number): void {
    this.lastLoginWasOk = error === undefined;
    if (error === undefined) {
      this.logins += 1;
      return;
    }
    this.refusals += 1;
    this.firstRefusal ??= { message: error.message, detail: 'detail' in error ? error.detail : undefined, afterMs };
  }
}
