import type { Sink } from '../credential/ports.ts';
import type { Check } from '../credential/status.ts';

export interface ProbeAnswer {
  readonly status: number;
  readonly body: string;
}

export interface ProbeQuery {
  readonly isVerbose: boolean;
  /** Only these sinks are asked about. */
  readonly kind: Sink['kind'] | undefined;
}

const KINDS: readonly Sink['kind'][] = ['file', 'secret'];

/**
 * A parameter that is misspelt must not silently ask another question than the probe means, so it is refused: the
 * answer is then a text with what is allowed.
 */
export function parseProbeQuery(query: unknown, allowed: readonly ('verbose' | 'sinks')[]): ProbeQuery | string {
  const parameters = query as Readonly<Record<string, unknown>>;
  const isKnown = (name: string): boolean => allowed.some((one) => one === name);
  if (!Object.keys(parameters).every(isKnown)) return `unknown parameter; allowed here: ${allowed.join(', ')}\n`;
  const { sinks, verbose } = parameters;
  const kind = KINDS.find((one) => one === sinks);
  if (sinks !== undefined && kind === undefined) return `sinks must be one of ${KINDS.join(', ')}, given once\n`;
  return { isVerbose: verbose !== undefined, kind };
}

/** In the words of the Kubernetes API server's own endpoints. No checks at all is a failure: nothing was asked. */
export function answerProbe(endpoint: string, checks: readonly Check[], isVerbose: boolean): ProbeAnswer {
  const failed = checks.filter(({ isOk }) => !isOk);
  const isPassed = checks.length > 0 && failed.length === 0;
  if (isPassed && !isVerbose) return { status: 200, body: 'ok' };
  const lines = (isVerbose ? checks : failed).map(line);
  if (checks.length === 0) lines.push('[-]sinks failed: there are none');
  lines.push(`${endpoint} check ${isPassed ? 'passed' : 'failed'}`);
  return { status: isPassed ? 200 : 503, body: `${lines.join('\n')}\n` };
}

function line({ name, isOk, reason }: Check): string {
  return `${isOk ? '[+]' : '[-]'}${name} ${isOk ? 'ok' : 'failed'}: ${reason}`.replace(/\s+/g, ' ');
}
