import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { MintError } from '../../src/credential/errors.ts';
import { DatabricksCli } from '../../src/minters/cli.ts';
import { CommandMinter } from '../../src/minters/command.ts';
import { PrivateHomes } from '../../src/minters/homes.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { scriptedCli } from '../support/sidecar-clis.ts';
import { temporaryDirectory } from '../support/sidecar-wait.ts';
import { join } from 'node:path';
import { Secret } from '../../src/credential/secret.ts';

const RESOURCE = { endpoint: 'projects/p/branches/b/endpoints/e', ttlMs: undefined };

test('a token that was minted before is blotted out of the words of a CLI that mentions it, whatever its shape', async (t) => {
  const flag = join(await temporaryDirectory(t), 'second');
  const token = 'an-opaque-token-of-no-known-shape';
  const command = await scriptedCli(
    t,
    `if [ -e '${flag}' ]; then echo "Error: ${token} is still good" >&2; exit 1; fi
     touch '${flag}'; echo '{"token": "${token}", "expire_time": "2099-01-01T00:00:00Z"}'`,
  );
  const homes = new PrivateHomes(tmpdir());
  t.after(() => homes.remove());
  const auth = {
    kind: 'oauth-m2m',
    host: 'https://h',
    clientId: 'c',
    secret: { value: new Secret('hidden') },
  } as const;
  const cli = new DatabricksCli({ command, auth, passThrough: { PATH: process.env['PATH'] ?? '' }, homes, clock });
  const minter = new CommandMinter(cli, RESOURCE, clock);
  const options = { signal: t.signal, slot: 0, timeoutMs: 5_000 };
  assert.equal((await minter.mint(options)).token.reveal(), token);
  await assert.rejects(minter.mint(options), (error) => {
    assert.ok(error instanceof MintError);
    assert.equal(error.detail, 'Error: [secret] is still good');
    return true;
  });
});
