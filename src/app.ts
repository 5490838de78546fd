import { tmpdir } from 'node:os';
import type { Config, CredentialConfig } from './config/load.ts';
import { identityOf } from './config/identity.ts';
import { type SinkError, SinksError } from './credential/errors.ts';
import { Fleet, type KeeperPlan } from './credential/fleet.ts';
import { Keeper } from './credential/keeper.ts';
import type { Cancellable, Observer, Sink } from './credential/ports.ts';
import { Slots } from './credential/slots.ts';
import { type Check, type CredentialStatus, livenessChecks } from './credential/status.ts';
import { runAll, type Task, within } from './credential/tasks.ts';
import { Ticker } from './credential/ticker.ts';
import { DatabricksCli } from './minters/cli.ts';
import { CommandMinter } from './minters/command.ts';
import { PrivateHomes } from './minters/homes.ts';
import { readCliVersion } from './minters/version.ts';
import { systemClock as clock } from './platform/clock.ts';
import { findCommand } from './platform/find-command.ts';
import { keepThreadsAwake } from './platform/threads.ts';
import { type SinkBuilder, sinkBuilder } from './sinks.ts';

/** More than a program that logs in to the cluster may take. */
const PREPARE_MS = 12_000;

export interface AppOptions {
  readonly observer: Observer;
  /** Whether valid credentials that stand in the sinks are used for as long as they live. */
  readonly adopts: boolean;
}

/** Puts the parts together for a configuration, and again for the next one. */
export class App {
  readonly #options: AppOptions;
  readonly #ticker: Ticker;
  readonly #fleet = new Fleet();
  readonly #homes = new PrivateHomes(tmpdir());
  readonly #slots = new Slots(0);
  /** Sinks that are being tried, by name: one on a disk that hangs stays here, and holds threads, for as long. */
  readonly #trying = new Set<string>();

  constructor(options: AppOptions) {
    this.#options = options;
    this.#ticker = new Ticker(clock, (byMs) => {
      options.observer.clockJumped(byMs);
      for (const keeper of this.#fleet.keepers) keeper.refreshSoon();
    });
  }

  /** Starts, restarts and stops keepers; names those that it touched. @throws CliError or SinksError, with everything as it was */
  async configure(config: Config, options: Cancellable): Promise<string[]> {
    const { command, concurrency } = config.minter.cli;
    const { auth, childEnvironment } = config;
    findCommand(command, childEnvironment); // a CLI that is missing is refused before anything else is tried
    const cli = new DatabricksCli({ command, auth, childEnvironment, homes: this.#homes, clock });
    const build = await sinkBuilder(config);
    const plans = config.credentials.map((credential) => this.#plan(credential, config, cli, build));
    await this.#prepare(this.#fleet.newcomers(plans), options);
    this.#slots.resize(concurrency);
    return await this.#fleet.replace(plans);
  }

  /** Until the signal; rejects with its reason, or with what a bug threw. */
  async run({ signal }: Cancellable): Promise<void> {
    try {
      const tasks: Task[] = [
        (options) => this.#ticker.run(options),
        (options) => this.#fleet.run(options),
        (options) => this.#homes.sweep(options),
        (options) => keepThreadsAwake({ ...options, clock }),
      ];
      await runAll(tasks, { signal });
    } finally {
      this.#homes.remove();
    }
  }

  /** Settles once every sink has held its credential. */
  async published(): Promise<void> {
    await Promise.all(this.#fleet.keepers.map(async (keeper) => await keeper.published()));
  }

  /** What exists by now, for the metrics. */
  get sinkNames(): ReadonlyMap<string, readonly string[]> {
    return new Map(this.#fleet.keepers.map(({ name, sinkNames }) => [name, sinkNames]));
  }

  /** The identity has a new secret. */
  secretChanged(): void {
    for (const keeper of this.#fleet.keepers) keeper.retryNow();
  }

  liveness(): Check[] {
    const vitals = this.#fleet.keepers.map((keeper) => keeper.vitals());
    return livenessChecks(this.#ticker.beatAt, vitals, clock);
  }

  async statuses(options: Cancellable): Promise<CredentialStatus[]> {
    return await Promise.all(this.#fleet.keepers.map(async (keeper) => await keeper.status(options)));
  }

  /** Asks the CLI, behind everything that mints. @throws MintError */
  async cliVersion({ minter, childEnvironment }: Config, { signal }: Cancellable): Promise<string> {
    const installed = { command: minter.cli.command, childEnvironment, clock };
    const request = { wantedAt: Infinity, isTroubled: true };
    return await this.#slots.with(request, async () => await readCliVersion(installed, { signal }), { signal });
  }

  /** All problems at once, and before anything is minted; but a disk that hangs holds up nobody else for longer than this. */
  async #prepare(plans: readonly KeeperPlan[], { signal }: Cancellable): Promise<void> {
    // Not again while the last try hangs: a configuration that is refused is tried for ever, and threads are few.
    const sinks = plans.flatMap((plan) => plan.sinks).filter(({ name }) => !this.#trying.has(name));
    const preparing = sinks.map(
      async (sink) => await within(PREPARE_MS, this.#try(sink, { signal }), { signal, clock }),
    );
    const outcomes = await Promise.allSettled(preparing);
    const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as SinkError] : []));
    const bug = reasons.find((reason) => reason.code !== 'sink');
    if (bug !== undefined) throw bug;
    if (reasons.length > 0) throw new SinksError(reasons);
  }

  async #try(sink: Sink, options: Cancellable): Promise<void> {
    this.#trying.add(sink.name);
    try {
      await sink.prepare(options);
    } finally {
      this.#trying.delete(sink.name);
    }
  }

  #plan(credential: CredentialConfig, config: Config, cli: DatabricksCli, build: SinkBuilder): KeeperPlan {
    const { adopts } = this.#options;
    const observer = build.observer(credential, this.#options.observer);
    const { auth, refresh, backoff, minter } = config;
    const { name, ttl: ttlMs, resource } = credential;
    const identity = identityOf(auth, resource.name);
    const sinks = build.sinks(credential, identity);
    const make: KeeperPlan['make'] = (inherited) =>
      new Keeper({
        name,
        resource: resource.name,
        ttlMs,
        timeoutMs: minter.cli.timeout,
        refresh: { at: refresh.at, jitter: refresh.jitter, floorMs: refresh.floor },
        backoff: { initialMs: backoff.initial, maxMs: backoff.max },
        minter: new CommandMinter(cli, { resource, ttlMs }, clock),
        sinks,
        slots: this.#slots,
        ticker: this.#ticker,
        random: Math.random,
        observer,
        adopts,
        inherited,
      });
    const key = JSON.stringify([credential, minter, refresh, backoff]);
    return { name, key, identityKey: JSON.stringify(identity), sinks, make };
  }
}
