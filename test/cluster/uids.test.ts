import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { cleanupOfSuite } from '../support/suite.ts';
import { whyNoPods } from './cluster.ts';
import { trusting } from './support/pods-overlay.ts';
import { setStage, type Stage } from './support/pods-stage.ts';
import { IDLE } from './support/pods.ts';

const PAGE = join(import.meta.dirname, '../../README.md');
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

const skip = await whyNoPods();

describe('a container that reads the files of the sidecar', { skip }, () => {
  const shared = cleanupOfSuite();
  let stage: Stage;

  before(async () => {
    stage = await setStage(shared, { name: 'uids' });
    for (const [name, securityContext] of [
      ['plain', { runAsGroup: 10_001 }],
      ['group', { runAsGroup: 10_001, fsGroup: 3_000 }],
    ] as const) {
      const other = {
        ...trusting('other', { command: IDLE, env: [{ name: 'PGPASSFILE', value: '/run/lakebase/pgpass' }] }),
        image: 'registry.example.com/orders:1.0',
        envFrom: [{ configMapRef: { name: 'lakebase-credential' } }],
        securityContext: { ...SECURITY, runAsUser: 20_002, runAsGroup: 20_002 },
      };
      const reads = { volumeMounts: [{ name: 'lakebase-credential', mountPath: '/run/lakebase', readOnly: true }] };
      const podPatches = [
        { securityContext, containers: [trusting('orders', { command: IDLE }), other] },
        { containers: [{ name: 'other', ...reads, env: [{ name: 'PGSSLMODE', value: 'verify-full' }] }] },
      ];
      await stage.apply(shared, { example: 'libpq', name, config: CONFIG, podPatches });
    }
    for (const { pod, container } of READERS) await stage.namespace.running(`test=${pod}`, container);
  });

  test('may do what the table in README.md says', async (t) => {
    const { namespace } = stage;
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
    const lines = (await readFile(PAGE, 'utf8')).split('\n').map((line) => line.replaceAll(/ +/g, ' '));
    const start = lines.findIndex((line) => line.startsWith('| container '));
    assert.deepEqual(lines.slice(start + 2, lines.indexOf('', start)), rows);
  });
});
