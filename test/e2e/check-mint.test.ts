import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/cleanup.ts';
import { type Cli, standInCli } from '../support/clis.ts';
import { credential } from '../support/sidecar-setup.ts';
import { testWithEachCli, workspaceFor } from '../support/sidecar-clis.ts';
import { runCommand } from '../support/sidecar.ts';
import { HOUR_MS } from '../support/fakes.ts';

testWithEachCli('check tells how far the clocks are apart, which does no harm', async (t, cli) => {
  const workspace = await workspaceFor(t);
  for (const hours of [2, -2]) {
    workspace.clockOffsetMs = hours * HOUR_MS;
    const { code, stdout } = await runCommand(t, 'check', { workspace, cli });
    assert.equal(code, 0, stdout);
    const apart =
      /mint: a token that is valid for 1h, discarded; the clocks differ by (\d+) s, which is compensated for$/m;
    const seconds = Number(apart.exec(stdout)?.[1]);
    assert.ok(Math.abs(seconds - 7_200) < 5, stdout);
  }
});

test('check does not take the time of a slow mint for clocks that are apart', async (t) => {
  const workspace = await workspaceFor(t);
  const cli: Cli = { name: 'a slow CLI', path: await standInCli(t, { startDelayMs: 6_500 }), isReal: false };
  const { stdout } = await runCommand(t, 'check', { workspace, cli });
  assert.match(stdout, /mint: a token that is valid for 1h, discarded$/m);
});

testWithEachCli('check mints as run does, for as long as the ttl says', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const directory = await temporaryDirectory(t);
  const config = { credentials: [credential(directory, { ttl: '20m' })] };
  const { code, stdout } = await runCommand(t, 'check', { workspace, cli, directory, config });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /mint: a token that is valid for 20m, discarded$/m);
});

testWithEachCli('check finds a token that run would refuse, because it seems to have expired', async (t, cli) => {
  const workspace = await workspaceFor(t);
  workspace.clockOffsetMs = -2 * HOUR_MS;
  workspace.fail('credential', 'opaque-token'); // nothing but its expiry is known
  const { code, stdout } = await runCommand(t, 'check', { workspace, cli });
  assert.equal(code, 69, stdout);
  assert.match(
    stdout,
    /✗ fail backstage mint: the new token expired 36\d\d s ago by this machine's clock \(short_lived\)\n {7}→ check the clock/,
  );
});

testWithEachCli('check shows the words of the CLI, without what is secret in them', async (t, cli) => {
  const workspace = await workspaceFor(t);
  const message = `boom, says ${workspace.clientSecret}`;
  workspace.fail('credential', { status: 500, body: { message } });
  const { code, stdout } = await runCommand(t, 'check', { workspace, cli });
  assert.equal(code, 69, stdout);
  assert.match(
    stdout,
    /✗ fail backstage mint: the Databricks CLI failed \(unknown\)\n {7}→ read the error output of the CLI: .*\n {7}the CLI said: Error: boom, says \[secret\]\n/,
  );
});
