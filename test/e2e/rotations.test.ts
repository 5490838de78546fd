import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { clis, NO_REAL_CLI, type Cli } from '../support/clis.ts';
import { credential } from '../support/sidecar-setup.ts';
import { workspaceFor } from '../support/sidecar-clis.ts';
import {
  asyncpg,
  logInUntil,
  missing,
  nodePostgres,
  passwordFunction,
  psql,
  startServer,
  type LogIn,
  type Server,
} from '../support/logins.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { whyNoPostgres } from '../support/postgres.ts';
import { startSidecar, type Sidecar } from '../support/sidecar.ts';
import { cleanupOfSuite } from '../support/suite.ts';
import type { Workspace } from '../support/workspace.ts';

const ROTATIONS = 50;
const LIFETIME_MS = 4_000;
/** About 0.7 s from one token to the next: several are valid at any time, and none for long. */
const refresh = { at: 0.22, jitter: 0.1, floor: '0s' };

const CLIENTS: readonly { readonly name: string; readonly logIn: LogIn; readonly skip: string | false }[] = [
  { name: 'node-postgres with PGPASSFILE and no password', logIn: nodePostgres, skip: false },
  { name: 'postgres.js with a password function over the token file', logIn: passwordFunction, skip: false },
  { name: 'psql with PGPASSFILE', logIn: psql, skip: missing.psql },
  { name: 'asyncpg with PGPASSFILE', logIn: asyncpg, skip: missing.asyncpg },
];

function rotateFiftyTimes(cli: Cli): void {
  describe(
    `through ${ROTATIONS} rotations, with ${cli.name}`,
    { concurrency: true, timeout: 120_000, skip: whyNoPostgres() },
    () => {
      const shared = cleanupOfSuite();
      const enough = new AbortController();
      let workspace: Workspace;
      let server: Server;
      let sidecar: Sidecar;

      before(async () => {
        workspace = await workspaceFor(shared, { tokenLifetimeMs: LIFETIME_MS });
        server = await startServer(shared, workspace);
        const directory = await temporaryDirectory(shared);
        const config = { credentials: [credential(directory, { connection: server.connection })], refresh };
        sidecar = await (await startSidecar(shared, { workspace, cli, directory, config })).ready();
        // The tests say it when there were too few.
        void eventually('enough rotations', () => workspace.minted.length > ROTATIONS, { withinMs: 100_000 }).then(
          () => enough.abort(),
          () => enough.abort(),
        );
      });

      for (const { name, logIn, skip } of CLIENTS) {
        test(`no login of ${name} fails`, { skip }, async () => {
          const reader = { server, user: workspace.clientId, directory: sidecar.path('') };
          const { failures, successes } = await logInUntil(enough.signal, logIn, reader);
          assert.deepEqual(failures, []);
          assert.ok(workspace.minted.length > ROTATIONS, `${workspace.minted.length - 1} rotations`);
          assert.ok(successes >= ROTATIONS / 4, `${successes} logins`);
        });
      }

      test('the logins used most of the tokens, and the server refused none', async () => {
        await eventually('enough rotations', () => enough.signal.aborted, { withinMs: 100_000 });
        assert.deepEqual(
          server.lakebase.logins.filter(({ ok }) => !ok),
          [],
        );
        const used = new Set(server.lakebase.logins.map(({ tokenFingerprint }) => tokenFingerprint));
        assert.ok(used.size > ROTATIONS * 0.8, `${used.size} tokens were used`);
        const metrics = await sidecar.metrics();
        assert.equal(metrics.get('consecutive_failures'), 0);
        assert.equal(metrics.get('sink_repairs_total'), 0);
        assert.ok(metrics.get('refreshes_total')! > ROTATIONS);
      });
    },
  );
}

for (const cli of clis) rotateFiftyTimes(cli);
if (!clis.some(({ isReal }) => isReal))
  test('through 50 rotations, with the real CLI', { skip: NO_REAL_CLI }, () => {});
