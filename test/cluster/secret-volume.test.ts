import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { fingerprintOf } from '../support/lakebase.ts';
import { cleanupOfSuite } from '../support/suite.ts';
import { eventually } from '../support/eventually.ts';
import { whyNoPods } from './cluster.ts';
import { trusting } from './support/pods-overlay.ts';
import { DATABASE, LAKEBASE_HOST } from './support/pods-service.ts';
import { setStage, type Stage } from './support/pods-stage.ts';
import { IDLE, SIDECAR } from './support/pods.ts';

const SECRET = 'orders-lakebase';
const ROTATIONS = 10;
const LIFETIME_MS = 300_000;
/** Sooner than by default, so that ten rotations take five minutes. */
const AT = 0.1;
/** What the docs say that a refresh must leave of the life of a token. */
const ALLOWED_MS = 150_000;
/** Logs in with what is in the volume at that moment, again and again. */
const LOGS_IN = `trap 'exit 0' TERM
while :; do PGPASSWORD="$(cat /creds/password)" psql --no-psqlrc -c 'select 1' >/dev/null && echo in || echo refused; sleep 0.5; done`;
const RULES = [
  {
    apiGroups: [''],
    resources: ['secrets'],
    resourceNames: [SECRET],
    verbs: ['get', 'watch', 'patch', 'create'],
  },
];

const skip = await whyNoPods();

describe('an application that reads a Secret as a volume', { skip }, () => {
  const shared = cleanupOfSuite();
  let stage: Stage;

  before(async () => {
    stage = await setStage(shared, { name: 'volume', tokenLifetimeMs: LIFETIME_MS });
    const { name: namespace } = stage.namespace;
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'orders' } };
    const subjects = [{ kind: 'ServiceAccount', name: 'orders-writer', namespace }];
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'orders' };
    await stage.namespace.kubectl(['create', '-f', '-'], { input: { ...rbac, kind: 'Role', rules: RULES } });
    await stage.namespace.kubectl(['create', '-f', '-'], {
      input: { ...rbac, kind: 'RoleBinding', roleRef, subjects },
    });
    const secret = { namespace, name: SECRET, data: { password: 'token' } };
    const credential = {
      name: 'orders',
      endpoint: 'projects/backstage/branches/production/endpoints/primary',
      connection: { host: LAKEBASE_HOST, database: DATABASE },
      sinks: [{ file: { path: '/run/lakebase/pgpass', format: 'pgpass' } }, { secret }],
    };
    await stage.apply(shared, {
      example: 'libpq',
      name: 'writer',
      config: { credentials: [credential], refresh: { at: AT, jitter: 0, floor: '1s' } },
      podPatches: [{ automountServiceAccountToken: true, containers: [trusting('orders', { command: IDLE })] }],
    });
    await stage.namespace.running('test=writer', 'orders');
    await stage.apply(shared, {
      example: 'libpq',
      name: 'reader',
      podPatches: [
        {
          // It has nothing but the Secret.
          initContainers: [{ name: SIDECAR, $patch: 'delete' }],
          containers: [trusting('orders', { command: ['sh', '-c', LOGS_IN] })],
        },
        {
          containers: [{ name: 'orders', volumeMounts: [{ name: 'creds', mountPath: '/creds', readOnly: true }] }],
          volumes: [{ name: 'creds', secret: { secretName: SECRET } }],
        },
      ],
    });
  });

  test('logs in through ten rotations; the volume lags by as much as docs/secrets.md allows for', async (t) => {
    const { namespace, service } = stage;
    const { logins } = service.lakebase;
    const { minted } = service.workspace;
    const pod = await namespace.running('test=reader', 'orders');
    const log = namespace.follow(t, pod.metadata.name, 'orders');
    const said = (): string => JSON.stringify([log.lines.slice(-3), logins.slice(-2)]);
    await eventually('it logs in', () => logins.some(({ ok }) => ok), { withinMs: 30_000, onTimeout: said });
    await eventually('ten rotations', () => minted.length > ROTATIONS, {
      withinMs: 2 * ROTATIONS * AT * LIFETIME_MS,
      onTimeout: () => `${minted.length} tokens`,
    });
    const indexOf = (fingerprint: string | undefined): number =>
      minted.findIndex(({ token }) => fingerprintOf(token) === fingerprint);
    // The volume may pass some over.
    await eventually('as many are behind', () => indexOf(logins.at(-1)?.tokenFingerprint) >= ROTATIONS, {
      withinMs: LIFETIME_MS,
      onTimeout: said,
    });
    const used = minted.filter(({ token }) =>
      logins.some(({ tokenFingerprint }) => tokenFingerprint === fingerprintOf(token)),
    );
    // For how long there was a newer one already: the sidecar needs less than a second from mint to Secret.
    const lags = logins.map(({ at, tokenFingerprint }) => {
      const newer = minted[indexOf(tokenFingerprint) + 1];
      return newer === undefined ? 0 : Math.max(0, at - newer.issuedAt);
    });
    const worstMs = Math.max(...lags);
    t.diagnostic(
      `${minted.length} tokens, ${used.length} of them seen by the reader in ${logins.length} logins; at most ${(worstMs / 1_000).toFixed()} s behind`,
    );
    assert.deepEqual(
      logins.filter(({ ok }) => !ok),
      [],
    );
    assert.deepEqual(
      log.lines.filter(({ text }) => text !== 'in'),
      [],
    );
    assert.ok(worstMs > 0, 'nothing was measured');
    assert.ok(worstMs < ALLOWED_MS, `${worstMs} ms`);
    assert.ok(logins.length > 100, `${logins.length} logins`);
  });
});
