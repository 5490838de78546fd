import type { Logger } from 'pino';
import type { App } from '../app.ts';
import type { Config } from '../config/load.ts';
import { AppError } from '../credential/errors.ts';
import { labelOf } from '../credential/label.ts';
import type { Cancellable } from '../credential/ports.ts';
import { within } from '../credential/tasks.ts';
import { systemClock as clock } from '../platform/clock.ts';
import { watchContent } from '../platform/content-changes.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { warnOfShortLives } from './short-ttl.ts';

/** More than new sinks may take to be tried, and CLIs to be ended: what is still busy writes to a disk that hangs. */
const RELOAD_MS = 20_000;

export interface ReloaderOptions {
  readonly app: App;
  /** What the app was configured with. */
  readonly config: Config;
  /** Loads the configuration again, in the same way. @throws ConfigError */
  readonly load: () => Promise<Config>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Puts the configuration file into force again whenever it has changed. */
export class Reloader {
  readonly #options: ReloaderOptions;
  #config: Config;
  /** Why the present configuration file is not in force. */
  #refusal: AppError | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** What is in force. */
  get config(): Config {
    return this.#config;
  }

  /** Settles with the next reload that starts, restarts or stops a keeper. */
  get nextChange(): Promise<void> {
    return this.#changed.promise;
  }

  async watch(configFile: string, options: Cancellable): Promise<void> {
    const isOutdated = async (): Promise<boolean> => await this.#isOutdated();
    const onChange = async (): Promise<void> => await this.#reload(options);
    const onSame = async (): Promise<void> => await this.#reloadIfRefused(options);
    await watchContent(configFile, onChange, { ...options, clock, isOutdated, onSame });
  }

  /** The file is watched only once there is a first credential: it may have changed, or become invalid, before. */
  async #isOutdated(): Promise<boolean> {
    const present = await this.#options.load().catch((error: unknown) => {
      if (error instanceof AppError) return undefined;
      throw error;
    });
    return JSON.stringify(present) !== JSON.stringify(this.#config);
  }

  /** A CLI that is missing, or a directory that cannot be written, may be put right without a change of the file. */
  async #reloadIfRefused(options: Cancellable): Promise<void> {
    const refusal = this.#refusal;
    if (refusal !== undefined && refusal.code !== 'config') await this.#reload(options, refusal);
  }

  async #reload(options: Cancellable, told?: AppError): Promise<void> {
    this.#refusal = await this.#tryReload(options, told);
  }

  /** A configuration in which anything is wrong changes nothing. What was `told` already is not said again. */
  async #tryReload(options: Cancellable, told: AppError | undefined): Promise<AppError | undefined> {
    const { load, log, metrics } = this.#options;
    try {
      const config = await load();
      const changed = await this.#configure(config, options);
      this.#warnOfRest(config);
      warnOfShortLives(config, log);
      this.#putIntoForce(config, changed);
      log.info({ changed }, 'configuration reloaded');
      return undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      metrics.configReloaded(false);
      if (error.message !== told?.message) {
        log.warn({ err: error }, 'configuration not reloaded; the previous one stays active');
      }
      return error;
    }
  }

  async #configure(config: Config, options: Cancellable): Promise<string[]> {
    const { app, log, metrics } = this.#options;
    const configuring = app.configure(config, options);
    if ((await within(RELOAD_MS, configuring, { ...options, clock })) === undefined) {
      metrics.configReloaded(false);
      log.warn('new configuration delayed by a hanging write; restart the container if this persists');
    }
    return await configuring;
  }

  #putIntoForce(config: Config, changed: readonly string[]): void {
    const { app, log, metrics } = this.#options;
    this.#config = config;
    log.level = config.log.level;
    metrics.track(app.sinkNames);
    metrics.configReloaded(true);
    if (changed.length === 0) return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #warnOfRest(config: Config): void {
    const { log, config: first } = this.#options;
    if (JSON.stringify(config.http) !== JSON.stringify(first.http)) {
      log.warn({ http: config.http }, 'http settings changed; restart to apply them');
    }
    const kept = new Set(sinksOf(config));
    const left = sinksOf(this.#config).filter((sink) => !kept.has(sink));
    if (left.length > 0) log.info({ sinks: left }, 'sinks no longer configured are left as they are');
  }
}

function sinksOf({ credentials }: Config): string[] {
  return credentials.flatMap(({ sinks }) => sinks.map(labelOf));
}
