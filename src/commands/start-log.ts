import type { Logger } from 'pino';
import type { Config } from '../config/load.ts';
import { createLogger } from '../telemetry/logger.ts';
import { version } from '../version.ts';

/** The log of a command; its first line names what may be misspelled. */
export function startLog({ log: { level }, unknownVariables: variables }: Config): Logger {
  const log = createLogger({ level, version });
  if (variables.length > 0) log.warn({ variables }, 'variables that are not known are ignored');
  return log;
}
