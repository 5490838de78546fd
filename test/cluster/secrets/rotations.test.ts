import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { MintError } from '../../../src/credential/errors.ts';
import { eventually } from '../../support/eventually.ts';
import type { Sidecar } from '../../support/sidecar.ts';
import { cleanupOfSuite, story } from '../../support/suite.ts';
import { LOOK_MS, readObject } from '../support/read-api.ts';
import { whyNotBuilt } from './api-server.ts';
import { ruleFor, SECRET, type Account } from './namespace.ts';
import { annotation, assertFrugal, SecretsWorld } from './world.ts';

const ROTATIONS = 30;
/** Half of it is left when a refresh is due: where all these tests share two slow cores, a mint can take seconds. */
const LIFETIME_MS = 12_000;
const REFRESH = { at: 0.5, jitter: 0, floor: '1s' };

interface ClusterEvent {
  readonly reason: string;
  readonly type: string;
  readonly message: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

const skip = await whyNotBuilt();

describe('a Secret that is rotated', { skip }, () => {
  const shared = cleanupOfSuite();
  const chapter = story();
  let world: SecretsWorld;
  let account: Account;
  let sidecar: Sidecar;

  before(async () => {
    world = await SecretsWorld.start(shared, { tokenLifetimeMs: LIFETIME_MS });
    account = await world.account('backstage');
    sidecar = await world.start(shared, { account, config: { refresh: REFRESH } });
    await sidecar.ready();
  });

  async function events(): Promise<ClusterEvent[]> {
    const path = `/api/v1/namespaces/${world.namespace}/events`;
    return (await readObject<{ items: ClusterEvent[] }>(world.api.kubeconfig, path))!.items;
  }

  async function told(reason: string, count: number): Promise<ClusterEvent> {
    return await eventually(
      `${count} × ${reason}`,
      async () => {
        const all = (await events()).filter((event) => event.reason === reason);
        return all.length === count && all.at(-1);
      },
      { withinMs: 90_000, everyMs: LOOK_MS },
    );
  }

  chapter('has a valid token at each look, and each that was minted, through thirty rotations', {}, async (t) => {
    const seen = new Set<string>();
    let looks = 0;
    await eventually(
      'thirty rotations',
      async () => {
        const secret = (await world.secret())!;
        looks += 1;
        seen.add(Buffer.from(secret.data!['password']!, 'base64').toString());
        assert.ok(Date.parse(annotation(secret, 'expires-at')!) > Date.now(), 'a reader gets a dead token');
        return seen.size > ROTATIONS;
      },
      { withinMs: 2 * ROTATIONS * LIFETIME_MS, everyMs: LOOK_MS },
    );
    const metrics = await sidecar.metrics();
    t.diagnostic(`${seen.size} tokens in ${looks} looks`);
    assert.ok(world.workspace.minted.length - seen.size <= 1);
    const applied = (await assertFrugal(world.api)).filter(({ verb }) => verb === 'patch');
    assert.ok(applied.length <= world.workspace.minted.length, 'each is applied once');
    assert.equal(metrics.get('sink_writes_total', { result: 'failure' }), 0);
    assert.equal(metrics.get('sink_repairs_total', { sink: `secret:${world.namespace}/${SECRET}` }), 0);
    assert.ok(sidecar.lines.every(({ level }) => level === 'info'));
  });

  chapter('is told of as an event of the Secret once, however often it is rotated', {}, async () => {
    const { type, message, involvedObject } = await told('CredentialPublished', 1);
    assert.equal(type, 'Normal');
    assert.match(message, /^credential backstage: published, valid until /);
    assert.deepEqual([involvedObject.kind, involvedObject.name], ['Secret', SECRET]);
    assert.equal((await events()).length, 1);
  });

  chapter('is told of when minting fails, when it has expired, and when it is published again', {}, async () => {
    await world.workspace.outage();
    const { message } = await told('MintFailing', 1);
    assert.match(message, /3 attempts in a row failed \((timeout|network)\)/);
    assert.ok(
      [new MintError('timeout', '').remedy, new MintError('network', '').remedy].some((one) => message.includes(one)),
    );
    assert.match((await told('CredentialExpired', 1)).message, /expired without a successor/);
    assert.ok(!(await sidecar.isReady()));
    await world.workspace.recover();
    await told('CredentialPublished', 2);
    const text = JSON.stringify(await events());
    for (const { token } of world.workspace.minted) assert.ok(!text.includes(token));
  });

  chapter('is written without a permission for events, which is said once', {}, async () => {
    await sidecar.stop();
    await world.allow(account, [ruleFor()]);
    await world.kubectl(['delete', 'secret', SECRET]);
    const silent = await (await world.start(shared, { account, config: { refresh: REFRESH } })).ready();
    const { err } = await silent.logged('Events not recorded; next try in an hour, further failures not logged');
    assert.match(
      (err as { message: string }).message,
      /^cannot create events in namespace "apps": system:serviceaccount:apps:backstage lacks the rule - \{apiGroups: \[""\], resources: \[events\], verbs: \[create\]\}$/,
    );
    await world.workspace.outage();
    await silent.logged('expired without a successor');
    await world.workspace.recover();
    await silent.ready();
    assert.equal(silent.lines.filter(({ msg }) => msg.startsWith('Events not recorded')).length, 1);
    await assertFrugal(world.api);
  });
});
