import { parseArgs } from 'node:util';
import type { Cancellable } from '../src/credential/ports.ts';
import { runAll } from '../src/credential/tasks.ts';
import { systemClock as clock } from '../src/platform/clock.ts';
import { Stopped, stopSignal } from '../src/platform/signals.ts';
import { DemoError, perform } from './performance.ts';
import { Scene } from './scene.ts';
import { type Props, Stage } from './stage.ts';
import { howToLook, summarise, type Verdict } from './verdict.ts';
import { LiveView, PlainView, type View } from './views.ts';

const HELP = `Usage: npm run demo [-- --keep]

Starts a stand-in workspace, a real PostgreSQL behind a stand-in Lakebase, and the sidecar. Then an application logs in
through five rotations of its password and an outage of the workspace.

  --keep   keep everything running until Ctrl-C, and print commands to look at it
`;
const EXIT_USAGE = 64;
const ROTATIONS = 5;
const DEADLINE_MS = 120_000;

/** The end, which stops whatever still runs. */
class Curtain extends Error {}

async function main(argv: readonly string[], { signal }: Cancellable): Promise<number> {
  const flags = readFlags(argv);
  if (typeof flags === 'string') {
    process.stderr.write(`${flags}\n\n${HELP}`);
    return EXIT_USAGE;
  }
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  return await show(chooseView(process.stdout), flags.keep, { signal });
}

async function show(view: View, isKept: boolean, { signal }: Cancellable): Promise<number> {
  const scene = new Scene(clock, ROTATIONS, (happening) => view.tell(happening));
  const stage = new Stage();
  let verdict: Verdict | undefined;
  const conclude = (reached: Verdict, props: Props): void => {
    verdict = reached;
    if (!isKept) throw new Curtain();
    view.print(['', ...summarise(reached), '', ...howToLook(props, stage), '']);
    scene.isOver = true;
  };
  const keepDeadline = async (options: Cancellable): Promise<void> => {
    await clock.sleep(DEADLINE_MS, options);
    if (verdict === undefined) throw new DemoError(`not done after ${DEADLINE_MS / 1_000} s`);
  };
  const play = async (options: Cancellable): Promise<void> => {
    try {
      await perform({ stage, scene, clock, conclude }, options);
    } finally {
      await stage.strike();
    }
  };
  const reason = await runAll([(options) => view.run(scene, options), play, keepDeadline], { signal }).catch(
    (error: unknown) => error,
  );
  return end(reason, verdict, isKept, view);
}

/** What is left to say, and the exit code. */
function end(reason: unknown, verdict: Verdict | undefined, isKept: boolean, view: View): number {
  if (reason instanceof Stopped && !(isKept && verdict !== undefined)) {
    view.print(['', `${reason.message} before the end; nothing is left running`]);
    return reason.exitCode;
  }
  if (reason instanceof DemoError) view.print(['', `The demo did not finish: ${reason.message}`]);
  else if (!(reason instanceof Stopped || reason instanceof Curtain)) throw reason;
  if (verdict === undefined) return 1;
  view.print(isKept ? ['', 'Stopped; nothing is left running.'] : ['', ...summarise(verdict)]);
  return verdict.complaints.length === 0 ? 0 : 1;
}

function readFlags(argv: readonly string[]) {
  try {
    const options = { keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } as const;
    return parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    return (error as Error).message;
  }
}

function chooseView(stdout: NodeJS.WriteStream): View {
  return stdout.isTTY && process.env['TERM'] !== 'dumb' ? new LiveView(stdout, clock) : new PlainView(stdout);
}

// Settings of whoever starts the demo are about other databases.
for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];
// node-postgres 9 will want a password function in place of its own look into PGPASSFILE; this is about 8.
process.noDeprecation = true;
const signal = stopSignal();
const stop = (): void => {
  if (!signal.aborted) process.kill(process.pid, 'SIGTERM');
};
process.on('SIGHUP', stop); // the terminal was closed
process.stdout.on('error', stop); // nobody reads any more
// oxlint-disable-next-line unicorn/no-process-exit -- what a library forgot must not hold up the end
process.exit(await main(process.argv.slice(2), { signal }));
