import type { Random } from '../../src/credential/schedule.ts';
import { CLI_PATIENCE_MS, LIFETIME_MS } from './workspace.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** When others ask for the next token, as far as they say so in public. */
export interface Policy {
  readonly title: string;
  readonly rule: string;
  readonly source: string;
  /** After a new token was there. */
  readonly refreshMs: (random: Random) => number;
  /** After so many failures in a row. */
  readonly retryMs: (failures: number, random: Random) => number;
  /** How long one attempt may take. */
  readonly timeoutMs: number;
}

const CRON_MS = 50 * MINUTE_MS;

const VAULT_TRIES = 12;

/** The agent ends after its last try, as it does by default when it was injected, and Kubernetes starts it again, later each time. */
function vaultRetryMs(failures: number): number {
  const tries = failures % VAULT_TRIES;
  if (tries > 0) return Math.min(MINUTE_MS, 250 * 2 ** (tries - 1));
  return Math.min(5 * MINUTE_MS, 10 * SECOND_MS * 2 ** (failures / VAULT_TRIES - 1));
}

export const POLICIES: readonly Policy[] = [
  {
    title: 'cron, every 50 minutes',
    rule: 'every 50 minutes from its start; apart from the five minutes of retries by the CLI, a failure waits for the next run',
    source:
      '“a lightweight cron script that rewrote the `DATABRICKS_TOKEN` in our `.env` file every 50 minutes”, [Backstage with Lakebase](https://www.databricks.com/blog/backstage-lakebase), 2026-04-30',
    refreshMs: () => CRON_MS - SECOND_MS,
    retryMs: () => CRON_MS - CLI_PATIENCE_MS,
    timeoutMs: CLI_PATIENCE_MS,
  },
  {
    title: "cert-manager's csi-lib",
    rule: 'at ⅔ of the lifetime; after a failure, waits 30 s, doubled up to 5 minutes, plus up to half of it at random; 60 s per attempt',
    source: '`manager/manager.go` of [cert-manager/csi-lib](https://github.com/cert-manager/csi-lib)',
    refreshMs: () => (LIFETIME_MS * 2) / 3,
    retryMs: (failures, random) => Math.min(5 * MINUTE_MS, 30 * SECOND_MS * 2 ** (failures - 1)) * (1 + random() / 2),
    timeoutMs: MINUTE_MS,
  },
  {
    title: 'Vault Agent',
    rule: 'a secret that cannot be renewed is replaced at 0.85 to 0.95 of its lifetime; 12 tries with pauses from 250 ms, doubled up to a minute, then the agent exits and is restarted; 60 s per attempt',
    source:
      '[retry and lifetime of Vault Agent’s templates](https://developer.hashicorp.com/vault/docs/agent-and-proxy/agent/template), `dependency/vault_common.go` of [hashicorp/consul-template](https://github.com/hashicorp/consul-template) at 1deacb7',
    refreshMs: (random) => (0.85 + random() / 10) * LIFETIME_MS,
    retryMs: vaultRetryMs,
    timeoutMs: MINUTE_MS,
  },
  {
    title: 'spiffe-helper',
    rule: 'at half of the remaining lifetime plus a second; after a failure, waits 1 s, doubled up to a minute, for ever; no deadline of its own',
    source: '`pkg/sidecar/sidecar.go` of [spiffe/spiffe-helper](https://github.com/spiffe/spiffe-helper) at 06cfd7e',
    refreshMs: () => LIFETIME_MS / 2 + SECOND_MS,
    retryMs: (failures) => Math.min(MINUTE_MS, SECOND_MS * 2 ** (failures - 1)),
    timeoutMs: CLI_PATIENCE_MS,
  },
];
