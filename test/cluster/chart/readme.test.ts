import assert from 'node:assert/strict';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe } from 'node:test';
import { execa } from 'execa';
import { temporaryDirectory, undoAfter } from '../../support/cleanup.ts';
import { eventually } from '../../support/eventually.ts';
import { whyNoTrustedPods } from '../cluster.ts';
import { whyNoHelm } from '../programs.ts';
import { BACKSTAGE_START_MS, BackstagePod, SELECTOR } from '../support/pods-backstage.ts';
import { CLIENT_ID, LAKEBASE_HOST } from '../support/pods-service.ts';
import { setStage, type Stage } from '../support/pods-stage.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { applyBackstage } from './backstage.ts';
import { HelmClient } from './helm.ts';
import { ENDPOINT, imageOf, injectAlone } from './release.ts';

const root = join(import.meta.dirname, '../../..');
const ROTATIONS = 3;
/** Of the Backstage for tests; each tries to log in at its start. */
const PLUGINS = 2;
/** Renewed after 10 to 16 s. */
const LIFETIME_MS = 24_000;

const skip = (await whyNoTrustedPods()) ?? (await whyNoHelm());
const [settings = '', install = '', label = '', watch = ''] = await blocksOf('### Install with Helm');

describe('the commands of the README, as they stand', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let stage: Stage;
  let backstage: BackstagePod;
  let env: Readonly<Record<string, string>>;

  before(async () => {
    await injectAlone(shared);
    stage = await setStage(shared, {
      name: 'backstage',
      hasExactName: true,
      app: 'backstage',
      trusted: 'backstage',
      tokenLifetimeMs: LIFETIME_MS,
      isSecure: true,
    });
    const { cluster, service } = stage;
    const helm = await HelmClient.of(shared, cluster.kubeconfig);
    const programs = await temporaryDirectory(shared);
    await symlink(helm.programs['helm4']!, join(programs, 'helm'));
    await symlink(cluster.kubectlPath, join(programs, 'kubectl'));
    const { repository } = imageOf(stage);
    const ofReader = {
      IMAGE: repository,
      DATABRICKS_HOST: service.workspace.url,
      DATABRICKS_CLIENT_ID: CLIENT_ID,
      LAKEBASE_ENDPOINT: ENDPOINT,
      PGHOST: LAKEBASE_HOST,
    };
    const names = [...settings.matchAll(/(\w+)=/g)].map(([, name]) => name);
    assert.deepEqual(names, Object.keys(ofReader), 'what the reader sets');
    env = { ...helm.env, ...ofReader, PATH: `${programs}:${process.env['PATH']}` };
  });

  chapter('install the chart, whose notes say what to do next', {}, async (t) => {
    undoAfter(shared, () => stage.cluster.kubectl(['delete', 'namespace', 'lakebase']));
    undoAfter(shared, () => run('helm uninstall lakebase --namespace lakebase'));
    const notes = await run(install);
    assert.match(notes, /lakebase-credential-sidecar\/inject: "true"/);
    t.diagnostic(notes);
  });

  chapter('give a Backstage, which has no password, its sidecar by one label', {}, async (t) => {
    const { namespace } = stage;
    await applyBackstage(shared, stage);
    const before = await namespace.running(SELECTOR, 'backstage');
    assert.equal(before.status.initContainerStatuses, undefined);
    const { logins } = stage.service.lakebase;
    await eventually('each plugin is refused', () => logins.length === PLUGINS, { withinMs: BACKSTAGE_START_MS });
    assert.match(await run(label), /deployment "backstage" successfully rolled out/);
    await namespace.kubectl(['wait', `pod/${before.metadata.name}`, '--for=delete', '--timeout=60s']);
    backstage = await BackstagePod.running(shared, stage);
    t.diagnostic(await run(watch));
  });

  chapter('show the rotations, in which Backstage logs in all the time without an error', {}, async (t) => {
    const { logins } = stage.service.lakebase;
    const succeeded = () => logins.filter(({ ok }) => ok);
    const tokens = (): number => new Set(succeeded().map(({ tokenFingerprint }) => tokenFingerprint)).size;
    await eventually(`${ROTATIONS} rotations`, () => tokens() > ROTATIONS, { withinMs: 2 * ROTATIONS * LIFETIME_MS });
    const shown = await run(watch);
    assert.ok(shown.match(/"msg":"minted"/g)!.length > ROTATIONS, shown);
    const refreshes = /^lakebase_credential_refreshes_total\{credential="lakebase"\} (\d+)$/m.exec(shown)?.[1];
    assert.ok(Number(refreshes) > ROTATIONS, shown);
    assert.deepEqual(backstage.refused().slice(PLUGINS), []);
    assert.deepEqual(backstage.errors(), []);
    assert.deepEqual(
      backstage.readiness.filter(({ isReady }) => !isReady),
      [],
    );
    assert.equal(await backstage.restarts(), 0);
    t.diagnostic(`${tokens()} tokens, ${logins.length} logins, ${backstage.readiness.length} answers of /readyz`);
  });

  async function run(commands: string): Promise<string> {
    const { stdout } = await execa('bash', ['-euo', 'pipefail', '-c', commands], { cwd: root, env });
    return stdout;
  }
});

/** What a reader copies from a section of the README, block by block. */
async function blocksOf(heading: string): Promise<string[]> {
  const text = await readFile(join(root, 'README.md'), 'utf8');
  const from = text.slice(text.indexOf(`\n${heading}\n`));
  const section = from.slice(0, from.indexOf('\n## '));
  return [...section.matchAll(/```console\n(.*?)```/gs)].map(([, block = '']) => block);
}
