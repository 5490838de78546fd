import { childrenOf } from '../test/support/proc.ts';
import { TELLS_VERSION } from '../test/support/clis.ts';
import type { Fault } from '../test/support/workspace-faults.ts';
import { choose } from '../test/support/random.ts';
import type { FaultName } from './catalogue.ts';
import { brokenText, configText } from './configuration.ts';
import { ON_DISK } from './inflict-files.ts';
import { ON_SECRET } from './inflict-secret.ts';
import { type Inflict, nothing, type Undo } from './inflicting.ts';
import type { Stage } from './stage.ts';

const FARTHEST_SECONDS = 1_200;
const NEAREST_SECONDS = 60;
const KILL_EVERY_MS = 40;
const UPGRADED = '1.14.0';

/** With one of these. */
function answering(...faults: readonly Fault[]): Inflict {
  return ({ stage }, { pick }) => {
    stage.workspace.fail('any', choose(faults, pick));
    return async () => await stage.workspace.recover();
  };
}

function withCli(script: (stage: Stage) => readonly string[]): Inflict {
  return ({ stage }) => {
    stage.installCli([TELLS_VERSION, ...script(stage)]);
    return () => stage.installCli([stage.standInCli()]);
  };
}

/** A token with so little life that it is worth nothing to whoever holds a better one. */
const nearlyDead: Fault = async ({ answer, expiryField, claims, sign }) => {
  const exp = claims.iat! + 3;
  return { ...answer, token: await sign({ ...claims, exp }), [expiryField]: new Date(exp * 1_000).toISOString() };
};

/** Makes a fault; what it returns ends it. */
export const INFLICT: Readonly<Record<FaultName, Inflict>> = {
  'the workspace hangs': answering('hang'),
  'the workspace resets connections': answering('reset', 'close'),
  'the workspace throttles': answering({ status: 429, headers: { 'retry-after': '1' } }),
  'the workspace answers 5xx': answering(...[500, 502, 503, 504].map((status) => ({ status }))),
  'the workspace is away': async ({ stage }) => {
    await stage.workspace.outage();
    return async () => await stage.workspace.recover();
  },
  'the workspace is slow': ({ stage }, { pick }) => {
    stage.workspace.latencyMs = 200 + pick * 1_500;
    return () => {
      stage.workspace.latencyMs = 0;
    };
  },
  'the workspace gives nearly dead tokens': answering(nearlyDead),
  'the workspace answers wrong JSON': answering(
    'broken-json',
    'html',
    'truncated',
    'empty-object',
    'no-token',
    'spaced-token',
  ),

  'the CLI is slow': ({ stage }, { pick }) => {
    stage.installCli([stage.standInCli({ startDelayMs: Math.round(1_000 + pick * 3_000) })]);
    return () => stage.installCli([stage.standInCli()]);
  },
  // One process, as the real one is.
  'the CLI hangs and ignores SIGTERM': withCli(() => [`trap '' TERM`, 'exec sleep 60']),
  'the CLI prints a token and fails': withCli(({ strayToken }) => [
    `echo "Error: cannot use ${strayToken} here" >&2`,
    `printf '{"token": "${strayToken}"'`,
    'exit 1',
  ]),
  'the CLI is upgraded': ({ stage }, { pick }) => {
    // What a package manager may do in the worst case: away, or half there and not executable, then new.
    if (pick < 0.5) stage.removeCli();
    else stage.installCli(['echo half >&2', 'exit 126'], 0o644);
    return () => stage.installCli([stage.standInCli({ version: UPGRADED })]);
  },
  'the CLI is killed': ({ sidecar }) => {
    const kill = (pid: number): void => {
      for (const child of childrenOf(pid)) {
        kill(child);
        process.kill(child, 'SIGKILL');
      }
    };
    const timer = setInterval(() => {
      try {
        if (sidecar.pid !== undefined) kill(sidecar.pid);
      } catch {
        // It ended by itself a moment ago.
      }
    }, KILL_EVERY_MS);
    return () => clearInterval(timer);
  },

  'the sidecar is killed': ({ sidecar }) => {
    sidecar.kill();
    return nothing;
  },
  'the sidecar is stopped': async ({ sidecar }) => {
    await sidecar.stop();
    return nothing;
  },
  'the sidecar is suspended': ({ sidecar }) => {
    sidecar.signal('SIGSTOP');
    return () => sidecar.signal('SIGCONT');
  },
  'the clock is set forward': ({ setOffset }, { pick }) => stepClock(setOffset, pick),
  'the clock is set back': ({ setOffset }, { pick }) => stepClock(setOffset, -pick),

  ...ON_DISK,
  ...ON_SECRET,

  'the configuration is changed': ({ stage }, { pick }) => {
    stage.writeConfig(configText(stage, pick), pick);
    return () => stage.writeConfig(configText(stage), 1 - pick);
  },
  'the configuration is broken': ({ stage }, { pick }) => {
    stage.writeConfig(brokenText(pick), pick);
    return () => stage.writeConfig(configText(stage), 1 - pick);
  },
  'the client secret is rotated': ({ stage }) => {
    const secret = stage.workspace.rotateClientSecret();
    stage.workspace.revokeAccessTokens();
    return () => stage.setClientSecret(secret);
  },
  'DNS is gone': ({ stage }) => {
    stage.resolve(false);
    return () => stage.resolve(true);
  },
  'PostgreSQL restarts': async ({ stage }) => {
    stage.lakebase.disconnectAll();
    await stage.postgres.stop();
    return async () => await stage.postgres.start();
  },
};

/** Against the true time, so that steps never add up. */
function stepClock(setOffset: (seconds: number) => void, way: number): Undo {
  const seconds = Math.sign(way) * NEAREST_SECONDS + way * (FARTHEST_SECONDS - NEAREST_SECONDS);
  setOffset(Math.round(seconds));
  return nothing;
}
