import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { cleanupOfSuite } from '../support/suite.ts';
import { eventually } from '../support/eventually.ts';
import { whyNoPods } from './cluster.ts';
import { setStage, type Stage } from './support/pods-stage.ts';
import { BY_KUBECTL, IDLE, SIDECAR } from './support/pods.ts';

const TRUSTED = 'orders-trusted';
const skip = await whyNoPods();

describe('a service-account token that the API server signed', { skip }, () => {
  const shared = cleanupOfSuite();
  let stage: Stage;

  before(async () => {
    stage = await setStage(shared, { name: 'identity', trusted: TRUSTED, tokenLifetimeMs: 6_000 });
  });

  test('is exchanged for a credential, and nothing else that lasts is in the pod', async (t) => {
    const { cluster, namespace } = stage;
    await begin('trusted');
    const pod = await namespace.until('test=trusted', SIDECAR, 'is ready', ({ started }) => started === true);
    const claims = decodeJwt(subjectTokens().at(-1)!);
    const issuer = await cluster.kubectl(['get', '--raw', '/.well-known/openid-configuration']);
    assert.equal(claims.iss, (JSON.parse(issuer) as { issuer: string }).issuer);
    assert.deepEqual(claims.aud, ['databricks']);
    assert.equal(claims.sub, `system:serviceaccount:${namespace.name}:${TRUSTED}`);
    assert.equal((claims['kubernetes.io'] as { pod: { name: string } }).pod.name, pod.metadata.name);
    const spec = await namespace.kubectl(['get', 'pod', pod.metadata.name, '-o', 'json']);
    assert.doesNotMatch(spec, /secretKeyRef|secretName|"secret":/);
    t.diagnostic(JSON.stringify(claims));
  });

  test('is refused when it was signed for another service account', async () => {
    await begin('stranger');
    await eventually(
      'the reason',
      async () => (await logOf('stranger')).includes('refused the OIDC token'),
      BY_KUBECTL,
    );
  });

  test('is read again at each mint, so that one that was rotated is used, and one that comes late starts the pod', async () => {
    const { namespace } = stage;
    const identity = { name: 'identity', mountPath: '/identity' };
    const writer = {
      name: 'writer',
      image: 'registry.example.com/orders:1.0',
      command: IDLE,
      restartPolicy: 'Always',
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      volumeMounts: [identity],
    };
    const sidecar = {
      name: SIDECAR,
      env: [{ name: 'DATABRICKS_OIDC_TOKEN_FILEPATH', value: '/identity/token' }],
      volumeMounts: [identity],
    };
    await begin('rotated', [{ initContainers: [writer, sidecar], volumes: [{ name: 'identity', emptyDir: {} }] }]);
    await eventually(
      'it says so',
      async () => (await logOf('rotated')).includes('the OIDC token file does not exist'),
      BY_KUBECTL,
    );
    const { metadata } = (await namespace.pod('test=rotated'))!;
    for (const seconds of [600, 700]) {
      const token = await namespace.kubectl([
        'create',
        'token',
        TRUSTED,
        '--audience=databricks',
        `--duration=${seconds}s`,
      ]);
      const write = 'cat > /identity/new && mv /identity/new /identity/token';
      await namespace.exec(metadata.name, 'writer', ['sh', '-c', write], token);
      await eventually('it is used', () => subjectTokens().includes(token), { withinMs: 20_000 });
    }
    await namespace.until('test=rotated', SIDECAR, 'is ready', ({ started }) => started === true);
  });

  async function begin(name: string, podPatches: readonly object[] = []): Promise<void> {
    await stage.apply(shared, { example: 'libpq', name, config: { refresh: { floor: '1s' } }, podPatches });
    await stage.namespace.until(`test=${name}`, SIDECAR, 'runs', ({ state }) => state.running !== undefined);
  }

  async function logOf(name: string): Promise<string> {
    const { namespace } = stage;
    return await namespace.logs((await namespace.pod(`test=${name}`))!.metadata.name, SIDECAR);
  }

  function subjectTokens(): string[] {
    return stage.service.workspace.requests
      .filter(({ path }) => path === '/oidc/v1/token')
      .map(({ body }) => new URLSearchParams(body).get('subject_token') ?? '');
  }
});
