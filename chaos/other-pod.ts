import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { ACCOUNT, type Launch } from './sidecar.ts';

/** Another sidecar that publishes the shared credential; nothing is done to it. */
export class OtherPod {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor({ command, env }: Launch, hear: (text: string) => void) {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    this.#child = spawn('setpriv', [...ACCOUNT, 'env', '-i', ...variables, ...command], {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream!.on('data', (chunk) => hear(String(chunk)));
    this.#ended = once(this.#child, 'exit');
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}
