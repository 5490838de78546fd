import type { Logger } from 'pino';
import { isSentInClear } from '../config/identity.ts';
import type { Config } from '../config/load.ts';
import { createLogger } from '../telemetry/logger.ts';
import { version } from '../version.ts';

/** The log of a command; its first lines name what may be a mistake. */
export function startLog({ auth, log: { level }, unknownVariables: variables }: Config): Logger {
  const log = createLogger({ level, version });
  if (variables.length > 0) log.warn({ variables }, 'unknown LAKEBASE_ variables ignored');
  if (isSentInClear(auth))
    log.warn({ host: auth.host }, 'workspace address uses http://: requests are sent without TLS');
  return log;
}
