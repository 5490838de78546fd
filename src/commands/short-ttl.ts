import type { Logger } from 'pino';
import { formatDuration } from '../config/duration.ts';
import type { Config, CredentialConfig } from '../config/load.ts';

/** The kubelet renews a Secret volume when it gets round to it. */
const SHORT_MS = 900_000;

/** Whether its tokens may be dead before a volume has the next one. */
export function isShortForVolumes(
  credential: CredentialConfig,
): credential is CredentialConfig & { readonly ttl: number } {
  const { sinks, ttl = Infinity } = credential;
  return ttl < SHORT_MS && sinks.some(({ kind }) => kind === 'secret');
}

export function warnOfShortLives({ credentials }: Config, log: Logger): void {
  for (const { name, ttl } of credentials.filter(isShortForVolumes)) {
    const fields = { credential: name, ttl: formatDuration(ttl) };
    log.warn(fields, 'Secret volumes may lag by more than a minute; use a ttl of at least 15m');
  }
}
