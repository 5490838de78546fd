import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import type { MintedToken } from '../../support/workspace-server.ts';
import { whyNoTrustedPods } from '../cluster.ts';
import { whyNoHelm } from '../programs.ts';
import { CLIENT_ID, DATABASE, LAKEBASE_HOST } from '../support/pods-service.ts';
import { setStage, type Stage } from '../support/pods-stage.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { BY_KUBECTL } from '../support/pods.ts';
import { authorityOf, jobOf, PSQL } from './apps.ts';
import { ENDPOINT, imageOf, Release } from './release.ts';

/** Renewed after 10 to 16 s. */
const LIFETIME_MS = 24_000;
const DEPLOYMENT = 'lakebase-lakebase-credential-sidecar';
/** Not the pod of `helm test`, which stays when it fails. */
const PODS = 'app.kubernetes.io/instance=lakebase,app.kubernetes.io/component!=check';
const SECRET = 'orders-lakebase';
const ONCE = `${PSQL} -c 'select 6 * 7'`;

const skip = (await whyNoTrustedPods()) ?? (await whyNoHelm());

describe('secretSync as the chart installs it', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let stage: Stage;
  let release: Release;

  before(async () => {
    stage = await setStage(shared, {
      name: 'sync',
      trusted: DEPLOYMENT,
      tokenLifetimeMs: LIFETIME_MS,
      isSecure: true,
    });
    release = await Release.install(shared, stage, 'helm3', valuesOf({ password: 'token' }));
    await stage.namespace.kubectl(['apply', '-f', '-'], { input: authorityOf(stage) });
  });

  chapter('gets two replicas ready, which agree on one token', {}, async () => {
    await stage.namespace.kubectl(['rollout', 'status', `deployment/${DEPLOYMENT}`, '--timeout=120s']);
    assert.equal((await stage.namespace.pods(PODS)).length, 2);
    const { expiresAt } = await published();
    assert.ok(expiresAt > Date.now());
  });

  chapter('has the environment that the values give it', {}, async () => {
    const [pod] = await stage.namespace.pods(PODS);
    await eventually(
      'a line of debug',
      async () => (await stage.namespace.logs(pod!.metadata.name, 'lakebase-credential')).includes('"level":"debug"'),
      BY_KUBECTL,
    );
  });

  chapter('passes `helm test`', {}, async (t) => {
    t.diagnostic(await release.test());
  });

  chapter('keeps a Secret that logs in whoever starts with it, before and after rotations', {}, async (t) => {
    const { workspace, lakebase } = stage.service;
    // What is in an environment is renewed by nobody: the pod is to have the whole life of a token to start and log in.
    const { token: before } = await published();
    await eventually('a new token', async () => (await published()).token !== before, BY_KUBECTL);
    await logsIn('early');
    const tokens = new Set<string>();
    await eventually(
      'two rotations',
      async () => {
        const { token, expiresAt } = await published();
        assert.ok(expiresAt > Date.now(), 'the Secret holds a token that has expired');
        return tokens.add(token).size > 2;
      },
      { ...BY_KUBECTL, withinMs: 3 * LIFETIME_MS },
    );
    await logsIn('late');
    const { logins } = lakebase;
    t.diagnostic(`${workspace.minted.length} tokens were minted by two replicas, ${tokens.size} of them seen`);
    assert.deepEqual(
      logins.map(({ applicationName, ok }) => [applicationName, ok]),
      [
        ['early', true],
        ['late', true],
      ],
    );
  });

  chapter('takes a changed configuration from `helm upgrade` without a roll-out', {}, async () => {
    const uids = async (): Promise<string[]> =>
      (await stage.namespace.pods(PODS)).map(({ metadata }) => metadata.uid).toSorted();
    const running = await uids();
    await release.upgrade(valuesOf({ password: 'token', pgpass: 'pgpass' }));
    // The kubelet looks at a pod that has changed, and brings its volumes up to date; else it takes a minute.
    await stage.namespace.kubectl(['annotate', 'pods', '--selector', PODS, 'looked-at=once']);
    await eventually('the new key', async () => (await secret())['pgpass'], BY_KUBECTL);
    assert.deepEqual(await uids(), running);
  });

  chapter('fails `helm test` where the identity is wrong, and the log says which part of it', {}, async (t) => {
    await release.upgrade(valuesOf({ password: 'token', pgpass: 'pgpass' }, 'another-client'));
    const failure = await release.test().catch(String);
    assert.match(
      failure,
      /✗ fail orders mint: the workspace refused the OIDC token \(auth\)\n +→ check DATABRICKS_CLIENT_ID, and give it a/,
    );
    t.diagnostic(failure);
  });

  chapter('is gone after `helm uninstall`, and so is the Secret', {}, async () => {
    await release.uninstall();
    await stage.namespace.kubectl(['wait', 'pods', '--selector', PODS, '--for=delete', '--timeout=60s']);
    assert.equal(await stage.namespace.kubectl(['get', 'secret', SECRET, '--ignore-not-found']), '');
  });

  function valuesOf(data: object, clientId = CLIENT_ID): object {
    const { workspace, lakebase } = stage.service;
    const credential = {
      name: 'orders',
      endpoint: ENDPOINT,
      connection: { host: LAKEBASE_HOST, port: lakebase.port, database: DATABASE },
      sinks: [{ secret: { namespace: stage.namespace.name, name: SECRET, data } }],
    };
    return {
      image: imageOf(stage),
      injection: { enabled: false },
      env: { LAKEBASE_CREDENTIAL_LOG_LEVEL: 'debug', NO_PROXY: '*' },
      secretSync: {
        enabled: true,
        identity: { workspaceHost: workspace.url, clientId },
        config: { credentials: [credential] },
        networkPolicy: { egressPorts: [443, 6443, Number(new URL(workspace.url).port)] },
      },
    };
  }

  /** A Job that has the password from the Secret in its environment. */
  async function logsIn(name: string): Promise<void> {
    const env = [{ name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: SECRET, key: 'password' } } }];
    const job = jobOf(stage, { name, script: ONCE, env, isLeftAlone: true });
    await stage.namespace.kubectl(['create', '-f', '-'], { input: job });
    await stage.namespace.kubectl(['wait', `job/${name}`, '--for=condition=Complete', '--timeout=60s']);
  }

  async function secret(): Promise<Readonly<Record<string, string>>> {
    return JSON.parse(await stage.namespace.kubectl(['get', 'secret', SECRET, '--output=jsonpath={.data}'])) as Record<
      string,
      string
    >;
  }

  /** What is in the Secret at this moment. */
  async function published(): Promise<MintedToken> {
    const password = Buffer.from((await secret())['password'] ?? '', 'base64').toString();
    return stage.service.workspace.minted.find(({ token }) => token === password)!;
  }
});
