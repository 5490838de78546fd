import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { execa } from 'execa';

const root = join(import.meta.dirname, '..');
const { name, version } = { name: 'zod', version: '4.6.7' };
const ADVISORY = { id: 1, url: 'https://advisory.invalid', title: 'bad', severity: 'high', vulnerable_versions: '*' };

/** `npm run audit` against a registry that answers so. */
async function audit(t: TestContext, status: number, advisories: object) {
  const registry = createServer((request, response) => {
    const isPost = request.method === 'POST';
    const answer = isPost ? advisories : { name, versions: { [version]: { name, version } }, 'dist-tags': {} };
    request.resume().on('end', () => response.writeHead(isPost ? status : 200).end(JSON.stringify(answer)));
  }).listen(0, '127.0.0.1');
  t.after(() => registry.close());
  await once(registry, 'listening');
  const env = { npm_config_registry: `http://127.0.0.1:${(registry.address() as AddressInfo).port}` };
  const { exitCode, stdout } = await execa(process.execPath, ['scripts/audit.ts'], { cwd: root, env, reject: false });
  return { exitCode, stdout };
}

test('an audit tells an advisory from none, and both from a registry that has none to give', async (t) => {
  assert.deepEqual(await audit(t, 200, {}), { exitCode: 0, stdout: 'no known vulnerabilities' });
  assert.deepEqual(await audit(t, 200, { [name]: [ADVISORY] }), {
    exitCode: 1,
    stdout: '1 known vulnerabilities: "npm audit" tells which',
  });
  assert.deepEqual(await audit(t, 405, {}), {
    exitCode: 0,
    stdout: 'not audited: the registry of npm gives no advisories here',
  });
});
