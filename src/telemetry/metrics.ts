import { collectDefaultMetrics, type Metric, Registry, type RegistryContentType } from 'prom-client';
import { MINT_REMEDIES, type MintFailure } from '../credential/failures.ts';
import type { Clock, Credential } from '../credential/ports.ts';
import { ageMs, latestRefreshAt, provenSkewMs, skewOf } from '../credential/schedule.ts';
import { type CredentialStatus, isValid, weakest } from '../credential/status.ts';
import { createInstruments, type Instruments } from './instruments.ts';

export interface BuildInfo {
  readonly version: string;
  /** `unknown` until the CLI has told, and where it does not. */
  readonly cliVersion: string;
  readonly nodeVersion: string;
}

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** More than a mint usually gets. A clock that is slow by less makes no refresh seem overdue to the alert. */
const SLOW_MINT_MS = 120_000;

const WRITE_RESULTS = ['success', 'failure'] as const;

/** Removed, because to measure them Node.js would wake up a hundred times a second. The lag at the scrape stays. */
const LAG_STATISTICS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'] as const;
/** The longest interval that a timer of Node.js takes: nothing is measured in between. */
const NEVER_MS = 2 ** 31 - 1;

/** prom-client sets what has no labels to 0 at once; these must be absent until something is known. */
const ABSENT_AT_FIRST = ['clockSkew', 'configReloadSuccess', 'configReloadSuccessful'] as const;

export function createMetrics(clock: Clock): Metrics {
  const registry = new Registry();
  const instruments = createInstruments(registry);
  for (const name of ABSENT_AT_FIRST) instruments[name].remove();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS });
  for (const statistic of LAG_STATISTICS) registry.removeSingleMetric(`nodejs_eventloop_lag_${statistic}_seconds`);
  return new Metrics(clock, instruments, registry);
}

/** Counts what the observer is told; what can be read off a status is read at the scrape. */
export class Metrics {
  readonly #clock: Clock;
  readonly #instruments: Instruments;
  readonly #registry: Registry;
  readonly #openMetricsRegistry: Registry;
  /** One that was minted here tells more exactly how far the clocks are apart than any that was adopted. */
  #hasMinted = false;
  #tracked: ReadonlyMap<string, readonly string[]> = new Map();

  constructor(clock: Clock, instruments: Instruments, registry: Registry) {
    this.#clock = clock;
    this.#instruments = instruments;
    this.#registry = registry;
    this.#openMetricsRegistry = toOpenMetrics(registry);
  }

  /**
   * The credentials that there are now, with their sinks: each label value that can come exists from the start, at 0;
   * counts of those that stay go on, those of others vanish.
   */
  track(sinkNames: ReadonlyMap<string, readonly string[]>): void {
    const before = this.#tracked;
    this.#tracked = new Map(sinkNames);
    for (const [credential, sinks] of before) {
      const kept = new Set(sinkNames.get(credential));
      for (const sink of sinks) if (!kept.has(sink)) this.#forgetSink(credential, sink);
      if (!sinkNames.has(credential)) this.#forget(credential);
    }
    for (const [credential, sinks] of sinkNames) {
      if (!before.has(credential)) this.#introduce(credential);
      const known = new Set(before.get(credential));
      for (const sink of sinks) if (!known.has(sink)) this.#introduceSink(credential, sink);
    }
  }

  setBuildInfo({ version, cliVersion, nodeVersion }: BuildInfo): void {
    const { buildInfo } = this.#instruments;
    buildInfo.reset();
    buildInfo.set({ version, cli_version: cliVersion, node_version: nodeVersion }, 1);
  }

  /** The first load counts, also one without a file. */
  configReloaded(isOk: boolean): void {
    this.#instruments.configReloadSuccessful.set(isOk ? 1 : 0);
    if (isOk) this.#instruments.configReloadSuccess.set(seconds(this.#clock.now()));
  }

  mintStarted(credential: string): void {
    this.#instruments.refreshes.inc({ credential });
  }

  minted(credential: string, minted: Credential, durationMs: number): void {
    this.#instruments.refreshDuration.observe({ credential }, seconds(durationMs));
    this.#instruments.clockSkew.set(seconds(provenSkewMs(minted, durationMs)));
    this.#hasMinted = true;
  }

  mintFailed(credential: string, reason: MintFailure, durationMs: number): void {
    this.#instruments.refreshDuration.observe({ credential }, seconds(durationMs));
    this.#instruments.refreshFailures.inc({ credential, reason });
  }

  adopted(credential: string, adopted: Credential): void {
    const { adoptions, clockSkew } = this.#instruments;
    adoptions.inc({ credential });
    // The record of a file has what its mint told, and a clock is as wrong after a restart as before. It has not how long
    // that mint took. 0: nothing is known.
    const skewMs = skewOf(adopted);
    if (!this.#hasMinted && (skewMs < 0 || skewMs > SLOW_MINT_MS)) clockSkew.set(seconds(skewMs));
  }

  sinkWritten(credential: string, sink: string, isRepair: boolean): void {
    this.#instruments.sinkWrites.inc({ credential, sink, result: 'success' });
    if (isRepair) this.#instruments.sinkRepairs.inc({ credential, sink });
  }

  sinkFailed(credential: string, sink: string): void {
    this.#instruments.sinkWrites.inc({ credential, sink, result: 'failure' });
  }

  clockJumped(): void {
    this.#instruments.clockJumps.inc();
  }

  async render(format: 'text' | 'openmetrics', statuses: readonly CredentialStatus[]): Promise<Exposition> {
    const registry = format === 'openmetrics' ? this.#openMetricsRegistry : this.#registry;
    this.#readStatuses(statuses);
    return { contentType: registry.contentType, body: await registry.metrics() };
  }

  #introduce(credential: string): void {
    const { adoptions, refreshDuration, refreshes, refreshFailures } = this.#instruments;
    for (const counter of [refreshes, adoptions]) counter.inc({ credential }, 0);
    for (const reason of Object.keys(MINT_REMEDIES)) refreshFailures.inc({ credential, reason }, 0);
    refreshDuration.zero({ credential });
  }

  #introduceSink(credential: string, sink: string): void {
    const { sinkRepairs, sinkWrites } = this.#instruments;
    sinkRepairs.inc({ credential, sink }, 0);
    for (const result of WRITE_RESULTS) sinkWrites.inc({ credential, sink, result }, 0);
  }

  #forget(credential: string): void {
    const { adoptions, refreshDuration, refreshes, refreshFailures } = this.#instruments;
    for (const metric of [refreshes, adoptions, refreshDuration]) metric.remove({ credential });
    for (const reason of Object.keys(MINT_REMEDIES)) refreshFailures.remove({ credential, reason });
  }

  #forgetSink(credential: string, sink: string): void {
    const { sinkRepairs, sinkWrites } = this.#instruments;
    sinkRepairs.remove({ credential, sink });
    for (const result of WRITE_RESULTS) sinkWrites.remove({ credential, sink, result });
  }

  /** Gauges are emptied first: what is not known now, or no longer configured, is absent. */
  #readStatuses(statuses: readonly CredentialStatus[]): void {
    const { age, consecutiveFailures, expiry, issued, lastAttempt, lastSuccess, nextRefresh } = this.#instruments;
    const { replaceBy, sinkExpiry, sinkLastWrite, valid } = this.#instruments;
    const ofWeakest = [age, expiry, issued, replaceBy];
    const ofSinks = [sinkExpiry, sinkLastWrite];
    const others = [consecutiveFailures, lastAttempt, lastSuccess, nextRefresh, valid];
    for (const gauge of [...ofWeakest, ...ofSinks, ...others]) gauge.reset();
    for (const credential of this.#tracked.keys()) valid.set({ credential }, 0);
    for (const status of statuses) {
      const credential = status.name;
      valid.set({ credential }, isValid(status, this.#clock) ? 1 : 0);
      consecutiveFailures.set({ credential }, status.consecutiveFailures);
      nextRefresh.set({ credential }, seconds(status.wakeAt));
      if (status.lastAttemptAt !== undefined) lastAttempt.set({ credential }, seconds(status.lastAttemptAt));
      if (status.lastSuccessAt !== undefined) lastSuccess.set({ credential }, seconds(status.lastSuccessAt));
      const worst = weakest(status);
      if (worst !== undefined) {
        expiry.set({ credential }, seconds(worst.service.expiresAt));
        issued.set({ credential }, seconds(worst.service.issuedAt));
        const ageToReplaceMs = latestRefreshAt(worst, status.refresh) - worst.local.issuedAt;
        replaceBy.set({ credential }, seconds(worst.service.issuedAt + ageToReplaceMs));
        age.set({ credential }, seconds(ageMs(worst, this.#clock)));
      }
      for (const { holding, lastWriteAt, name: sink } of status.sinks) {
        if (holding.state === 'holds')
          sinkExpiry.set({ credential, sink }, seconds(holding.credential.service.expiresAt));
        if (lastWriteAt !== undefined) sinkLastWrite.set({ credential, sink }, seconds(lastWriteAt));
      }
    }
  }
}

/**
 * Writing OpenMetrics strips `_total` from the name of a counter for good, in the other format too: so this registry
 * gets objects of its own to rename, which share everything else with the originals.
 */
function toOpenMetrics(registry: Registry): Registry {
  const copy = new Registry<RegistryContentType>();
  copy.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const metric of registry.getMetricsAsArray()) copy.registerMetric(Object.create(metric) as Metric);
  return copy as Registry;
}

function seconds(ms: number): number {
  return ms / 1_000;
}
