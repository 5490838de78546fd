import { loadConfig } from '../../src/config/load.ts';
import { MintError } from '../../src/credential/errors.ts';
import { Keeper } from '../../src/credential/keeper.ts';
import type { Credential, Minter, Observer } from '../../src/credential/ports.ts';
import type { Random } from '../../src/credential/schedule.ts';
import { Secret } from '../../src/credential/secret.ts';
import { Slots } from '../../src/credential/slots.ts';
import type { Policy } from './policies.ts';
import { SimulatedTicker, type SimulatedTime } from './time.ts';
import { LIFETIME_MS, type SimulatedWorkspace } from './workspace.ts';

export interface World {
  readonly time: SimulatedTime;
  readonly workspace: SimulatedWorkspace;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Told of each attempt of a sidecar. */
export interface Witness {
  minted(issuedAt: number): void;
  failed(): void;
}

/** Lets one sidecar live from now on. */
export type Start = (witness: Witness) => void;

export function followPolicy(policy: Policy, { time, workspace, random, signal }: World): Start {
  const live = async (witness: Witness): Promise<never> => {
    let failures = 0;
    for (;;) {
      const startedAt = time.now();
      if (await workspace.runCli(policy.timeoutMs)) {
        failures = 0;
        witness.minted(startedAt);
        await time.sleep(policy.refreshMs(random), { signal });
      } else {
        failures += 1;
        witness.failed();
        await time.sleep(policy.retryMs(failures, random), { signal });
      }
    }
  };
  return (witness) => void live(witness).catch(ignoreEnd(signal));
}

/** The sidecar's own keeper, with the defaults of its configuration, and without files to write. */
export async function keepCredentials({ time, workspace, random, signal }: World): Promise<Start> {
  const { refresh, backoff, minter } = await loadConfig({ env: IDENTITY });
  const ticker = new SimulatedTicker(time);
  return (witness) => {
    const keeper = new Keeper({
      name: 'simulated',
      resource: 'simulated',
      ttlMs: undefined,
      timeoutMs: minter.cli.timeout,
      refresh: { at: refresh.at, jitter: refresh.jitter, floorMs: refresh.floor },
      backoff: { initialMs: backoff.initial, maxMs: backoff.max },
      minter: minterOf(time, workspace),
      sinks: [],
      slots: new Slots(1),
      ticker,
      random,
      observer: {
        ...SILENT,
        minted: (_name, { local }) => witness.minted(local.issuedAt),
        mintFailed: () => witness.failed(),
      },
      adopts: false,
    });
    // A signal of its own: who listens to one looks through all others that do, of which there would be ten thousand.
    keeper.run({ signal: AbortSignal.any([signal]) }).catch(ignoreEnd(signal));
  };
}

/** As little as makes a whole configuration: everything else is a default. */
const IDENTITY = {
  LAKEBASE_ENDPOINT: 'projects/simulated/branches/production/endpoints/primary',
  PGHOST: 'localhost',
  DATABRICKS_HOST: 'https://workspace.invalid',
  DATABRICKS_CLIENT_ID: 'simulated',
  DATABRICKS_CLIENT_SECRET: 'simulated',
};

const TOKEN = new Secret('simulated');

function minterOf(time: SimulatedTime, workspace: SimulatedWorkspace): Minter {
  return {
    async mint({ timeoutMs }): Promise<Credential> {
      const issuedAt = time.now();
      if (!(await workspace.runCli(timeoutMs))) throw new MintError('timeout', 'the command did not finish');
      const lifespan = { issuedAt, expiresAt: issuedAt + LIFETIME_MS };
      return { token: TOKEN, local: lifespan, service: lifespan, fingerprint: `${issuedAt}`, monotonicAt: issuedAt };
    },
  };
}

const nothing = (): void => {};
const SILENT: Observer = {
  mintStarted: nothing,
  minted: nothing,
  mintFailed: nothing,
  adopted: nothing,
  expired: nothing,
  sinkWritten: nothing,
  sinkFailed: nothing,
  sinkRepairsLimited: nothing,
  sinkWatchChanged: nothing,
  sinkHangs: nothing,
  eventsRefused: nothing,
  clockJumped: nothing,
};

/** When the simulation is over everything is stopped; anything else is a bug. */
function ignoreEnd(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error;
  };
}
