import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Login } from '../../support/lakebase.ts';
import { undoAfter, type Cleanup } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import type { MintedToken } from '../../support/workspace-server.ts';
import { trusting } from './pods-overlay.ts';
import type { Stage } from './pods-stage.ts';
import { SIDECAR, statusOf, type Following, type Namespace, type Pod } from './pods.ts';

export const SELECTOR = 'app.kubernetes.io/name=backstage';
const LOOK_MS = 200;
/** Backstage starts slowly where other tests want the processor, too. */
export const BACKSTAGE_START_MS = 300_000;
/** Answers that were on their way while the truth changed are not judged. */
const BLUR_MS = 500;
/** All of its connections are new ones: none is kept for a second. */
const POOL = { min: 0, max: 3, idleTimeoutMillis: 500, reapIntervalMillis: 200, maxConnectionLifetimeMillis: 700 };

/** A patch of Backstage's container, for a small machine and many logins. */
export const LOGS_IN_OFTEN = trusting('backstage', {
  env: [{ name: 'APP_CONFIG_backend_database_knexConfig', value: JSON.stringify({ pool: POOL }) }],
  resources: { requests: { cpu: '50m', memory: '256Mi' } },
});

/** Of the sidecar's: tokens live for minutes and less in these tests, so it needs the processor that much more often. */
const REFRESHES_OFTEN = { name: SIDECAR, resources: { requests: { cpu: '100m' } } };

interface Readiness {
  readonly askedAt: number;
  readonly at: number;
  readonly isReady: boolean;
  readonly body: string;
}

/** When the token was issued that ended an outage, and when somebody first logged in with it. */
export interface Healing {
  readonly healedAt: number;
  readonly usedAt: number;
}

/** Of Backstage's own backend, which logs in all the time. */
export class BackstagePod {
  readonly pod: Pod;
  readonly log: Following;
  readonly sidecarUrl: string;
  readonly readiness: Readiness[] = [];
  readonly #namespace: Namespace;
  readonly #stage: Stage;

  private constructor(stage: Stage, pod: Pod, log: Following, sidecarUrl: string) {
    this.pod = pod;
    this.log = log;
    this.sidecarUrl = sidecarUrl;
    this.#namespace = stage.namespace;
    this.#stage = stage;
  }

  /** @param config of the sidecar, where it differs from the example's. */
  static async apply(t: Cleanup, stage: Stage, config: Readonly<Record<string, unknown>>): Promise<void> {
    const podPatches = [{ containers: [LOGS_IN_OFTEN], initContainers: [REFRESHES_OFTEN] }];
    await stage.apply(t, { example: 'backstage', config, podPatches });
  }

  /** As soon as it runs; /readyz of the sidecar is watched from then on. */
  static async running(t: Cleanup, stage: Stage): Promise<BackstagePod> {
    const { namespace } = stage;
    const pod = await namespace.running(SELECTOR, 'backstage');
    const { name } = pod.metadata;
    const log = namespace.follow(t, name, 'backstage');
    const backstage = new BackstagePod(stage, pod, log, await namespace.forward(t, name, 9467));
    const enough = new AbortController();
    const watching = backstage.#watchReadiness(enough.signal);
    undoAfter(t, async () => {
      enough.abort();
      await watching;
    });
    await backstage.logged('first row written');
    return backstage;
  }

  async #watchReadiness(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const askedAt = Date.now();
      const answer = await fetch(`${this.sidecarUrl}/readyz`, { signal }).then(
        async (response) => ({ isReady: response.status === 200, body: await response.text() }),
        (error: unknown) => ({ isReady: false, body: String(error) }),
      );
      if (signal.aborted) return;
      this.readiness.push({ askedAt, at: Date.now(), ...answer });
      await delay(LOOK_MS);
    }
  }

  refused(): Login[] {
    return this.#stage.service.lakebase.logins.filter(({ ok }) => !ok);
  }

  errors(): string[] {
    return this.log.lines
      .map(({ text }) => text)
      .filter((text) => /"level":"(error|warn)"|Error/.test(text) && !text.includes('DeprecationWarning'));
  }

  async restarts(): Promise<number> {
    return statusOf((await this.#namespace.pod(SELECTOR))!, 'backstage')!.restartCount;
  }

  async logged(text: string): Promise<void> {
    await eventually(`the line "${text}"`, () => this.log.lines.some((line) => line.text.includes(text)), {
      withinMs: BACKSTAGE_START_MS,
    });
  }

  /** @param withinMs the time in which there must be one. */
  async nextToken(withinMs: number): Promise<MintedToken> {
    const { minted } = this.#stage.service.workspace;
    const count = minted.length;
    return await eventually('a new token', () => minted[count], { withinMs });
  }

  async followSidecar(t: Cleanup): Promise<Following> {
    const log = this.#namespace.follow(t, this.pod.metadata.name, SIDECAR);
    await eventually('the log of the sidecar', () => log.lines.length > 0);
    return log;
  }

  /**
   * Holds what /readyz has said against what was so: red from an instant on, if ever, and green again once somebody has
   * logged in with the token that was issued after it. How long that takes is up to the machine: in between nothing is judged.
   * Returns how often it was asked.
   */
  async assertReadinessIsTrue(
    redAt: number,
    { healedAt, usedAt }: Healing,
  ): Promise<{ readonly green: number; readonly red: number }> {
    const answers = this.readiness;
    await eventually('an answer afterwards', () => answers.some(({ askedAt }) => askedAt > usedAt + BLUR_MS));
    const isRed = redAt < healedAt;
    const green = answers.filter(({ askedAt, at }) =>
      isRed ? at < redAt - BLUR_MS || askedAt > usedAt + BLUR_MS : true,
    );
    const red = answers.filter(({ askedAt, at }) => isRed && askedAt > redAt + BLUR_MS && at < healedAt);
    const lies = [...green.filter(({ isReady }) => !isReady), ...red.filter(({ isReady }) => isReady)];
    assert.deepEqual(lies, []);
    assert.ok(!isRed || red.length > 0, 'asked at no time');
    return { green: green.length, red: red.length };
  }
}
