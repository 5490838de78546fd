import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const PREFIX = 'lakebase_credential_';
const CREDENTIAL = ['credential'] as const;
const SINK = ['credential', 'sink'] as const;
/** Around the second that a mint usually takes, up to the longest deadline. */
const DURATION_BUCKETS = [0.25, 0.5, 1, 2, 5, 10, 20, 30, 60];

export type Instruments = ReturnType<typeof createInstruments>;

/** Every metric of ours, in the order of docs/metrics.md; a test compares the two. */
export function createInstruments(registry: Registry) {
  const describe = <const Labels extends readonly string[]>(name: string, help: string, labelNames: Labels) => ({
    name: `${PREFIX}${name}`,
    help,
    labelNames,
    registers: [registry],
  });
  return {
    valid: new Gauge(
      describe(
        'valid',
        '1 while every sink holds an unexpired token of the credential, else 0; alert when it is 0.',
        CREDENTIAL,
      ),
    ),
    expiry: new Gauge(
      describe(
        'expiry_timestamp_seconds',
        "When the earliest-expiring token in any sink expires, by the service's clock; alert on this minus time().",
        CREDENTIAL,
      ),
    ),
    issued: new Gauge(
      describe(
        'issued_timestamp_seconds',
        "When the earliest-expiring token was issued, by the service's clock.",
        CREDENTIAL,
      ),
    ),
    replaceBy: new Gauge(
      describe(
        'replace_by_timestamp_seconds',
        "When the earliest-expiring token is to be replaced at the latest, according to `refresh`, by the service's clock.",
        CREDENTIAL,
      ),
    ),
    age: new Gauge(describe('age_seconds', 'Age of the earliest-expiring token, computed at the scrape.', CREDENTIAL)),
    sinkExpiry: new Gauge(
      describe('sink_expiry_timestamp_seconds', "When the token in this sink expires, by the service's clock.", SINK),
    ),
    lastSuccess: new Gauge(describe('last_success_timestamp_seconds', 'When the last mint succeeded.', CREDENTIAL)),
    lastAttempt: new Gauge(describe('last_attempt_timestamp_seconds', 'When the last mint was started.', CREDENTIAL)),
    nextRefresh: new Gauge(
      describe(
        'next_refresh_timestamp_seconds',
        'When the next refresh or retry is due; alert when it lies minutes in the past.',
        CREDENTIAL,
      ),
    ),
    refreshes: new Counter(describe('refreshes_total', 'Mints that were started.', CREDENTIAL)),
    refreshFailures: new Counter(
      describe('refresh_failures_total', 'Mints that failed, by reason.', ['credential', 'reason']),
    ),
    consecutiveFailures: new Gauge(
      describe(
        'consecutive_failures',
        'Mints that failed since the last success, or since the token of another writer was adopted.',
        CREDENTIAL,
      ),
    ),
    adoptions: new Counter(
      describe(
        'adoptions_total',
        'Tokens adopted from a file, a Secret or the previous configuration, instead of minted.',
        CREDENTIAL,
      ),
    ),
    refreshDuration: new Histogram({
      ...describe('refresh_duration_seconds', 'Duration of mints, including failed ones.', CREDENTIAL),
      buckets: DURATION_BUCKETS,
    }),
    sinkWrites: new Counter(
      describe('sink_writes_total', 'Writes of a sink, by result: success or failure.', [...SINK, 'result']),
    ),
    sinkLastWrite: new Gauge(
      describe('sink_last_write_timestamp_seconds', 'When this sidecar last wrote the sink successfully.', SINK),
    ),
    sinkRepairs: new Counter(
      describe('sink_repairs_total', 'Writes because somebody else had changed or deleted the sink.', SINK),
    ),
    clockJumps: new Counter(
      describe('clock_jumps_total', 'Jumps of the wall clock: it was set, or the machine was suspended.', []),
    ),
    clockSkew: new Gauge(
      describe('clock_skew_seconds', "The service's clock minus this machine's, at the last mint.", []),
    ),
    configReloadSuccessful: new Gauge(
      describe('config_last_reload_successful', '1 if the last load of the configuration succeeded, else 0.', []),
    ),
    configReloadSuccess: new Gauge(
      describe(
        'config_last_reload_success_timestamp_seconds',
        'When the configuration was last loaded successfully.',
        [],
      ),
    ),
    buildInfo: new Gauge(
      describe(
        'build_info',
        'Always 1; versions of the sidecar, of the Databricks CLI (`unknown` until detected) and of Node.js.',
        ['version', 'cli_version', 'node_version'],
      ),
    ),
  };
}
