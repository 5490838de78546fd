import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { MintError } from '../../src/credential/errors.ts';
import type { Keeper } from '../../src/credential/keeper.ts';
import { renderSecret, type SecretSpec } from '../../src/sinks/secret-object.ts';
import { SecretSink } from '../../src/sinks/secret.ts';
import { connection, identity, secretSpec } from '../support/sink-credentials.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { credentialAt, MINUTE_MS, ScriptedMinter } from '../support/fakes.ts';
import { World } from '../support/keeping.ts';
import { ModelApiServer } from '../support/model-api-server.ts';

const TTL_MS = 5 * MINUTE_MS;
interface Pod {
  readonly host?: string;
  readonly data?: SecretSpec['data'];
  readonly isFailing?: boolean;
}

const SPEC = { ...secretSpec, data: { password: 'token', pgpass: 'pgpass' } } as const;

class Cluster {
  readonly clock = new FakeClock();
  readonly #t: TestContext;
  readonly #server: ModelApiServer;

  constructor(t: TestContext, { delayMs = 1 } = {}) {
    this.#t = t;
    this.#server = new ModelApiServer(SPEC, this.clock, () => delayMs);
  }

  /** Mints for the first time at once, and then after half of the lifetime. */
  startPod(client: string, { host = connection.host, data = SPEC.data, isFailing = false }: Pod = {}): Keeper {
    const world = new World({ clock: this.clock });
    world.dice = 0.999;
    let mints = 0;
    const mint = async () => {
      await Promise.resolve();
      if (isFailing) throw new MintError('permission', 'no');
      return credentialAt(this.clock, `${client}-${(mints += 1)}`, { lifetimeMs: TTL_MS });
    };
    const spec = { ...SPEC, data, identity: { ...identity, principal: client }, connection: { ...connection, host } };
    const sink = new SecretSink({ ...spec, api: this.#server.api, clock: this.clock, force: false });
    const refresh = { at: 0.5, jitter: 0, floorMs: 10_000 };
    const keeper = world.add(new ScriptedMinter(this.clock, [mint]), { sinks: [sink], refresh, ttlMs: TTL_MS });
    world.run(this.#t);
    return keeper;
  }

  /** Once, by whoever may write the Secret: a token of this identity that was issued in the future. */
  async forge(client: string, issuedAt: number): Promise<void> {
    const forged = { ...credentialAt(this.clock, 'forged'), service: { issuedAt, expiresAt: issuedAt + TTL_MS } };
    const { object, api } = this.#server;
    const spec = { ...SPEC, identity: { ...identity, principal: client } };
    const { metadata, ...rest } = renderSecret(forged, spec, object, issuedAt);
    const body = { ...rest, metadata: { ...metadata, resourceVersion: object!.metadata.resourceVersion } };
    const query = { force: 'true' };
    const signal = this.#t.signal;
    const applied = api.request({ method: 'PATCH', path: '/', query, body, signal });
    await this.clock.advance(10);
    assert.equal((await applied).status, 200);
  }

  get token(): string | undefined {
    return this.tokens.at(-1);
  }

  /** For how many of the next seconds the Secret has a token of the old pod at their end. */
  async secondsOfOld(seconds: number): Promise<number> {
    let count = 0;
    for (let second = 0; second < seconds; second += 1) {
      await this.clock.advance(1_000);
      if (this.token!.startsWith('old')) count += 1;
    }
    return count;
  }

  /** All that were there, one after the other. */
  get tokens(): string[] {
    return this.#server.history.map((object) => Buffer.from(object?.data?.['password'] ?? '', 'base64').toString());
  }

  get since(): number {
    return Date.parse(this.#server.object?.metadata.annotations?.['lakebase-credential-sidecar/since'] ?? '');
  }
}

test('what an identity writes says since when that identity writes, not since when the token is there', async (t) => {
  const cluster = new Cluster(t);
  const startedAt = cluster.clock.now();
  cluster.startPod('a');
  await cluster.clock.advance(1_000);
  const { since } = cluster;
  assert.ok(since >= startedAt && since < startedAt + 1_000);
  await cluster.clock.advance(3 * MINUTE_MS);
  assert.deepEqual([cluster.token, cluster.since], ['a-2', since]);
  cluster.startPod('a');
  await cluster.clock.advance(5 * MINUTE_MS);
  assert.equal(cluster.since, since, 'a pod that joins them begins nothing');
});

test('in a roll-out to another identity the old pod leaves the Secret to the new one, also when its own token is due', async (t) => {
  const cluster = new Cluster(t);
  cluster.startPod('old');
  await cluster.clock.advance(2.2 * MINUTE_MS);
  cluster.startPod('new');
  await cluster.clock.advance(0.8 * MINUTE_MS); // the old one has minted again
  assert.deepEqual(cluster.tokens, ['old-1', 'new-1']);
});

test('the old pod says that a roll-out may be under way, and sends nobody to look for another writer at once', async (t) => {
  const cluster = new Cluster(t);
  const old = cluster.startPod('old');
  await cluster.clock.advance(MINUTE_MS);
  cluster.startPod('new');
  await cluster.clock.advance(30_000);
  const { holding } = (await old.status({ signal: t.signal })).sinks[0]!;
  assert.ok(holding.state === 'lacks');
  assert.equal(holding.problem.failure, 'foreign_content');
  assert.match(holding.problem.remedy, /^nothing during a roll-out to another workspace or client/);
});

test('an old pod that stays writes once a minute, with whatever token, and the new one takes the Secret back at once', async (t) => {
  // Without any delay each is overtaken before it learns that it has written.
  for (const delayMs of [1, 0]) {
    const cluster = new Cluster(t, { delayMs });
    cluster.startPod('old');
    await cluster.clock.advance(MINUTE_MS);
    cluster.startPod('new');
    const secondsOfOld = await cluster.secondsOfOld(300);
    assert.ok(secondsOfOld <= 10, `${secondsOfOld}`);
    const written = cluster.tokens.filter((token) => token.startsWith('old')).length;
    assert.ok(written >= 5 && written <= 6, `${written}`);
  }
});

test('a token that was forged once as one of the future keeps no later roll-out from ending', async (t) => {
  const cluster = new Cluster(t);
  cluster.startPod('old');
  await cluster.clock.advance(MINUTE_MS);
  await cluster.forge('old', Date.UTC(9999, 1));
  await cluster.clock.advance(4 * MINUTE_MS);
  assert.match(cluster.token!, /^old-/);
  cluster.startPod('new');
  const secondsOfOld = await cluster.secondsOfOld(300);
  assert.ok(secondsOfOld <= 10, `${secondsOfOld}`);
});

test('a roll-back is a roll-out: the identity that was there before wins again', async (t) => {
  const cluster = new Cluster(t);
  cluster.startPod('a');
  await cluster.clock.advance(MINUTE_MS);
  cluster.startPod('b');
  await cluster.clock.advance(30_000);
  assert.equal(cluster.token, 'b-1');
  cluster.startPod('a');
  await cluster.clock.advance(1_000);
  assert.equal(cluster.token, 'a-1');
  await cluster.clock.advance(50_000);
  assert.equal(cluster.token, 'a-1');
});

test('in a roll-out that changes the host old and new do not race, however fast the API server is', async (t) => {
  const cluster = new Cluster(t, { delayMs: 0 });
  cluster.startPod('a');
  await cluster.clock.advance(30_000);
  cluster.startPod('a', { host: 'another.example.com' });
  const before = cluster.tokens.length;
  await cluster.clock.advance(MINUTE_MS);
  const written = cluster.tokens.length - before;
  assert.ok(written >= 2 && written <= 60, `${written}`);
});

test('in a roll-out that adds a key no pod puts an older token over another one’s, least of all one that has expired', async (t) => {
  const cluster = new Cluster(t);
  cluster.startPod('a', { data: { password: 'token' } });
  await cluster.clock.advance(2 * MINUTE_MS);
  // It goes on with the token that is there. In what the old pod writes its own key is missing.
  cluster.startPod('a', { isFailing: true });
  await cluster.clock.advance(6 * MINUTE_MS);
  const { tokens } = cluster;
  assert.deepEqual(new Set(tokens), new Set(['a-1', 'a-2', 'a-3', 'a-4']));
  assert.deepEqual(tokens, tokens.toSorted());
});
