import { constants, fstatSync, openSync } from 'node:fs';
import { type DestinationStream, pino } from 'pino';

/** What could not be written, as on a full disk, waits for the next line up to this length. */
const MAX_UNWRITTEN = 256 * 1024;
/** Of a tenth of a second each: how long the whole process waits for a reader that is only slow. */
const WAITS = 3;

/** A log that cannot be written, or that nobody reads, is no reason to let a credential expire. */
export function standardOutput(): DestinationStream {
  let waitsLeft = WAITS;
  const output = pino.destination({
    dest: unblocked(1),
    sync: true,
    minLength: 1, // without it `flush` would do nothing; `flushSync` never returns from a full disk
    maxLength: MAX_UNWRITTEN,
    retryEAGAIN: () => waitsLeft-- > 0,
  });
  output.on('write', (bytes: number) => {
    if (bytes > 0) waitsLeft = WAITS;
  });
  // A full buffer drops each new line, and nothing else tries again to write what waits in it.
  return output.on('error', () => {}).on('drop', () => output.flush());
}

/** A pipe is opened again, for ourselves: to stop waiting at this one would change it for everybody who has it. */
function unblocked(descriptor: number): number {
  try {
    if (!fstatSync(descriptor).isFIFO()) return descriptor;
    return openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return descriptor; // not Linux, not ours to open, or closed: then it is as it was given
  }
}
