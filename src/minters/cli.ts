import type { Auth } from '../credential/auth.ts';
import type { Cancellable, Clock } from '../credential/ports.ts';
import type { Secret } from '../credential/secret.ts';
import type { PrivateHomes } from './homes.ts';
import { readOidcToken, readSecret, requireProfiles } from './identity-files.ts';
import { type CommandResult, runCommand } from './process.ts';

export interface CliOptions {
  /** A program on the PATH of `childEnvironment`, or an absolute path. */
  readonly command: string;
  readonly auth: Auth;
  /** Variables of this process that the CLI may see as they are: `PATH`, proxies, certificates. */
  readonly childEnvironment: Readonly<Record<string, string>>;
  readonly homes: PrivateHomes;
  readonly clock: Clock;
}

export interface CliRun extends Cancellable {
  readonly slot: number;
  readonly timeoutMs: number;
}

export interface CliResult extends CommandResult {
  /** The secrets that this run was started with, to be redacted from what it printed; the next run may have others. */
  readonly secrets: readonly Secret[];
}

/** What proves who we are. */
interface Proof extends Pick<CliResult, 'secrets'> {
  readonly variables: Readonly<Record<string, string>>;
}

/** The Databricks CLI, as one identity. It sees the variables it needs and no others. */
export class DatabricksCli {
  readonly #options: CliOptions;

  constructor(options: CliOptions) {
    this.#options = options;
  }

  get command(): string {
    return this.#options.command;
  }

  async run(args: readonly string[], { slot, timeoutMs, signal }: CliRun): Promise<CliResult> {
    const { auth, clock, command, homes, childEnvironment } = this.#options;
    const { variables, secrets } = proofOf(auth);
    const env = { ...childEnvironment, ...homes.variables(slot), ...identityVariables(auth), ...variables };
    return { ...(await runCommand({ file: command, args, env }, { signal, timeoutMs, clock })), secrets };
  }
}

/** For one run: what stands in a file may be rotated before the next. */
function proofOf(auth: Auth): Proof {
  switch (auth.kind) {
    case 'file-oidc':
      return {
        variables: {
          DATABRICKS_OIDC_TOKEN_FILEPATH: auth.tokenFile,
        },
        secrets: readOidcToken(auth.tokenFile),
      };
    case 'oauth-m2m': {
      const secret = 'value' in auth.secret ? auth.secret.value : readSecret(auth.secret.file);
      return { variables: { DATABRICKS_CLIENT_SECRET: secret.reveal() }, secrets: [secret] };
    }
    case 'profile':
      requireProfiles(auth.configFile);
      return {
        variables: {
          DATABRICKS_CONFIG_FILE: auth.configFile,
          DATABRICKS_CONFIG_PROFILE: auth.profile,
        },
        secrets: [],
      };
    case 'pat':
      return { variables: { DATABRICKS_TOKEN: auth.token.reveal() }, secrets: [auth.token] };
    default:
      return auth satisfies never;
  }
}

/** Who we are, and where, but for the proof. */
function identityVariables(auth: Auth): Record<string, string> {
  const { host, workspaceId } = auth;
  return {
    ...(host !== undefined && { DATABRICKS_HOST: host }),
    // Not behind the host, where older CLIs leave it out.
    ...(workspaceId !== undefined && { DATABRICKS_WORKSPACE_ID: workspaceId }),
    // Without it the CLI hides the real error, and refuses file-oidc; a profile may have its own.
    ...(auth.kind !== 'profile' && { DATABRICKS_AUTH_TYPE: auth.kind }),
    ...('clientId' in auth && { DATABRICKS_CLIENT_ID: auth.clientId }),
  };
}
