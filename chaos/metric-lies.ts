import { dirname, join } from 'node:path';
import { MetricSamples } from '../test/support/metric-samples.ts';
import { DIRECTORIES } from './layout.ts';
import { describe, GRAIN_MS, type Snapshot } from './reading.ts';

/** The sidecar goes by the earlier of two times: that of the JWT, and that of the answer, which may be whole seconds. */
const ROUNDED_SECONDS = 1;

/**
 * What one scrape says of credentials that is not so, by the files as they were before it and after it. A credential can
 * have more sinks than these files, whose tokens may be older.
 */
export function metricLies(scrape: string, { files, volume }: { files: Snapshot; volume: string }): string[] {
  const samples = new MetricSamples(scrape);
  const now = Date.now();
  return DIRECTORIES.flatMap((credential) => {
    if (samples.get('valid', { credential }) !== 1) return [];
    const own = files.filter(({ path }) => dirname(path) === credential);
    const bad = own.filter(({ reading }) => reading.state !== 'whole' || reading.token!.expiresAt <= now - GRAIN_MS);
    if (bad.length > 0) return [`/metrics of ${credential}: valid is 1 while ${bad.map(describe).join(', ')}`];
    const wrong = own.flatMap(({ path, reading }) => {
      const told = samples.get('sink_expiry_timestamp_seconds', { credential, sink: `file:${join(volume, path)}` });
      const expiry = reading.token!.expiresAt / 1_000;
      if (told !== undefined && Math.abs(told - expiry) <= ROUNDED_SECONDS) return [];
      return [`/metrics of ${path}: sink_expiry_timestamp_seconds is ${told} instead of ${expiry}`];
    });
    const told = samples.get('expiry_timestamp_seconds', { credential });
    const earliest = Math.min(...samples.all('sink_expiry_timestamp_seconds', { credential }));
    if (told === earliest) return wrong;
    return [...wrong, `/metrics of ${credential}: expiry_timestamp_seconds is ${told} instead of ${earliest}`];
  });
}
