import { watch } from 'node:fs';
import type { Cli } from '../test/support/clis.ts';
import { NOBODY, NODE, RESOURCE, type Running, type Scene } from './scene.ts';
import { median, ms, ratio, type Extent } from './table.ts';

const AIM = 1.25;
const ENDPOINT = `${RESOURCE}primary`;
const LIFETIME_SECONDS = 3_600;

interface Contestant {
  readonly title: string;
  readonly cli: Cli;
  readonly identity: Readonly<Record<string, string>>;
}

/** How long until the first credential can be read in a pod that the chart made, against what cannot be avoided: Node's own start, and one run of the CLI. */
export async function measureStart(scene: Scene, { repetitions }: Extent): Promise<void> {
  const script = await scene.script(`printf '%s' '${preparedAnswer()}'`);
  const contestants: Contestant[] = [
    {
      title: `with ${scene.cli.name}`,
      cli: scene.cli,
      identity: await scene.startWorkspace(LIFETIME_SECONDS),
    },
    {
      title: 'with a CLI that costs nothing (a shell script that prints a prepared answer)',
      cli: script,
      identity: NOBODY,
    },
  ];
  for (const contestant of contestants) await compare(scene, contestant, repetitions);
}

async function compare(scene: Scene, { title, cli, identity }: Contestant, repetitions: number): Promise<void> {
  const node: number[] = [];
  const runs: number[] = [];
  const first: number[] = [];
  const answering: number[] = [];
  const firstByFile: number[] = [];
  for (let i = 0; i < repetitions; i += 1) {
    node.push(await scene.time(NODE, ['-e', '0'], {}));
    runs.push(await timeCli(scene, cli, identity));
    const { firstMs, answersMs } = await timeFirst(
      scene,
      async (directory) => await scene.startInjected(identity, directory, cli),
    );
    first.push(firstMs);
    answering.push(answersMs);
    const byFile = await timeFirst(
      scene,
      async (directory) => await scene.startSidecar(identity, configuration(directory, cli)),
    );
    firstByFile.push(byFile.firstMs);
  }
  const floor = median(node) + median(runs);
  scene.report.quote(
    `first credential readable, ${title}`,
    `${ms(median(first))}, ${ratio(median(first) / floor)} bare Node and one run of the CLI`,
  );
  scene.report.table(
    `first credential ${title}: medians of ${repetitions}, runs interleaved`,
    ['', 'time', 'to Node + CLI'],
    [
      ['bare Node, start to exit', ms(median(node)), ''],
      ['one run of the CLI', ms(median(runs)), ''],
      ['both, one after the other', ms(floor), ratio(1)],
      ['sidecar started to first credential readable', ms(median(first)), ratio(median(first) / floor, AIM)],
      ['sidecar started to probes answered', ms(median(answering)), ratio(median(answering) / floor)],
      [
        'with a configuration file, to first credential readable',
        ms(median(firstByFile)),
        ratio(median(firstByFile) / floor),
      ],
    ],
  );
}

/** As the sidecar runs it: with a home of its own that is still empty. */
async function timeCli(scene: Scene, { path }: Cli, identity: Contestant['identity']): Promise<number> {
  const home = await scene.volume();
  const env = { PATH: process.env['PATH'], HOME: home, DATABRICKS_CACHE_DIR: home, DATABRICKS_AUTH_TYPE: 'oauth-m2m' };
  const args = ['postgres', 'generate-database-credential', ENDPOINT, '-o', 'json'];
  return await scene.time(path, args, { ...env, ...identity });
}

async function timeFirst(
  scene: Scene,
  start: (directory: string) => Promise<Running>,
): Promise<{ readonly firstMs: number; readonly answersMs: number }> {
  const directory = await scene.volume();
  const { promise: visible, resolve } = Promise.withResolvers<number>();
  const watcher = watch(directory, (_event, changed) => {
    if (changed === 'pgpass') resolve(performance.now());
  });
  const sidecar = await start(directory);
  const answering = sidecar.port.then(() => performance.now());
  try {
    const [firstAt, answersAt] = await Promise.all([visible, answering]);
    return { firstMs: firstAt - sidecar.startedAt, answersMs: answersAt - sidecar.startedAt };
  } finally {
    watcher.close();
    await scene.stop(sidecar.child);
  }
}

function configuration(directory: string, { path: command }: Cli): object {
  const sinks = [{ file: { path: `${directory}/pgpass`, format: 'pgpass' } }];
  const connection = { host: 'localhost', database: 'app' };
  return {
    credentials: [{ name: 'primary', endpoint: ENDPOINT, connection, sinks }],
    minter: { cli: { command } },
  };
}

function preparedAnswer(): string {
  const expiresAt = new Date(Date.now() + LIFETIME_SECONDS * 1_000).toISOString();
  return JSON.stringify({ token: 'token-of-nobody', expire_time: expiresAt });
}
