import { basename, dirname, join } from 'node:path';
import { hasErrno } from './file-errors.ts';
import { readFile, realpath } from './files.ts';

/** In proc_pid_mountinfo(5), the field with the mount point as this process sees it. */
const MOUNT_POINT_FIELD = 4;

/**
 * Whether `path` itself, not a directory above it, is mounted: Kubernetes' subPath does that to single files.
 * Such a file cannot be replaced by a rename, and its readers would go on seeing the old one.
 */
export async function isMountPoint(path: string): Promise<boolean> {
  const mountPoints = await readMountPoints();
  // The kernel lists real paths; the last component is not followed because a link is never a mount point.
  return mountPoints.has(join(await realpath(dirname(path)), basename(path)));
}

export function parseMountPoints(mountinfo: string): Set<string> {
  const fields = mountinfo.split('\n').map((line) => line.split(' ')[MOUNT_POINT_FIELD]);
  return new Set(fields.filter((field) => field !== undefined).map(decodeOctal));
}

async function readMountPoints(): Promise<Set<string>> {
  try {
    return parseMountPoints(await readFile('/proc/self/mountinfo', 'utf8'));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return new Set(); // not Linux, so no pod either
    throw error;
  }
}

/** Blank, tab, newline and backslash are escaped byte by byte, the rest of the path is as it is. */
function decodeOctal(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
