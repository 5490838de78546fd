import { once } from 'node:events';
import type { App } from '../app.ts';
import type { Config } from '../config/load.ts';
import type { Auth } from '../credential/auth.ts';
import { MintError } from '../credential/errors.ts';
import type { Cancellable } from '../credential/ports.ts';
import { runAll, type Task, unlessAborted, within } from '../credential/tasks.ts';
import { listen } from '../http/listen.ts';
import { createServer } from '../http/server.ts';
import { complaintAbout, INSTALL_NEWER } from '../minters/version.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { watchContent } from '../platform/content-changes.ts';
import { writeTerminationLog } from '../platform/termination-log.ts';
import type { LateObserver } from '../telemetry/late-observer.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createObserver } from '../telemetry/observer.ts';
import { version } from '../version.ts';
import { Reloader, type ReloaderOptions } from './reload.ts';
import { warnOfShortLives } from './short-ttl.ts';
import { startLog } from './start-log.ts';

/** Asking the CLI for its version costs as much as minting does, so the first credentials come first, but no longer than this. */
const VERSION_WAIT_MS = 5_000;

export interface OperateOptions extends Pick<ReloaderOptions, 'app' | 'config' | 'load'> {
  readonly late: LateObserver;
}

/** The keepers, and what tells of them. */
type Operation = Pick<ReloaderOptions, 'app' | 'log' | 'metrics'>;

/** What people and platforms see and do while the keepers run: logs, metrics, probes, and reloads. */
export async function operate({ app, config, load, late }: OperateOptions, { signal }: Cancellable): Promise<void> {
  const log = startLog(config);
  const metrics = createMetrics(clock);
  metrics.track(app.sinkNames);
  metrics.configReloaded(true);
  late.pointTo(createObserver({ log, metrics, clock, onProblem: writeTerminationLog }));
  const operation = { app, log, metrics };
  const reloader = new Reloader({ ...operation, config, load });
  const { auth, configFile } = config;
  const tasks: Task[] = [
    async (options) => await serve(operation, config, options),
    async (options) => await knowVersion(operation, reloader, options),
    ...(configFile === undefined ? [] : [async (options: Cancellable) => await reloader.watch(configFile, options)]),
    ...secretFilesOf(auth).map((path) => async (options: Cancellable) => await watchSecret(path, app, options)),
  ];
  await runAll(tasks, { signal });
}

async function serve({ app, log, metrics }: Operation, config: Config, { signal }: Cancellable): Promise<void> {
  const server = createServer({
    clock,
    version,
    log,
    liveness: () => app.liveness(),
    statuses: async (options) => await app.statuses(options),
    renderMetrics: async (format, statuses) => {
      // Not only once a reload is over: while it waits for a disk that hangs, others have long gone or come.
      metrics.track(app.sinkNames);
      return await metrics.render(format, statuses);
    },
  });
  const address = await listen(server, config.http);
  const names = config.credentials.map(({ name }) => name);
  warnOfShortLives(config, log);
  log.info({ ...address, credentials: names, uid: process.getuid?.(), node: process.versions.node }, 'started');
  if (!signal.aborted) await once(signal, 'abort');
  log.info({ reason: (signal.reason as Error).message }, 'stopping; the files stay');
  await server.close();
}

/** Asks the CLI at the start, and again after a reload that may have brought another one. */
async function knowVersion(operation: Operation, reloader: Reloader, options: Cancellable): Promise<never> {
  tellVersions(operation);
  for (;;) {
    const { nextChange } = reloader;
    await within(VERSION_WAIT_MS, operation.app.published(), { ...options, clock });
    await askVersion(operation, reloader.config, options);
    await unlessAborted(nextChange, options);
  }
}

/** For the metric, and for a warning about one that is too old. */
async function askVersion(operation: Operation, config: Config, options: Cancellable): Promise<void> {
  const { app, log } = operation;
  const hasTtl = config.credentials.some(({ ttl }) => ttl !== undefined);
  let cliVersion: string | undefined;
  let complaint: string | undefined;
  let remedy: string = INSTALL_NEWER;
  try {
    cliVersion = await app.cliVersion(config, options);
    complaint = complaintAbout(cliVersion, hasTtl);
  } catch (error) {
    if (!(error instanceof MintError)) throw error;
    ({ message: complaint, remedy } = error); // where the machine is only slow, no other CLI would help
  }
  tellVersions(operation, cliVersion);
  if (complaint === undefined) log.debug({ cliVersion }, 'CLI found');
  else log.warn({ cliVersion, complaint, remedy }, 'this Databricks CLI may not work');
}

function tellVersions({ metrics }: Operation, cliVersion = 'unknown'): void {
  metrics.setBuildInfo({ version, nodeVersion: process.versions.node, cliVersion });
}

function secretFilesOf(auth: Auth): string[] {
  if (auth.kind === 'file-oidc') return [auth.tokenFile];
  return auth.kind === 'oauth-m2m' && 'file' in auth.secret ? [auth.secret.file] : [];
}

async function watchSecret(path: string, app: App, options: Cancellable): Promise<void> {
  await watchContent(path, async () => app.secretChanged(), { ...options, clock });
}
