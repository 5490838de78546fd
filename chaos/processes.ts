import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { SIDECAR_UID } from './layout.ts';

export interface Usage {
  /** Of the account of the sidecar, those that ended but were not asked after included. */
  readonly processes: readonly number[];
  readonly descriptors: number;
  readonly threads: number;
  readonly watches: number;
}

/**
 * Process ids of the account under which the sidecar and its CLI run. Not of a CLI whose sidecar was killed on a bare
 * host: it has a patience of its own.
 */
function processesOfSidecar(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && ownerOf(name) === SIDECAR_UID)
    .map(Number);
}

export function commandLines(): string[] {
  return processesOfSidecar().map((pid) => {
    const words = readOr(`/proc/${pid}/cmdline`, '').replaceAll('\0', ' ').trim();
    return words === '' ? `ended: ${readOr(`/proc/${pid}/stat`, '').slice(0, 60)}` : words;
  });
}

/** Undefined if it has ended. */
export function usageOf(pid: number): Usage | undefined {
  try {
    const descriptors = readdirSync(`/proc/${pid}/fd`);
    const threads = readdirSync(`/proc/${pid}/task`).length;
    const watches = descriptors
      .filter((descriptor) => linkOr(`/proc/${pid}/fd/${descriptor}`) === 'anon_inode:inotify')
      .map((descriptor) => readOr(`/proc/${pid}/fdinfo/${descriptor}`, '').split('inotify wd').length - 1);
    return {
      processes: processesOfSidecar(),
      descriptors: descriptors.length,
      threads,
      watches: watches.reduce((total, count) => total + count, 0),
    };
  } catch {
    return undefined;
  }
}

/** Undefined for those that have lost their parent, and for those that have ended. */
function ownerOf(pid: string): number | undefined {
  const status = readOr(`/proc/${pid}/status`, '');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return field('PPid') === 1 ? undefined : field('Uid');
}

export function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

/** Empty for what has ended, although it is still listed for a moment. */
export function linkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
