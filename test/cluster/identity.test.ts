import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { eventually } from '../support/sidecar-wait.ts';
import { useCluster, whyNoCluster } from './cluster.ts';
import { loadPsql, loadSidecar } from './support/pods-images.ts';
import { writeOverlay } from './support/pods-overlay.ts';
import { startService, trustServiceAccount, type Service } from './support/pods-service.ts';
import { SharedCleanup } from './support/pods-story.ts';
import { makeNamespace, SIDECAR, type Namespace } from './support/pods.ts';

const TRUSTED = 'orders-trusted';
const skip = await whyNoCluster();
const cluster = skip === undefined ? await useCluster() : undefined;

describe('a service-account token that the API server signed', { skip }, () => {
  const shared = new SharedCleanup();
  let service: Service;
  let namespace: Namespace;
  let images: { readonly sidecarImage: string; readonly appImage: string };

  before(async () => {
    images = { sidecarImage: await loadSidecar(cluster!), appImage: await loadPsql(cluster!) };
    namespace = await makeNamespace(shared, cluster!, 'identity');
    service = await startService(shared, cluster!, {
      tokenLifetimeMs: 6_000,
      verifySubjectToken: await trustServiceAccount(cluster!, namespace.name, TRUSTED),
    });
  });

  after(() => shared.undo());

  test('is exchanged for a credential, and nothing else that lasts is in the pod', async (t) => {
    await begin('trusted');
    const pod = await namespace.until('test=trusted', SIDECAR, 'is ready', ({ started }) => started === true);
    const claims = decodeJwt(subjectTokens().at(-1)!);
    const issuer = await cluster!.kubectl(['get', '--raw', '/.well-known/openid-configuration']);
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
    await eventually('the reason', async () => (await logOf('stranger')).includes('refused the OIDC token'), {
      withinMs: 60_000,
    });
  });

  test('is read again at each mint, so that one that was rotated is used, and one that comes late starts the pod', async () => {
    const identity = { name: 'identity', mountPath: '/identity' };
    const writer = {
      name: 'writer',
      image: 'registry.example.com/orders:1.0',
      command: ['sh', '-c', 'while :; do sleep 1; done'],
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
      {
        withinMs: 60_000,
      },
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
    const overlay = {
      ...images,
      example: 'libpq',
      namespace: namespace.name,
      service,
      name,
      config: { refresh: { floor: '1s' } },
      podPatches,
    } as const;
    await namespace.apply(await writeOverlay(shared, overlay));
    await namespace.until(`test=${name}`, SIDECAR, 'runs', ({ state }) => state.running !== undefined);
  }

  async function logOf(name: string): Promise<string> {
    return await namespace.logs((await namespace.pod(`test=${name}`))!.metadata.name, SIDECAR);
  }

  function subjectTokens(): string[] {
    return service.workspace.requests
      .filter(({ path }) => path === '/oidc/v1/token')
      .map(({ body }) => new URLSearchParams(body).get('subject_token') ?? '');
  }
});
