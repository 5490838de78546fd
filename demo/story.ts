import { readFile } from 'node:fs/promises';
import type { Cancellable } from '../src/credential/ports.ts';
import { inSeconds, type Outage, type Scene } from './scene.ts';
import type { LogLine } from './sidecar.ts';
import type { Props, Stage } from './stage.ts';

const ROTATIONS_BEFORE_OUTAGE = 2;
const ATTEMPTS_IN_OUTAGE = 2;
/** An outage that costs a login would be another story: it ends while there is time for another attempt or two. */
const LEAST_REMAINING_MS = 1_500;
const ATTEMPTS_LEFT = 2;
const GATEWAY_PAGE = '<html><body><h1>502 Bad Gateway</h1></body></html>';

/** What the sidecar says, on its way to the people who watch. */
export class Narrator {
  readonly #scene: Scene;
  slowestAttemptMs = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  hear({ msg, durationMs, err, remainingSeconds }: LogLine): void {
    this.slowestAttemptMs = Math.max(this.slowestAttemptMs, durationMs ?? 0);
    switch (msg) {
      case 'mint failed':
        if (this.#scene.outage !== undefined) this.#scene.outage.attempts += 1;
        this.#scene.tell(
          `mint failed (${err?.failure}); the file stays, valid for another ${remainingSeconds} s; will retry`,
          'warn',
        );
        break;
      case 'expired without a successor':
        this.#scene.tell('the credential expired without a successor', 'bad');
        break;
      default: // the rest is not news
    }
    this.#scene.changed();
  }
}

/** Rotations, an outage in the middle, more rotations; each step begins when the one before it has been seen. */
export async function tellStory(
  { workspace }: Props,
  stage: Stage,
  scene: Scene,
  narrator: Narrator,
  { signal }: Cancellable,
): Promise<void> {
  await scene.until(() => scene.rotations >= ROTATIONS_BEFORE_OUTAGE, { signal });

  const before = await readFile(stage.pgpass, 'utf8');
  workspace.fail('credential', { status: 502, body: GATEWAY_PAGE });
  const outage: Outage = {
    beganAtMs: scene.elapsedMs,
    endedAtMs: undefined,
    attempts: 0,
    logins: 0,
    hasFileStayed: undefined,
  };
  scene.outage = outage;
  scene.isWorkspaceUp = false;
  scene.tell('workspace down: it answers each request for a credential with 502', 'bad');
  const isEnough = (): boolean => {
    const leastMs = Math.max(LEAST_REMAINING_MS, ATTEMPTS_LEFT * narrator.slowestAttemptMs);
    return outage.attempts >= ATTEMPTS_IN_OUTAGE || (scene.remainingMs ?? Infinity) < leastMs;
  };
  await scene.until(isEnough, { signal });

  outage.hasFileStayed = (await readFile(stage.pgpass, 'utf8')) === before;
  await workspace.recover();
  scene.isWorkspaceUp = true;
  outage.endedAtMs = scene.elapsedMs;
  scene.tell(
    `workspace back after ${inSeconds(outage.endedAtMs - outage.beganAtMs)}; file ${outage.hasFileStayed ? 'unchanged' : 'CHANGED'}, ${outage.logins} logins meanwhile`,
    outage.hasFileStayed ? 'good' : 'bad',
  );

  const isLockedOut = (): boolean => scene.readers.some(({ refusals }) => refusals > 0);
  await scene.until(() => scene.rotations >= scene.wantedRotations && isLockedOut(), { signal });
}
