import { hash } from 'node:crypto';
import { MintError, SinkError } from '../../src/credential/errors.ts';
import type {
  Cancellable,
  Credential,
  Inspection,
  Minter,
  MintOptions,
  Observer,
  Recovered,
  Sink,
  SinkListener,
} from '../../src/credential/ports.ts';
import { Secret } from '../../src/credential/secret.ts';
import type { FakeClock } from './fake-clock.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

export interface Minted {
  readonly lifetimeMs?: number;
  /** Service clock minus ours. */
  readonly skewMs?: number;
}

export function credentialAt(
  clock: FakeClock,
  token: string,
  { lifetimeMs = HOUR_MS, skewMs = 0 }: Minted = {},
): Credential {
  const issuedAt = clock.now();
  return {
    token: new Secret(token),
    local: { issuedAt, expiresAt: issuedAt + lifetimeMs },
    service: { issuedAt: issuedAt + skewMs, expiresAt: issuedAt + skewMs + lifetimeMs },
    fingerprint: hash('sha256', token),
    monotonicAt: clock.monotonic(),
  };
}

/** A credential of which so much is left now. */
export function credentialWithLeft(clock: FakeClock, leftMs: number, lifetimeMs = leftMs): Credential {
  const { local, monotonicAt, ...rest } = credentialAt(clock, `${leftMs}/${lifetimeMs}`, { lifetimeMs });
  const agedMs = lifetimeMs - leftMs;
  const lifespan = { issuedAt: local.issuedAt - agedMs, expiresAt: local.expiresAt - agedMs };
  return { ...rest, local: lifespan, service: lifespan, monotonicAt: monotonicAt - agedMs };
}

export type Answer = Minted | MintError | 'hang' | ((options: MintOptions) => Promise<Credential>);

/** Answers as its script says, then goes on with the last answer. */
export class ScriptedMinter implements Minter {
  readonly calls: (MintOptions & { readonly at: number; readonly endedAt?: number })[] = [];
  readonly #clock: FakeClock;
  /** So that the tokens of several minters differ. */
  readonly #prefix: string;
  #script: Answer[];
  running = 0;

  constructor(clock: FakeClock, script: Answer[] = [{}], prefix = '') {
    this.#clock = clock;
    this.#script = [...script];
    this.#prefix = prefix;
  }

  script(...script: Answer[]): void {
    this.#script = script;
  }

  async mint(options: MintOptions): Promise<Credential> {
    this.calls.push({ ...options, at: this.#clock.now() });
    const count = this.calls.length;
    const answer = (this.#script.length > 1 ? this.#script.shift() : this.#script[0]) ?? {};
    const started = credentialAt(
      this.#clock,
      `${this.#prefix}token-${count}`,
      typeof answer === 'object' && !(answer instanceof Error) ? answer : {},
    );
    this.running += 1;
    try {
      if (typeof answer === 'function') return await answer(options);
      if (answer === 'hang') {
        await this.#clock.sleep(options.timeoutMs, options);
        throw new MintError('timeout', 'the command did not finish');
      }
      await Promise.resolve();
      if (answer instanceof MintError) throw answer;
      return started;
    } finally {
      this.running -= 1;
    }
  }
}

/** Holds what it was given, until a test changes it. */
export class MemorySink implements Sink {
  readonly name: string;
  readonly kind: Sink['kind'];
  readonly written: Credential[] = [];
  content: string | undefined;
  recovered: Recovered | undefined;
  failure: SinkError | undefined;
  /** A reader gets the content, and something else is wrong. */
  isMarred = false;
  isWatched = false;
  onChange: () => void = () => {};

  constructor(name = 'file:/memory', kind: Sink['kind'] = 'file') {
    this.name = name;
    this.kind = kind;
  }

  async prepare(): Promise<void> {}

  async examine(): Promise<string> {
    return await Promise.resolve('in memory');
  }

  async recover(_options?: Cancellable): Promise<Recovered | undefined> {
    if (this.recovered !== undefined) this.content = this.recovered.token.reveal();
    return await Promise.resolve(this.recovered);
  }

  async write(credential: Credential, _options?: Cancellable): Promise<void> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    this.content = credential.token.reveal();
    this.isMarred = false;
    this.written.push(credential);
  }

  async inspect(known: readonly Credential[]): Promise<Inspection> {
    const credential = known.find(({ token }) => token.reveal() === this.content);
    if (credential !== undefined) {
      return await Promise.resolve({ state: this.isMarred ? 'marred' : 'holds', credential });
    }
    const code = this.content === undefined ? 'missing' : 'foreign_content';
    return { state: 'lacks', problem: new SinkError(code, `${this.name} is ${code}`) };
  }

  async watch({ onChange }: SinkListener, { signal }: Cancellable): Promise<void> {
    this.isWatched = true;
    this.onChange = onChange;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    signal.addEventListener('abort', resolve, { once: true });
    await promise;
  }
}

/** What an observer was told, in order: `[method, ...arguments]`. */
export class RecordingObserver {
  readonly events: [keyof Observer, ...unknown[]][] = [];

  readonly observer: Observer = new Proxy({} as Observer, {
    get:
      (_target, method: keyof Observer) =>
      (...args: unknown[]) => {
        this.events.push([method, ...args]);
      },
  });

  of<Method extends keyof Observer>(method: Method): Parameters<Observer[Method]>[] {
    return this.events.filter(([name]) => name === method).map(([, ...args]) => args as Parameters<Observer[Method]>);
  }
}
