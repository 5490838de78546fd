import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { before, describe } from 'node:test';
import { eventually, occupy, PATIENCE_MS, throughout } from '../../support/eventually.ts';
import type { Sidecar } from '../../support/sidecar.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { whyNotBuilt } from './api-server.ts';
import { startWebhook } from './webhook.ts';
import { EVENTS, ruleFor, SECRET, type Account } from './namespace.ts';
import { assertFrugal, SecretsWorld } from './world.ts';

/** Shorter than the minute for which the API server is away. */
const LIFETIME_MS = 40_000;

const skip = await whyNotBuilt();

describe('a Secret and a file beside it', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let world: SecretsWorld;
  let account: Account;
  let sidecar: Sidecar;

  before(async () => {
    world = await SecretsWorld.start(shared, { tokenLifetimeMs: LIFETIME_MS });
    account = await world.account('backstage');
    sidecar = await start();
  });

  async function start(): Promise<Sidecar> {
    const config = { refresh: { floor: '1s' }, backoff: { max: '5s' } };
    return await (await world.start(shared, { account, withFile: true, config })).ready();
  }

  async function statusFor(token: string): Promise<number | undefined> {
    const { caFile, url } = world.api;
    const request = get(`${url}/api`, { ca: await readFile(caFile), headers: { authorization: `Bearer ${token}` } });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  }

  const minted = () => world.workspace.minted.length;

  chapter(
    'are refreshed on, the file at once, while the API server is away for longer than a lifetime',
    {},
    async (t) => {
      await world.holdsNewest();
      const before = minted();
      await world.api.down();
      const from = performance.now();
      await throughout('the file is fresh, and the process alive', 60_000, async () => {
        return (await sidecar.isReady('?sinks=file')) && (await sidecar.get('/healthz')).status === 200;
      });
      const inBetween = minted() - before;
      assert.ok(!(await sidecar.isReady()), 'what the Secret holds is dead by now');
      assert.equal((await sidecar.metrics()).get('valid'), 0);
      assert.ok(inBetween >= 1 && inBetween <= 3, `${inBetween} mints in a minute`);
      await world.api.up();
      await world.holdsNewest({ withinMs: 20_000 });
      t.diagnostic(`away for ${((performance.now() - from) / 1_000).toFixed()} s, ${inBetween} mints meanwhile`);
      await sidecar.ready();
    },
  );

  chapter('do not wait for each other: the API server hangs, and the file is written', {}, async (t) => {
    world.api.hang();
    try {
      const before = minted();
      await eventually('a refresh', () => minted() > before, { withinMs: LIFETIME_MS });
      const [from, said] = [performance.now(), sidecar.lines.length];
      await eventually('the file has it', async () => (await sidecar.read('token')) === world.newest());
      t.diagnostic(`in the file ${(performance.now() - from).toFixed()} ms after the mint`);
      // The Secret is given up after ten seconds.
      const givenUp = sidecar.lines.slice(said).filter(({ msg }) => msg === 'sink not written');
      assert.deepEqual(givenUp, [], 'the file has waited for the Secret');
    } finally {
      world.api.goOn();
    }
    await world.holdsNewest({ withinMs: 20_000 });
  });

  chapter('do not wait for each other: the file cannot be written, and the Secret is', {}, async () => {
    await occupy(sidecar.path('token'));
    const before = minted();
    await eventually('a refresh', () => minted() > before, { withinMs: LIFETIME_MS });
    await world.holdsNewest({ withinMs: PATIENCE_MS }); // as long as it likes: the file stays as it is
    assert.ok(await sidecar.isReady('?sinks=secret'));
    await rm(sidecar.path('token'), { recursive: true });
    await sidecar.ready();
  });

  chapter('outlive a certificate authority that is rotated, in the file that names it', {}, async () => {
    await world.api.rotateAuthority();
    await world.kubectl(['delete', 'secret', SECRET]);
    await world.holdsNewest({ withinMs: 20_000 });
    await sidecar.ready();
  });

  chapter('outlive a service-account token that is rotated, at once', {}, async () => {
    const failed = sidecar.lines.filter(({ msg }) => msg === 'sink not written').length;
    // One that the API server refuses as soon as the object is gone that it is bound to.
    await world.kubectl(['create', 'secret', 'generic', 'binder']);
    const old = await world.renewToken(account, ['--bound-object-kind=Secret', '--bound-object-name=binder']);
    const bound = await start();
    await world.renewToken(account);
    await world.kubectl(['delete', 'secret', 'binder']);
    // The API server remembers for some seconds whom it has let in; what is sent while it does proves nothing.
    await eventually('the old token is refused', async () => (await statusFor(old)) === 401, { everyMs: 500 });
    await world.kubectl(['patch', 'secret', SECRET, '--type=merge', '-p', '{"data":{"password":"bWluZQ=="}}']);
    await sidecar.stop();
    await eventually('it is right', async () => (await world.read()) === world.newest(), { withinMs: 5_000 });
    assert.equal(sidecar.lines.filter(({ msg }) => msg === 'sink not written').length, failed);
    assert.deepEqual(
      bound.lines.filter(({ msg }) => msg === 'sink not written'),
      [],
    );
    sidecar = bound;
  });

  chapter('are put right within two seconds after etcd was compacted under the watch', {}, async () => {
    for (let round = 0; round < 3; round += 1) {
      await world.kubectl(['annotate', '--overwrite', 'secret', SECRET, `their/round=${round}`]);
      await world.api.compact();
    }
    await world.kubectl(['delete', 'secret', SECRET]);
    await world.holdsNewest();
    const watches = async () => (await world.api.audit(account.username)).filter(({ verb }) => verb === 'watch').length;
    const watched = await watches();
    await world.api.down();
    await world.api.compact();
    await world.api.up();
    await eventually('the watch is there again', async () => (await watches()) > watched);
    await world.kubectl(['delete', 'secret', SECRET]);
    await world.holdsNewest();
  });

  chapter('lose a permission while they run, and are written as soon as it is given back', {}, async () => {
    await sidecar.stop();
    sidecar = await start(); // which has repaired nothing yet: three repairs a minute is all there is
    await world.forbid(account);
    await world.kubectl(['delete', 'secret', SECRET]);
    const line = await eventually('the reason', () =>
      sidecar.lines.find(({ err }) => (err as { failure?: string } | undefined)?.failure === 'forbidden'),
    );
    assert.match((line['err'] as { message: string }).message, /lacks the rule - \{apiGroups/);
    assert.ok(await sidecar.isReady('?sinks=file'));
    await world.allow(account, [ruleFor(), EVENTS]);
    await world.holdsNewest({ withinMs: 10_000 });
  });

  chapter(
    'wait as long as an API server asks for that has no time (429), and quote no token in what it says',
    {},
    async () => {
      const webhook = await startWebhook(shared, world);
      await sidecar.stop();
      sidecar = await start();
      const complaint = async (failure: string) => {
        const from = sidecar.lines.length;
        await world.kubectl(['delete', 'secret', SECRET]);
        return await eventually(failure, () =>
          sidecar.lines.slice(from).find(({ err }) => (err as { failure?: string } | undefined)?.failure === failure),
        );
      };
      webhook.status = { code: 429, message: 'no time', details: { retryAfterSeconds: 4 } };
      const { remedy, retryAt, time } = await complaint('throttled');
      assert.match(String(remedy), /written when the API server is less busy/);
      const waitsMs = Date.parse(String(retryAt)) - Date.parse(String(time));
      assert.ok(Math.abs(waitsMs - 4_000) < 100, `${waitsMs} ms`);
      webhook.status = undefined;
      const tried = sidecar.lines.length;
      const until = Date.parse(String(retryAt));
      // An answer that comes later proves nothing: this process may have had to wait for its turn.
      const isRight = async () => (await world.secret()) === undefined || Date.now() >= until;
      await throughout('nothing is written', until - Date.now(), isRight);
      await world.holdsNewest({ withinMs: 3_000 });
      assert.deepEqual(
        sidecar.lines.slice(tried).filter(({ msg }) => msg === 'sink not written'),
        [],
      );
      const token = world.newest();
      const base64 = Buffer.from(token).toString('base64');
      webhook.status = { code: 403, message: `no: ${token} ${base64}` };
      const { err } = await complaint('forbidden');
      assert.match((err as { message: string }).message, /no: \[redacted\] \[redacted\] \(403\)$/);
      const { body: readyz } = await sidecar.get('/readyz?verbose');
      for (const said of [sidecar.stdout, readyz]) assert.ok(!said.includes(token) && !said.includes(base64));
      webhook.status = undefined;
      await world.holdsNewest({ withinMs: 10_000 });
      webhook.status = { message: 'a label is missing' };
      assert.match(String((await complaint('forbidden'))['remedy']), /admission policy or webhook/);
      webhook.status = undefined;
      await world.holdsNewest({ withinMs: 10_000 });
      webhook.status = { code: 503, message: 'out of order' };
      assert.match(((await complaint('unreachable'))['err'] as { message: string }).message, /out of order \(503\)$/);
      webhook.status = undefined;
      await world.holdsNewest({ withinMs: 10_000 });
    },
  );

  chapter('ask for no other Secret, and for no list', {}, async (t) => {
    const events = await assertFrugal(world.api);
    const counts = Map.groupBy(events, ({ verb, responseStatus }) => `${verb} ${responseStatus?.code ?? ''}`);
    t.diagnostic([...counts].map(([what, all]) => `${what}: ${all.length}`).join(', '));
  });
});
