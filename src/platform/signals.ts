import { constants } from 'node:os';
import { leave } from './leave.ts';

/** The reason of an aborted signal: names what stopped the process, for the log and the exit code. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }

  /** As a shell has it: 128 and the number of the signal. */
  get exitCode(): number {
    return 128 + constants.signals[this.signal];
  }
}

/** Aborts at the first SIGTERM or SIGINT; the second one ends the process at once, with 128 + its number. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) leave(new Stopped(name).exitCode); // somebody insists: nothing is waited for any more
    stop.abort(new Stopped(name));
  };
  // Not `once`: execa ends a process at a signal for which nobody listens any more.
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // Otherwise Node.js opens its debugger, without any authentication, to each container of the pod.
  process.on('SIGUSR1', () => {});
  return stop.signal;
}
