import { App } from '../app.ts';
import type { Config } from '../config/load.ts';
import type { Cancellable } from '../credential/ports.ts';
import { within } from '../credential/tasks.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { runAllUnlessHanging } from '../platform/leave.ts';
import { LateObserver } from '../telemetry/late-observer.ts';

/**
 * Loading takes a processor that the command may need while it starts, and holds up everything else here. Later on the
 * command mostly waits for the network. Measured: docs/performance.md.
 */
const HEAD_START_MS = 250;

export interface RunOptions extends Cancellable {
  /** Called again whenever the configuration may have changed. @throws ConfigError */
  readonly load: () => Promise<Config>;
}

/** Keeps every credential fresh until the signal; rejects with its reason, or with why it could not start. */
export async function run({ load, signal }: RunOptions): Promise<never> {
  const config = await load();
  const late = new LateObserver();
  const app = new App({ observer: late.observer, adopts: true });
  await app.configure(config, { signal });
  const attend = async (options: Cancellable): Promise<void> => {
    await late.firstEvent(options);
    // Everything that the first credential does not need is loaded while its command runs, or after a quick one.
    await within(HEAD_START_MS, app.published(), { ...options, clock });
    const { operate } = await import('./operate.ts');
    await operate({ app, config, load, late }, options);
  };
  await runAllUnlessHanging([(options) => app.run(options), attend], { signal });
  throw signal.reason;
}
