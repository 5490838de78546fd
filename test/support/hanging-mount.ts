import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { constants, accessSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { NODE } from './sidecar.ts';
import { type Cleanup, undoAfter } from './cleanup.ts';

/** Why no file system can be made to hang here; false where one can. */
export function whyNoHang(): string | false {
  if (process.getuid?.() !== 0) return 'a file system that hangs is mounted by root: `sudo npm test`';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return 'a file system that hangs needs /dev/fuse: `modprobe fuse && npm test`';
  }
}

/** A Node.js that runs with mounts of its own. */
export async function nodeWithMounts(directory: string): Promise<string> {
  const path = join(directory, 'node');
  await writeFile(path, `#!/bin/sh\nexec unshare --mount "${NODE}" "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

export interface HangingMount {
  /** The server is gone: what waits has failed, and so does what follows, until `unmount`. */
  giveUp(): Promise<void>;
  /** The directory is there again, for those of its processes that are left. */
  unmount(): Promise<void>;
}

/**
 * For that process, from now on, whatever is done with the directory waits, as for a network volume whose server is away: a FUSE
 * file system is mounted over it whose server never answers.
 */
export async function mountHanging(pid: number, directory: string): Promise<HangingMount> {
  const inside = ['--target', String(pid), '--mount'];
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other';
  // The kernel gives up on the server once nobody has its file descriptor: when the standard input of `cat` ends.
  const serve = `exec 3<>/dev/fuse && mount -i -t fuse -o ${options} none "$1" && echo mounted && exec cat`;
  const server = spawn('nsenter', [...inside, 'sh', '-c', serve, 'sh', directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const gone = once(server, 'close');
  const giveUp = async (): Promise<void> => {
    server.stdin.end();
    await gone;
  };
  const mounted = await Promise.race([once(server.stdout, 'data'), gone.then(() => undefined)]);
  if (mounted === undefined) throw new Error(`nothing could be mounted over ${directory}`);
  const unmount = async (): Promise<void> => {
    // It looks itself up in /proc, which may be that of another process namespace. What waited there may not have ended yet.
    await execa('nsenter', [...inside, '--pid', 'umount', '--lazy', directory]);
  };
  return { giveUp, unmount };
}

/** The same until what it returns is called, or the test ends. */
export async function hang(t: Cleanup, pid: number, directory: string): Promise<() => Promise<void>> {
  const mount = await mountHanging(pid, directory);
  undoAfter(t, () => mount.giveUp());
  return async () => {
    await mount.giveUp();
    await mount.unmount();
  };
}
