import type { Cancellable, Clock } from '../src/credential/ports.ts';
import { runAll } from '../src/credential/tasks.ts';
import { whyNoPostgres } from '../test/support/postgres.ts';
import { castReaders } from './readers.ts';
import type { Scene } from './scene.ts';
import type { Sidecar } from './sidecar.ts';
import type { Props, Stage } from './stage.ts';
import { Narrator, tellStory } from './story.ts';
import { judge, type Verdict } from './verdict.ts';

const LOOK_MS = 250;

/** The demo could not be shown to its end. */
export class DemoError extends Error {
  override readonly name = 'DemoError';
}

export interface Performance {
  readonly stage: Stage;
  readonly scene: Scene;
  readonly clock: Clock;
  /** Called once, when the story has been told; afterwards everything goes on until the signal. */
  readonly conclude: (verdict: Verdict, props: Props) => void;
}

/** Sets the stage, tells the story, and lets everything run until the signal. */
export async function perform({ stage, scene, clock, conclude }: Performance, { signal }: Cancellable): Promise<void> {
  const reason = whyNoPostgres();
  if (reason !== false) throw new DemoError(reason.replace('npm test', 'npm run demo'));
  const narrator = new Narrator(scene);
  scene.tell('starting PostgreSQL, a stand-in workspace, and the sidecar');
  const props = await stage.set((line) => narrator.hear(line), { signal });
  const { cli, sidecar, tokenLifetimeMs, workspace } = props;
  Object.assign(scene, { cliTitle: cli.title, tokenLifetimeMs, workspaceUrl: workspace.url });
  scene.tell(`the sidecar mints with ${cli.title}`);
  const act = async (options: Cancellable): Promise<void> => {
    await scene.until(() => scene.status?.ready === true, options);
    scene.tell(`the sidecar is ready: ${scene.sidecarUrl}/status`, 'good');
    const { pgpass, readOnce } = await castReaders(props, stage, scene, clock);
    const story = async (options: Cancellable): Promise<void> => {
      await tellStory(props, stage, scene, narrator, options);
      await glance(sidecar, scene, options); // so that the last picture shows what the last line tells of
      conclude(judge(scene, pgpass, readOnce), props);
    };
    await runAll([(options) => pgpass.run(options), (options) => readOnce.run(options), story], options);
  };
  await runAll([(options) => watch(sidecar, options), (options) => look(sidecar, scene, clock, options), act], {
    signal,
  });
}

/** Without the sidecar there is nothing to show. */
async function watch(sidecar: Sidecar, { signal }: Cancellable): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => aborted.resolve(), { once: true });
  if (signal.aborted) return;
  await Promise.race([sidecar.ended, aborted.promise]);
  if (!signal.aborted) throw new DemoError(`the sidecar ended; its last words:\n${sidecar.lastWords}`);
}

async function look(sidecar: Sidecar, scene: Scene, clock: Clock, { signal }: Cancellable): Promise<never> {
  for (;;) {
    scene.sidecarUrl = sidecar.url ?? '';
    if (sidecar.url !== undefined) await glance(sidecar, scene, { signal });
    await clock.sleep(LOOK_MS, { signal });
  }
}

async function glance(sidecar: Sidecar, scene: Scene, options: Cancellable): Promise<void> {
  const status = await sidecar.status(options);
  if (status !== undefined) scene.saw(status);
}
