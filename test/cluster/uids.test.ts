import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { useCluster, whyNoCluster } from './cluster.ts';
import { loadPsql, loadSidecar } from './support/pods-images.ts';
import { trusting, writeOverlay } from './support/pods-overlay.ts';
import { startService, trustServiceAccount } from './support/pods-service.ts';
import { SharedCleanup } from './support/pods-story.ts';
import { makeNamespace, type Namespace } from './support/pods.ts';

const PAGE = join(import.meta.dirname, '../../docs/kubernetes.md');
const SLEEPS = ['sh', '-c', "trap 'exit 0' TERM; while :; do sleep 1; done"];
const SECURITY = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true };
const CONFIG = {
  credentials: [
    {
      name: 'lakebase',
      endpoint: 'projects/backstage/branches/production/endpoints/primary',
      connection: { host: '*' },
      sinks: [
        { file: { path: '/run/lakebase/pgpass', format: 'pgpass' } },
        { file: { path: '/run/lakebase/token', format: 'token', mode: '0640' } },
      ],
    },
  ],
};

/** Each is a container beside a sidecar that runs as user 10001. */
const READERS = [
  { pod: 'plain', container: 'orders', who: 'the same user' },
  { pod: 'plain', container: 'other', who: 'another user in another group' },
  { pod: 'group', container: 'other', who: 'another user, and the pod has an `fsGroup`' },
] as const;

const skip = await whyNoCluster();
const cluster = skip === undefined ? await useCluster() : undefined;

describe('a container that reads the files of the sidecar', { skip }, () => {
  const shared = new SharedCleanup();
  let namespace: Namespace;

  before(async () => {
    const images = { sidecarImage: await loadSidecar(cluster!), appImage: await loadPsql(cluster!) };
    namespace = await makeNamespace(shared, cluster!, 'uids');
    const verifySubjectToken = await trustServiceAccount(cluster!, namespace.name);
    const service = await startService(shared, cluster!, { verifySubjectToken });
    for (const [name, securityContext] of [
      ['plain', { runAsGroup: 10_001 }],
      ['group', { runAsGroup: 10_001, fsGroup: 3_000 }],
    ] as const) {
      const other = {
        ...trusting('other', { command: SLEEPS, env: [{ name: 'PGPASSFILE', value: '/run/lakebase/pgpass' }] }),
        image: 'registry.example.com/orders:1.0',
        envFrom: [{ configMapRef: { name: 'lakebase-credential' } }],
        securityContext: { ...SECURITY, runAsUser: 20_002, runAsGroup: 20_002 },
      };
      const reads = { volumeMounts: [{ name: 'lakebase-credential', mountPath: '/run/lakebase', readOnly: true }] };
      const podPatches = [
        { securityContext, containers: [trusting('orders', { command: SLEEPS }), other] },
        { containers: [{ name: 'other', ...reads, env: [{ name: 'PGSSLMODE', value: 'verify-full' }] }] },
      ];
      const overlay = {
        ...images,
        example: 'libpq',
        namespace: namespace.name,
        service,
        name,
        config: CONFIG,
      } as const;
      await namespace.apply(await writeOverlay(shared, { ...overlay, podPatches }));
    }
    for (const { pod, container } of READERS) await namespace.running(`test=${pod}`, container);
  });

  after(() => shared.undo());

  test('may do what the table in docs/kubernetes.md says', async (t) => {
    const rows: string[] = [];
    for (const { pod, container, who } of READERS) {
      const { metadata } = (await namespace.pod(`test=${pod}`))!;
      const tries = async (command: string): Promise<string> => {
        const script = `${command} >/dev/null 2>&1 && echo yes || echo no`;
        return (await namespace.exec(metadata.name, container, ['sh', '-c', script])).trim();
      };
      const pgpass = await tries('psql --no-psqlrc --no-password -c "select 1"');
      const token = await tries('cat /run/lakebase/token');
      rows.push(`| ${who} | ${pgpass} | ${token} |`);
    }
    t.diagnostic(rows.join('\n'));
    const page = await readFile(PAGE, 'utf8');
    const documented = new Set(page.split('\n').map((line) => line.replaceAll(/ +/g, ' ')));
    for (const row of rows) assert.ok(documented.has(row), `docs/kubernetes.md has no row ${row}`);
  });
});
