import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import { AppError } from '../credential/errors.ts';
import { JWT } from '../credential/redact.ts';
import { standardOutput } from './standard-output.ts';

export interface LoggerOptions {
  readonly level: string;
  readonly version: string;
}

export interface SerializedError {
  readonly name: string;
  readonly code?: string;
  readonly failure?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: SerializedError;
}

/** The first net is `Secret`; this one catches what became a plain string by mistake, and JWT what stands in other text. */
const SECRET_KEYS = ['token', 'password', 'secret', 'clientSecret', 'client_secret', 'access_token', 'authorization'];
const CENSOR = '[redacted]';
const MAX_CAUSES = 5;
/** A configuration with thousands of mistakes has a message that is longer than a line may be: it would be dropped. */
const MAX_TEXT = 16 * 1024;

/** JSON lines on standard output, written before the call returns: a crash loses none. */
export function createLogger({ level, version }: LoggerOptions, destination?: DestinationStream): Logger {
  // Foreseen errors and their causes are logged without a stack: a server that is away for an hour would fill the log.
  const hasStack = (error: unknown): boolean => logger.isLevelEnabled('debug') || !(error instanceof AppError);
  const logger = pino(
    {
      level,
      base: { version },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: CENSOR },
      serializers: { err: (error: unknown) => serializeError(error, hasStack(error)) },
      hooks: { streamWrite: (line) => line.replaceAll(JWT, CENSOR) },
    },
    destination ?? standardOutput(),
  );
  return logger;
}

/** Only what is known to be harmless: libraries hang whole requests and command lines on their errors. */
function serializeError(error: unknown, hasStack: boolean, depth = 0): SerializedError {
  if (!(error instanceof Error)) return { name: typeof error, message: 'a value that is not an Error was thrown' };
  const { code, failure } = error as { code?: unknown; failure?: unknown };
  return {
    name: error.name,
    ...(typeof code === 'string' && { code }),
    ...(typeof failure === 'string' && { failure }),
    message: cut(error.message),
    ...(hasStack && error.stack !== undefined && { stack: cut(error.stack) }),
    ...(error.cause !== undefined && depth < MAX_CAUSES && { cause: serializeError(error.cause, hasStack, depth + 1) }),
  };
}

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)} …`;
}
