import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Where the kubelet looks for the last words of a container; `kubectl describe pod` shows them. */
const PATH = '/dev/termination-log';
/** The kubelet shows no more than this. */
const MAX_BYTES = 4_096;

/** Replaces what stands there, where it exists; elsewhere does nothing. Takes one scrubbed line. */
export function writeTerminationLog(line: string, path = PATH): void {
  replace(Buffer.from(`${line.replaceAll(/\s+/g, ' ')}\n`).subarray(0, MAX_BYTES), path);
}

/** For an end without a problem. */
export function clearTerminationLog(path = PATH): void {
  replace(Buffer.alloc(0), path);
}

function replace(content: Buffer, path: string): void {
  try {
    const file = openSync(path, constants.O_WRONLY); // never creates it
    try {
      ftruncateSync(file);
      writeSync(file, content);
    } finally {
      closeSync(file);
    }
  } catch {
    // Not in a pod, or not ours to write: the log has the line as well.
  }
}
