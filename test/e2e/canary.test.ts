import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { clis } from '../support/clis.ts';
import { everythingItSays } from '../support/scan-scenario.ts';
import { findLeaks } from '../support/scan.ts';
import { copyProject, edit } from '../support/project-copy.ts';
import { testWithEachCli } from '../support/sidecar-clis.ts';

const TOKEN = `eyJhbGciOiJFUzI1NiJ9.${Buffer.from('{"sub":"somebody","exp":1}').toString('base64url')}.c2lnbmF0dXJl-_c2lnbmF0dXJl`;

test('the scan finds a secret as it is, in part, and in other encodings, and nothing in a fingerprint', () => {
  const found = (text: string) => findLeaks({ token: TOKEN }, { text }).length > 0;
  assert.ok(found(`Error: ${TOKEN} was refused`));
  assert.ok(found(TOKEN.slice(10, 40)));
  assert.ok(found(TOKEN.split('.')[2]!));
  assert.ok(found(Buffer.from(`user:${TOKEN}`).toString('base64')));
  assert.ok(found(Buffer.from(`me:${TOKEN}`).toString('base64url')));
  assert.ok(found(Buffer.from(TOKEN).toString('hex')));
  assert.ok(!found('eyJhbGciOi… e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'));
});

testWithEachCli(
  'no token and no secret shows in anything the sidecar says, also when things go wrong',
  async (t, cli) => {
    const { secrets, places, files } = await everythingItSays(t, { cli });
    assert.ok(Object.keys(secrets).length > 6);
    assert.ok(Object.keys(places).length > 60, `${Object.keys(places).length} places`);
    assert.deepEqual(findLeaks(secrets, places), []);
    assert.ok(Object.values(places).join('').includes('[secret]'), 'the CLI that prints secrets was not quoted');
    assert.equal(
      new Set(findLeaks(secrets, files).map((leak) => leak.split(' in ')[1])).size,
      2,
      'the scan finds nothing',
    );
  },
);

const LEAKS = [
  {
    leak: 'a part of the token in a line of the log',
    file: 'src/telemetry/observer.ts',
    before: 'metrics?.minted(credential, minted, durationMs);',
    after: "log.trace({ part: minted.token.reveal().split('.')[2] });",
    place: 'output of a long run',
  },
  {
    leak: 'the token in a label of a metric',
    file: 'src/telemetry/metrics.ts',
    before: 'this.#instruments.clockSkew.set(',
    after: 'this.#instruments.adoptions.inc({ credential: arguments[1].token.reveal() }, 0);',
    place: '/metrics as text/plain, while all is well',
  },
] as const;

for (const { leak, file, before, after, place } of LEAKS) {
  test(`${leak}, planted on purpose, is found`, { timeout: 60_000 }, async (t) => {
    const project = await copyProject(t);
    await edit(project, file, before, `${after}\n${before}`);
    const { secrets, places } = await everythingItSays(t, { cli: clis[0]!, entry: join(project, 'src/main.ts') });
    const leaks = findLeaks(secrets, places);
    assert.ok(leaks.includes(`token 0 in ${place}`), leaks.join('\n'));
  });
}
