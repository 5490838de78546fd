import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { launch, type Launch } from './sidecar.ts';

/** Another sidecar that publishes the shared credential; nothing is done to it. */
export class OtherPod {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(how: Launch, hear: (text: string) => void) {
    this.#child = launch(how, hear);
    this.#ended = once(this.#child, 'exit');
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}
