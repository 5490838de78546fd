import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startServer } from '../../test/support/logins.ts';
import { undoAfter } from '../../test/support/cleanup.ts';
import { eventually } from '../../test/support/eventually.ts';
import { startWorkspace, type Workspace } from '../../test/support/workspace.ts';
import { requireLoopback } from '../loopback.ts';
import type { Scene } from '../scene.ts';
import { say } from '../table.ts';
import { CONTESTANTS, endpointOf, LIFETIME_MS, SCALE, type Contestant } from './contestants.ts';
import { type Findings, Observer } from './observer.ts';

/** Of each, started one after the other within a lifetime: whose turn an outage meets is then no matter of luck. */
const COPIES = 4;
/** In lifetimes, from the moment when all have started. */
const OUTAGES = [
  { at: 0.5, for: 0.15 },
  { at: 1.75, for: 0.3 },
];
const END = 3.2;

interface Race {
  readonly contestant: Contestant;
  readonly observers: Observer[];
}

/** The cron that people use today against this: same workspace, same outages, same logins; all of it real processes. */
export async function measureHeadToHead(scene: Scene): Promise<void> {
  const workspace = await startWorkspace({ tokenLifetimeMs: LIFETIME_MS });
  undoAfter(scene, async () => await workspace.close());
  requireLoopback('the workspace', workspace.url);
  const server = await startServer(scene, workspace);
  const stop = new AbortController();
  undoAfter(scene, () => stop.abort());
  const { signal } = stop;
  const races = CONTESTANTS.map((contestant): Race => ({ contestant, observers: [] }));
  const observing: Promise<void>[] = [];
  for (let copy = 0; copy < COPIES; copy += 1) {
    const begun = races.map(async ({ contestant, observers }) => {
      const directory = join(await scene.folder(), 'shared');
      await mkdir(directory);
      await contestant.start(scene, {
        endpoint: endpointOf(contestant, copy),
        directory,
        identity: {
          DATABRICKS_HOST: workspace.url,
          DATABRICKS_CLIENT_ID: workspace.clientId,
          DATABRICKS_CLIENT_SECRET: workspace.clientSecret,
        },
        signal,
      });
      const observer = new Observer({ directory, user: workspace.clientId });
      await eventually('the first token', () => observer.hasStarted, { withinMs: 2 * LIFETIME_MS });
      observing.push(observer.run(server, signal));
      observers.push(observer);
    });
    await Promise.all([...begun, delay(LIFETIME_MS / COPIES)]);
  }
  await sendWeather(workspace);
  stop.abort();
  await Promise.all(observing);
  report(scene, workspace, races);
}

async function sendWeather(workspace: Workspace): Promise<void> {
  let now = 0;
  for (const outage of OUTAGES) {
    await delay((outage.at - now) * LIFETIME_MS);
    say(`  outage of ${outage.for} of a lifetime`);
    workspace.fail('credential', { status: 503 });
    await delay(outage.for * LIFETIME_MS);
    await workspace.recover();
    now = outage.at + outage.for;
  }
  await delay((END - now) * LIFETIME_MS);
}

function report(scene: Scene, workspace: Workspace, races: readonly Race[]): void {
  const results = races.map(({ contestant, observers }) => ({
    contestant,
    findings: observers.map(({ findings }) => findings).reduce(add),
    requests: workspace.requests.filter(({ body }) => body.includes(`endpoints/${contestant.name}-`)).length,
  }));
  scene.report.table(
    `${COPIES} of each side by side, tokens of ${LIFETIME_MS / 1_000} s (${SCALE} times faster than in production), ${END + 1} lifetimes with outages of ${OUTAGES.map((outage) => outage.for).join(' and ')} of one`,
    ['', 'failed logins', 'torn reads', 'without a valid token', 'requests for a token'],
    results.map(({ contestant: { title }, findings, requests }) => [
      title,
      `${findings.failedLogins} of ${findings.logins + findings.failedLogins}`,
      String(findings.tornReads),
      `${(findings.withoutMs / 1_000).toFixed(1)} s`,
      String(requests),
    ]),
  );
  scene.report.note(
    'Both scripts are careful: they touch the file only when they have a token. The file of each copy is read a thousand times a second, and used for about one login a second. After a 503, the CLI by itself retries for five minutes; here, the CLI of a script is killed after the scaled equivalent of five minutes. The pauses between retries of the CLI are not scaled, nor are the shortest pauses and deadlines of the sidecar.',
  );
  const share = ({ findings: { failedLogins, logins } }: { readonly findings: Findings }): string =>
    `${failedLogins} of ${failedLogins + logins}`;
  const [ours, inPlace] = results;
  if (ours !== undefined && inPlace !== undefined) {
    scene.report.quote(
      `failed logins in two outages of the workspace, of ${OUTAGES.map((outage) => outage.for).join(' and ')} of the lifetime`,
      `${share(ours)}; cron script: ${share(inPlace)}`,
    );
  }
}

function add(a: Findings, b: Findings): Findings {
  return {
    logins: a.logins + b.logins,
    failedLogins: a.failedLogins + b.failedLogins,
    tornReads: a.tornReads + b.tornReads,
    withoutMs: a.withoutMs + b.withoutMs,
  };
}
