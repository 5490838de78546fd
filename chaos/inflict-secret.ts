import { once } from 'node:events';
import { choose } from '../test/support/random.ts';
import { type Inflict, nothing, NotDone, type Undo, type World } from './inflicting.ts';
import type { Kubernetes } from './kubernetes.ts';
import { SECRET } from './layout.ts';
import { launch } from './sidecar.ts';

const MIN_LATENCY_MS = 50;
const MAX_LATENCY_MS = 400;
const PATCH = ['patch', 'secret', SECRET.name, '--type=merge', '--patch'] as const;

function inCluster(act: (kubernetes: Kubernetes, pick: number) => Undo | Promise<Undo>): Inflict {
  return async ({ stage }, { pick }) => await act(stage.kubernetes!, pick);
}

/** As somebody who may do everything. There may be no Secret just then, or no API server that answers. */
async function kubectl({ stage }: World, args: readonly string[], input?: object): Promise<void> {
  await stage.kubernetes!.kubectl(args, input).catch((error: unknown) => {
    throw new NotDone((error as Error).message.split('\n').at(-1));
  });
}

/** Of the Secret; others may have done so already. */
function deletion(world: World): Undo {
  return async () => await kubectl(world, ['delete', 'secret', SECRET.name, '--wait=false', '--ignore-not-found']);
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}

export const ON_SECRET = {
  'the API server is away': inCluster(({ proxy }) => {
    proxy.close();
    return async () => await proxy.open();
  }),
  'the API server hangs': inCluster(({ proxy }) => {
    proxy.hang();
    return () => proxy.goOn();
  }),
  'the API server is slow': inCluster(({ proxy }, pick) => {
    proxy.latencyMs = MIN_LATENCY_MS + pick * (MAX_LATENCY_MS - MIN_LATENCY_MS);
    return () => {
      proxy.latencyMs = 0;
    };
  }),
  'etcd hangs': inCluster(({ api }) => {
    api.hang('etcd');
    return () => api.goOn('etcd');
  }),
  'connections to the API server are lost': inCluster(({ proxy }) => {
    proxy.cut();
    return nothing;
  }),
  'the role is taken away': inCluster(async (kubernetes) => {
    await kubernetes.forbid();
    return async () => await kubernetes.allow();
  }),
  'the Secret is edited': async (world, { pick }) => {
    const keys = choose([['password'], ['pgpass'], ['password', 'pgpass']], pick);
    const data = Object.fromEntries(keys.map((key) => [key, encoded('edited')]));
    await kubectl(world, [...PATCH, JSON.stringify({ data })]);
    return nothing;
  },
  'the Secret is deleted': async (world) => {
    await deletion(world)();
    return nothing;
  },
  'the Secret loses its annotations': async (world) => {
    await kubectl(world, [...PATCH, '{"metadata":{"annotations":null}}']);
    return nothing;
  },
  // What nothing of the sidecar's is left in stays whose it is, until somebody deletes it.
  'the Secret is replaced': async (world) => {
    const token = world.stage.strayToken;
    const data = { password: encoded(token), pgpass: encoded(`localhost:*:*:somebody:${token}\n`) };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: SECRET.name }, type: 'Opaque', data };
    await kubectl(world, ['replace', '-f', '-'], secret);
    return deletion(world);
  },
  'the Secret is immutable': async (world) => {
    await kubectl(world, [...PATCH, '{"immutable":true}']);
    return deletion(world);
  },
  'another pod publishes': ({ stage, hear }) => {
    const pod = launch(stage.otherPod, hear);
    const ended = once(pod, 'exit');
    return async () => {
      pod.kill('SIGTERM');
      await ended;
    };
  },
} as const satisfies Record<string, Inflict>;
