import { ExecaError } from 'execa';

/** Something that the person who asked for a cluster can do something about. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
}

/** Runs a command of the command line: what went wrong is told in a few lines, a bug with where it happened. */
export async function runMain(main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    const isUsage = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') ?? false;
    if (!isUsage && !(error instanceof ClusterError) && !(error instanceof ExecaError)) throw error;
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = isUsage ? 64 : 1;
  }
}
