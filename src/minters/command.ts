import type { Clock, Credential, Minter, MintOptions } from '../credential/ports.ts';
import type { Secret } from '../credential/secret.ts';
import type { DatabricksCli } from './cli.ts';

/** What to mint for. Lakebase Autoscaling has endpoints, Lakebase Provisioned has instances and no ttl. */
export interface MintRequest {
  readonly resource: { readonly kind: 'endpoint' | 'instance'; readonly name: string };
  readonly ttlMs: number | undefined;
}

/** Mints by running the Databricks CLI once. */
export class CommandMinter implements Minter {
  readonly #cli: Pick<DatabricksCli, 'command' | 'run'>;
  readonly #request: MintRequest;
  readonly #clock: Clock;
  /** The last token, to be redacted from what a later run prints, even if it was never used. */
  #minted: Secret | undefined;

  constructor(cli: Pick<DatabricksCli, 'command' | 'run'>, request: MintRequest, clock: Clock) {
    this.#cli = cli;
    this.#request = request;
    this.#clock = clock;
  }

  async mint({ held, ...options }: MintOptions): Promise<Credential> {
    const issuedAt = this.#clock.now();
    const monotonicAt = this.#clock.monotonic();
    // What reads the outcome is loaded while the command runs.
    const [result, { readOutcome }] = await Promise.all([
      this.#cli.run(mintArguments(this.#request), options),
      import('./outcome.ts'),
    ]);
    const credential = readOutcome(result, {
      command: this.#cli.command,
      timeoutMs: options.timeoutMs,
      tokens: [this.#minted, held].filter((token) => token !== undefined),
      issuedAt,
      monotonicAt,
      ttlMs: this.#request.ttlMs,
    });
    this.#minted = credential.token;
    return credential;
  }
}

function mintArguments({ resource: { kind, name }, ttlMs }: MintRequest): string[] {
  if (kind === 'instance') {
    const body = JSON.stringify({ instance_names: [name] });
    return ['database', 'generate-database-credential', '--json', body, '-o', 'json'];
  }
  // The CLI takes seconds only: it refuses `15m`.
  const ttl = ttlMs === undefined ? [] : ['--ttl', `${ttlMs / 1_000}s`];
  return ['postgres', 'generate-database-credential', name, '-o', 'json', ...ttl];
}
