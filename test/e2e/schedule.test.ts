import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scriptedCli, workspaceFor } from '../support/sidecar-clis.ts';
import { eventually } from '../support/eventually.ts';
import { startSidecar, type LogLine } from '../support/sidecar.ts';

const options = { timeout: 60_000 };

function msBetween(line: LogLine, from: string, to: string): number {
  return Date.parse(String(line[to])) - Date.parse(String(line[from]));
}

test('a refresh is due when the configuration says, after a mint and after a restart', options, async (t) => {
  const workspace = await workspaceFor(t);
  const assertHalf = (line: LogLine): void => {
    // The service's time of issue may be that much later: the CLI has been started before.
    const offMs = msBetween(line, 'issuedAt', 'nextRefreshAt') - 1_800_000;
    assert.ok(Math.abs(offMs) < 20_000, `${offMs} ms off`);
  };
  // Nothing is left to chance where the floor is as late as the fraction is.
  const first = await startSidecar(t, { workspace, config: { refresh: { at: 0.5, floor: '30m' } } });
  assertHalf(await first.logged('minted'));
  await (await first.ready()).stop();
  const { directory } = first;
  const second = await startSidecar(t, { workspace, directory, config: { refresh: { at: 0.5, jitter: 0 } } });
  assertHalf(await second.logged('adopted'));
});

test('a failed mint is tried again when the configuration says', options, async (t) => {
  const workspace = await workspaceFor(t);
  const cli = await scriptedCli(t, 'exit 1');
  const delaysMs = async (initial: string, max: string, count: number): Promise<number[]> => {
    const sidecar = await startSidecar(t, { workspace, cli, config: { backoff: { initial, max } } });
    const failures = (): LogLine[] => sidecar.lines.filter(({ msg }) => msg === 'mint failed');
    await eventually('it has failed as often', () => failures().length >= count);
    await sidecar.stop();
    return failures().map((line) => msBetween(line, 'time', 'retryAt'));
  };
  const [later, soon] = await Promise.all([delaysMs('15s', '15s', 1), delaysMs('1s', '1s', 4)]);
  // Half of the delay at least, less the time until logging was loaded.
  assert.ok(later[0]! > 1_500, later.join());
  assert.ok(soon.length >= 4 && soon.every((delayMs) => delayMs <= 1_000), soon.join());
});
