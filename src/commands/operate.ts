import { once } from 'node:events';
import type { Logger } from 'pino';
import type { App } from '../app.ts';
import { formatDuration } from '../config/duration.ts';
import type { Config } from '../config/load.ts';
import { AppError, MintError } from '../credential/errors.ts';
import { labelOf } from '../credential/label.ts';
import type { Cancellable } from '../credential/ports.ts';
import { runAll, type Task, unlessAborted, within } from '../credential/tasks.ts';
import { listen } from '../http/listen.ts';
import { createServer } from '../http/server.ts';
import { complaintAbout } from '../minters/version.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { watchContent } from '../platform/content-changes.ts';
import { findCommand } from '../platform/find-command.ts';
import { writeTerminationLog } from '../platform/termination-log.ts';
import type { LateObserver } from '../telemetry/late-observer.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { createObserver } from '../telemetry/observer.ts';
import { version } from '../version.ts';
import { isShortForVolumes } from './short-ttl.ts';
import { startLog } from './start-log.ts';

/** Asking the CLI for its version costs as much as minting does, so the first credentials come first, but no longer than this. */
const VERSION_WAIT_MS = 5_000;
/** More than new sinks may take to be tried, and CLIs to be ended: what is still busy writes to a disk that hangs. */
const RELOAD_MS = 20_000;

export interface OperateOptions {
  readonly app: App;
  readonly config: Config;
  readonly reload: () => Promise<Config>;
  readonly late: LateObserver;
}

/** What people and platforms see and do while the keepers run: logs, metrics, probes, and reloads. */
export async function operate({ app, config, reload, late }: OperateOptions, { signal }: Cancellable): Promise<void> {
  const log = startLog(config);
  const metrics = createMetrics(clock);
  metrics.track(app.sinkNames);
  metrics.configReloaded(true);
  late.pointTo(createObserver({ log, metrics, clock, onProblem: writeTerminationLog }));
  const operation = new Operation(app, config, reload, log, metrics);
  await runAll(operation.tasks, { signal });
}

class Operation {
  readonly #app: App;
  readonly #reload: () => Promise<Config>;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  /** What it listens with, until a restart. */
  readonly #http: Config['http'];
  #config: Config;
  /** Why the present configuration file is not in force. */
  #refusal: AppError | undefined;
  #cliMayDiffer = Promise.withResolvers<void>();

  constructor(app: App, config: Config, reload: () => Promise<Config>, log: Logger, metrics: Metrics) {
    this.#app = app;
    this.#config = config;
    this.#http = config.http;
    this.#reload = reload;
    this.#log = log;
    this.#metrics = metrics;
  }

  get tasks(): Task[] {
    const { auth, configFile } = this.#config;
    const watched: Task[] = [];
    if (configFile !== undefined) {
      const isOutdated = async (): Promise<boolean> => await this.#isOutdated();
      watched.push(async (options) => {
        const onChange = async (): Promise<void> => await this.#reconfigure(options);
        const onSame = async (): Promise<void> => await this.#reconfigureIfRefused(options);
        await watchContent(configFile, onChange, { ...options, clock, isOutdated, onSame });
      });
    }
    const watchSecret = (path: string): void => {
      const onChange = async (): Promise<void> => this.#app.secretChanged();
      watched.push(async (options) => await watchContent(path, onChange, { ...options, clock }));
    };
    if (auth.kind === 'file-oidc') watchSecret(auth.tokenFile);
    if (auth.kind === 'oauth-m2m' && 'file' in auth.secret) watchSecret(auth.secret.file);
    return [
      async (options) => await this.#serve(options),
      async (options) => await this.#knowVersion(options),
      ...watched,
    ];
  }

  async #serve({ signal }: Cancellable): Promise<void> {
    const server = createServer({
      clock,
      version,
      log: this.#log,
      liveness: () => this.#app.liveness(),
      statuses: async (options) => await this.#app.statuses(options),
      renderMetrics: async (format, statuses) => await this.#metrics.render(format, statuses),
    });
    const address = await listen(server, this.#http);
    const names = this.#config.credentials.map(({ name }) => name);
    this.#warnOfShortLives(this.#config);
    this.#log.info({ ...address, credentials: names, uid: process.getuid?.(), node: process.versions.node }, 'started');
    if (!signal.aborted) await once(signal, 'abort');
    this.#log.info({ reason: (signal.reason as Error).message }, 'stopping; the files stay');
    await server.close();
  }

  /** Asks at the start, and again after a reload that may have brought another CLI. */
  async #knowVersion(options: Cancellable): Promise<never> {
    this.#tellVersions();
    for (;;) {
      this.#cliMayDiffer = Promise.withResolvers();
      await this.#askVersion(options);
      await unlessAborted(this.#cliMayDiffer.promise, options);
    }
  }

  /** For the metric, and for a warning about one that is too old. */
  async #askVersion(options: Cancellable): Promise<void> {
    await within(VERSION_WAIT_MS, this.#app.published(), { ...options, clock });
    const { cliVersion, complaint } = await this.#examineCli(options);
    this.#tellVersions(cliVersion);
    if (complaint === undefined) this.#log.debug({ cliVersion }, 'CLI found');
    else this.#log.warn({ cliVersion, complaint }, 'this Databricks CLI may not work');
  }

  async #examineCli(options: Cancellable): Promise<{ cliVersion?: string; complaint: string | undefined }> {
    try {
      const cliVersion = await this.#app.cliVersion(this.#config, options);
      const hasTtl = this.#config.credentials.some(({ ttl }) => ttl !== undefined);
      return { cliVersion, complaint: complaintAbout(cliVersion, hasTtl) };
    } catch (error) {
      if (!(error instanceof MintError)) throw error;
      return { complaint: error.message };
    }
  }

  #tellVersions(cliVersion = 'unknown'): void {
    this.#metrics.setBuildInfo({ version, nodeVersion: process.versions.node, cliVersion });
  }

  /** The file is watched only once there is a first credential: it may have changed, or become invalid, before. */
  async #isOutdated(): Promise<boolean> {
    const present = await this.#reload().catch((error: unknown) => {
      if (error instanceof AppError) return undefined;
      throw error;
    });
    return JSON.stringify(present) !== JSON.stringify(this.#config);
  }

  /** A CLI that is missing, or a directory that cannot be written, may be put right without a change of the file. */
  async #reconfigureIfRefused(options: Cancellable): Promise<void> {
    const refusal = this.#refusal;
    if (refusal !== undefined && refusal.code !== 'config') await this.#reconfigure(options, refusal);
  }

  /** A configuration in which anything is wrong changes nothing. What was `told` already is not said again. */
  async #reconfigure(options: Cancellable, told?: AppError): Promise<void> {
    try {
      const config = await this.#reload();
      findCommand(config.minter.cli.command, config.childEnvironment);
      const configuring = this.#app.configure(config, options);
      if ((await within(RELOAD_MS, configuring, { ...options, clock })) === undefined) {
        this.#metrics.configReloaded(false);
        this.#log.warn(
          'the new configuration waits for a write that hangs; restart the container if that does not end',
        );
      }
      const changed = await configuring;
      this.#warnOfRest(config);
      this.#warnOfShortLives(config);
      this.#config = config;
      this.#log.level = config.log.level;
      this.#metrics.track(this.#app.sinkNames);
      this.#metrics.configReloaded(true);
      this.#refusal = undefined;
      if (changed.length > 0) this.#cliMayDiffer.resolve();
      this.#log.info({ changed }, 'configuration reloaded');
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#metrics.configReloaded(false);
      this.#refusal = error;
      if (error.message === told?.message) return;
      this.#log.warn({ err: error }, 'configuration not reloaded, the old one stays in force');
    }
  }

  #warnOfRest(config: Config): void {
    if (JSON.stringify(config.http) !== JSON.stringify(this.#http)) {
      this.#log.warn({ http: config.http }, 'a change of http needs a restart');
    }
    const kept = new Set(sinksOf(config));
    const left = sinksOf(this.#config).filter((sink) => !kept.has(sink));
    if (left.length > 0) this.#log.info({ sinks: left }, 'sinks that are no longer configured are left as they are');
  }

  #warnOfShortLives(config: Config): void {
    for (const { name, ttl } of config.credentials.filter(isShortForVolumes)) {
      const fields = { credential: name, ttl: formatDuration(ttl) };
      this.#log.warn(fields, 'a Secret volume may lag behind by more than a minute: a ttl of 15m or more is safer');
    }
  }
}

function sinksOf({ credentials }: Config): string[] {
  return credentials.flatMap(({ sinks }) => sinks.map(labelOf));
}
