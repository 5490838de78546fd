import { close, constants, fstat, open, read } from './files.ts';

/**
 * The text of a regular file of at most `limit` bytes; undefined for anything else that exists.
 * Follows no symbolic link and never waits for the other end of a pipe.
 */
export async function readRegularFile(path: string, limit: number): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await fstat(file);
    if (!stats.isFile() || stats.size > limit) return undefined;
    // One byte more than it has, so that a file that grows meanwhile is noticed as well, and its end needs no read of its own.
    const buffer = Buffer.alloc(stats.size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await read(file, buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length >= stats.size) break;
    }
    return length > stats.size ? undefined : buffer.toString('utf8', 0, length);
  } finally {
    await close(file);
  }
}
