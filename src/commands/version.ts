import { version } from '../version.ts';
import type { Config } from '../config/load.ts';
import { AppError, ConfigError } from '../credential/errors.ts';
import type { Cancellable } from '../credential/ports.ts';
import { readCliVersion } from '../minters/version.ts';
import { systemClock } from '../platform/clock.ts';

export interface VersionOptions extends Cancellable {
  readonly load: () => Promise<Config>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: NodeJS.WritableStream;
}

/** Needs no configuration, but looks for the CLI where one says it is. */
export async function printVersions({ load, env, stdout, signal }: VersionOptions): Promise<void> {
  const config = await load().catch((error: unknown) => {
    if (error instanceof ConfigError) return undefined;
    throw error;
  });
  const command = config?.minter.cli.command ?? 'databricks';
  const childEnvironment = config?.childEnvironment ?? { PATH: env['PATH'] ?? '' };
  const cli = await readCliVersion({ command, childEnvironment, clock: systemClock }, { signal }).catch(
    (error: unknown) => {
      if (error instanceof AppError) return error.message;
      throw error;
    },
  );
  stdout.write(`lakebase-credential-sidecar ${version}\nnode ${process.versions.node}\ndatabricks ${cli}\n`);
}
