import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PoolConfig } from 'pg';
import { stringify } from 'yaml';
import type { Cancellable } from '../src/credential/ports.ts';
import { systemClock as clock } from '../src/platform/clock.ts';
import { type Lakebase, startLakebase } from '../test/support/lakebase.ts';
import { type Postgres, startPostgres } from '../test/support/postgres.ts';
import { startWorkspace, type Workspace } from '../test/support/workspace.ts';
import { type ChosenCli, chooseCli } from './choose-cli.ts';
import { type LogLine, Sidecar } from './sidecar.ts';

export const DATABASE = 'databricks_postgres';
const REMOVAL_PASSES = 20;
const SHORTEST_LIFETIME_MS = 8_000;
const LONGEST_LIFETIME_MS = 15_000;
/** A machine on which the CLI starts slowly gets tokens that live longer: the story has to be the same. */
const STARTS_IN_A_LIFETIME = 8;

export interface Props {
  readonly cli: ChosenCli;
  readonly workspace: Workspace;
  readonly lakebase: Lakebase;
  readonly sidecar: Sidecar;
  readonly connection: PoolConfig;
  readonly tokenLifetimeMs: number;
}

/** What stands in for the outside world, and the sidecar in the middle of it; all of it can be taken away again. */
export class Stage {
  readonly directory: string;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'lakebase-'));
    chmodSync(this.directory, 0o755); // a PostgreSQL that root starts runs as somebody else, who has to get through
    // Whatever anybody leaves behind, it is in there.
    process.env['TMPDIR'] = this.directory;
    this.#removeAtExit();
  }

  get pgpass(): string {
    return join(this.directory, 'run/pgpass');
  }

  get token(): string {
    return join(this.directory, 'run/token');
  }

  get certificate(): string {
    return join(this.directory, 'ca.pem');
  }

  async set(onLine: (line: LogLine) => void, { signal }: Cancellable): Promise<Props> {
    const [cli, workspace, postgres] = await this.#startOutside({ signal });
    const tokenLifetimeMs = Math.round(
      Math.min(Math.max(SHORTEST_LIFETIME_MS, STARTS_IN_A_LIFETIME * cli.startMs), LONGEST_LIFETIME_MS),
    );
    workspace.tokenLifetimeMs = tokenLifetimeMs;
    const lakebase = await startLakebase({ jwks: workspace.jwks, socketPath: postgres.socketPath });
    this.#closers.push(() => lakebase.close());
    await postgres.ensureRole(workspace.clientId);
    await postgres.ensureDatabase(DATABASE);
    await writeFile(this.certificate, lakebase.caCertificate);
    signal.throwIfAborted();
    const sidecar = new Sidecar({
      configFile: await this.#writeConfig(cli, lakebase),
      env: await this.#identity(workspace),
      clock,
      onLine,
    });
    this.#closers.push(() => sidecar.stop());
    this.#removeAtExit();
    const { host, port, caCertificate: ca } = lakebase;
    const connection = { host, port, user: workspace.clientId, database: DATABASE, ssl: { ca } };
    return { cli, workspace, lakebase, sidecar, connection, tokenLifetimeMs };
  }

  /** In the opposite order, and also what was set halfway. */
  async strike(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
    this.#remove();
    process.off('exit', this.#remove);
  }

  /** After the handlers that stop the processes, which would write there again. */
  #removeAtExit(): void {
    process.off('exit', this.#remove);
    process.once('exit', this.#remove);
  }

  readonly #remove = (): void => {
    // Where a process that is still ending deletes something at the same time, one pass stops halfway without a word.
    for (let pass = 0; pass < REMOVAL_PASSES && existsSync(this.directory); pass += 1) {
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
    }
  };

  async #startOutside({ signal }: Cancellable): Promise<[ChosenCli, Workspace, Postgres]> {
    const starting = [chooseCli(process.env['PATH'] ?? '', { signal }), startWorkspace(), startPostgres()] as const;
    const [, workspace, postgres] = await Promise.allSettled(starting);
    for (const started of [postgres, workspace]) {
      if (started.status === 'fulfilled') this.#closers.push(() => started.value.close());
    }
    signal.throwIfAborted();
    return await Promise.all(starting);
  }

  async #writeConfig(cli: ChosenCli, { host, port }: Lakebase): Promise<string> {
    const file = join(this.directory, 'config.yaml');
    const config = {
      credentials: [
        {
          name: 'backstage',
          endpoint: 'projects/backstage/branches/production/endpoints/primary',
          connection: { host, port, database: DATABASE },
          sinks: [{ file: { path: this.pgpass, format: 'pgpass' } }, { file: { path: this.token, format: 'token' } }],
        },
      ],
      minter: { cli: { command: cli.command } },
      // An hour leaves twenty minutes for retries; seconds need a greater share.
      refresh: { at: 0.5, floor: '1s' },
      http: { host: '127.0.0.1', port: 0 },
    };
    await writeFile(file, stringify(config));
    return file;
  }

  /** Workload identity, as a pod has it: there is no secret to store. */
  async #identity(workspace: Workspace): Promise<Record<string, string>> {
    const tokenFile = join(this.directory, 'service-account-token');
    await writeFile(tokenFile, await workspace.serviceAccountToken({ lifetimeMs: 86_400_000 }), { mode: 0o600 });
    return {
      PATH: process.env['PATH'] ?? '',
      TMPDIR: this.directory,
      DATABRICKS_HOST: workspace.url,
      DATABRICKS_CLIENT_ID: workspace.clientId,
      DATABRICKS_OIDC_TOKEN_FILEPATH: tokenFile,
    };
  }
}
