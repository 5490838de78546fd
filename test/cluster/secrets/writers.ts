import { FAKETIME } from '../../support/faketime.ts';
import type { Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import type { Sidecar } from '../../support/sidecar.ts';
import { SECRET } from './namespace.ts';
import { SecretsWorld } from './world.ts';

export const WRITERS = 10;
export const LIFETIME_MS = 300_000;
export const JITTER = 0.1;
export const MINUTES_FAST = 10;

const ANNOTATIONS = '.metadata.annotations.lakebase-credential-sidecar/';

export interface Publication {
  readonly at: number;
  readonly expiresAt: number;
  readonly fingerprint: string;
}

export interface WritersOptions {
  /** When a refresh is due at the latest, as a fraction of the lifetime. */
  readonly at: number;
  readonly jitter?: number;
  /** Whether the clock of the first one is ten minutes fast; needs libfaketime. */
  readonly hasWrongClock?: boolean;
}

/** Ten sidecars that write one Secret, each with a file of its own beside it, and everything that was ever in the Secret. */
export class Writers {
  readonly world: SecretsWorld;
  readonly publications: Publication[] = [];
  readonly all: Sidecar[] = [];
  readonly #t: Cleanup;

  private constructor(t: Cleanup, world: SecretsWorld) {
    this.#t = t;
    this.world = world;
  }

  static async start(t: Cleanup, { at, jitter = JITTER, hasWrongClock = false }: WritersOptions): Promise<Writers> {
    const world = await SecretsWorld.start(t, { tokenLifetimeMs: LIFETIME_MS });
    const writers = new Writers(t, world);
    const account = await world.account('backstage');
    writers.watch();
    const wrongClock = { LD_PRELOAD: FAKETIME, FAKETIME: `+${MINUTES_FAST}m`, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
    const starting = Array.from({ length: WRITERS }, (_, index) =>
      world.start(t, {
        account,
        withFile: true,
        credential: { ttl: '5m' },
        config: { refresh: { at, jitter, floor: '10s' } },
        env: hasWrongClock && index === 0 ? wrongClock : {},
      }),
    );
    writers.all.push(...(await Promise.all(starting)));
    await Promise.all(writers.all.map((writer) => writer.ready(60_000)));
    return writers;
  }

  /** Again, after the API server was away. */
  watch(): void {
    const template = `{${ANNOTATIONS}fingerprint} {${ANNOTATIONS}expires-at}{"\\n"}`;
    const flags = ['--watch', `--field-selector=metadata.name=${SECRET}`, '-o', `jsonpath=${template}`];
    this.world.api.follow(this.#t, ['--namespace', this.world.namespace, 'get', 'secrets', ...flags], (line) => {
      const [fingerprint = '', expiresAt = ''] = line.split(' ');
      if (fingerprint === '' || this.publications.at(-1)?.fingerprint === fingerprint) return;
      this.publications.push({ at: Date.now(), expiresAt: Date.parse(expiresAt), fingerprint });
    });
  }

  /** A burst of publications is over. */
  async settled(): Promise<void> {
    await eventually('nothing is published for two seconds', () => this.#idleMs() > 2_000, { withinMs: 60_000 });
  }

  async each(metric: string): Promise<number[]> {
    return await Promise.all(this.all.map(async (writer) => (await writer.metrics()).sum(metric)));
  }

  async sum(metric: string): Promise<number> {
    return (await this.each(metric)).reduce((total, count) => total + count, 0);
  }

  #idleMs(): number {
    return Date.now() - (this.publications.at(-1)?.at ?? Infinity);
  }
}
