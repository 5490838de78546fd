import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { workspaceFor } from '../support/sidecar-clis.ts';
import { undoAfter } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { NODE, startSidecar, type LogLine, type Sidecar } from '../support/sidecar.ts';

const LIFETIME_MS = 8_000;
const refresh = { at: 0.3, jitter: 0.1, floor: '0s' };
/** What the schedule leaves: the token that is replaced has at least this long to live, if nothing delays its successor. */
const MARGIN_MS = LIFETIME_MS * (1 - refresh.at);
const ROTATIONS = 2;

interface Flood {
  readonly connections: number;
  readonly mostHeld: number;
  readonly answers: number;
  readonly seconds: number;
}

test('a flood of a thousand open connections and of junk delays no rotation, and probes are answered in it', async (t) => {
  const workspace = await workspaceFor(t, { tokenLifetimeMs: LIFETIME_MS });
  const sidecar = await (await startSidecar(t, { workspace, config: { refresh } })).ready();
  const quiet = await rotations(sidecar);
  const stop = startFlood(t, sidecar);
  const [flooded, probes] = await Promise.all([rotations(sidecar), probe(sidecar)]);
  const { connections, mostHeld, answers, seconds } = await stop();

  const worst = { quiet: Math.max(...quiet), flooded: Math.max(...flooded) };
  t.diagnostic(
    `${connections} connections, ${mostHeld} at once, ${Math.round(answers / seconds)} answers to junk a second`,
  );
  t.diagnostic(`latest rotation: ${worst.quiet} ms after it was due, in the flood ${worst.flooded} ms`);
  assert.ok(connections > 1_000, `${connections} connections`);
  assert.ok(answers > 1_000, `${answers} answers`);
  // With production's tokens the margin is minutes; what is left of it here is for slow machines.
  assert.ok(worst.flooded < worst.quiet + MARGIN_MS / 2, `${worst.flooded} ms, without a flood ${worst.quiet} ms`);
  assert.ok(probes.length > 0 && probes.every((line) => line.startsWith('HTTP/1.1 200 ')), probes.join());
  assert.deepEqual(
    sidecar.lines.filter(({ level }) => level !== 'info'),
    [],
  );
  await sidecar.ready();
});

/** How long after they were due the next ones were there, in milliseconds. */
async function rotations({ lines }: Sidecar): Promise<number[]> {
  const minted = () => lines.filter(({ msg }) => msg === 'minted');
  const before = minted().length;
  const seen = await eventually('rotations', () => minted().length > before + ROTATIONS && minted(), {
    withinMs: 60_000,
  });
  const [first, ...others] = seen.slice(before);
  let dueAt = instant(first!, 'nextRefreshAt');
  return others.map((line) => {
    const lateMs = instant(line, 'time') - dueAt;
    dueAt = instant(line, 'nextRefreshAt');
    return lateMs;
  });
}

function instant(line: LogLine, field: string): number {
  return Date.parse(line[field] as string);
}

/** First lines of answers, each over a connection of its own, as the kubelet asks. */
async function probe(sidecar: Sidecar): Promise<string[]> {
  const answers: string[] = [];
  for (const path of ['/healthz', '/readyz', '/metrics', '/healthz', '/readyz']) {
    const socket = connect(sidecar.address);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const [line = ''] = (await text(socket)).split('\r\n');
    answers.push(line);
  }
  return answers;
}

function startFlood(t: TestContext, sidecar: Sidecar): () => Promise<Flood> {
  const { host, port } = sidecar.address;
  const program = join(import.meta.dirname, '../fixtures/flood.ts');
  const child = spawn(NODE, [program, host, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  undoAfter(t, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return async () => {
    child.stdin.end();
    return JSON.parse(await text(child.stdout)) as Flood;
  };
}
