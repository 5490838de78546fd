import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';
import { ChartWorld, DEFAULTS, LABELS, podOf, sidecarOf, type Pod } from '../test/cluster/chart/world.ts';
import { isHelmBuilt } from '../test/cluster/programs.ts';
import { eventually } from '../test/support/eventually.ts';
import { kubernetesVersion } from './kubernetes.ts';
import type { Scene } from './scene.ts';
import { median, ms, quantile, ratio, type Extent } from './table.ts';

const NAMESPACE = 'apps';
const WARM_UP = 20;
const PODS = 100;
const VALUES = {
  image: { repository: 'registry.example.com/lakebase-credential-sidecar', tag: '0.1.0' },
  injection: { enabled: true, defaults: DEFAULTS },
};

/** What injection costs for each pod, and those that have nothing to do with it, at one API server with etcd. */
export async function measureAdmission(scene: Scene, { repetitions }: Extent): Promise<void> {
  if (!(await isHelmBuilt())) {
    const why =
      'there is no API server or no Helm here: `npm run test:cluster -- test/cluster/chart/monitoring.test.ts` builds both';
    scene.report.skip('admission', why);
    return;
  }
  const world = await ChartWorld.start(scene);
  scene.report.uses(await kubernetesVersion(world.api));
  const client = await Client.start(world);
  await world.namespace(NAMESPACE);
  const other: Pod = { ...podOf(), metadata: {} };
  const asking: Pod = { ...podOf(), metadata: { labels: LABELS, annotations: podOf().metadata.annotations! } };
  await world.install(VALUES);
  // The same pod, as somebody would write it without injection: what is larger takes longer anyway.
  const whole: Pod = { metadata: {}, spec: (await world.create(podOf(), NAMESPACE)).spec };
  const times = { otherBefore: [], otherAfter: [], whole: [], asking: [] } as Record<string, number[]>;
  const rounds = Math.max(1, Math.round(repetitions / 5));
  for (let round = 0; round < rounds; round += 1) {
    await world.helm('helm4', ['uninstall', 'lakebase', '--namespace', 'lakebase']);
    await eventually('nothing is injected', async () => !(await isInjected(world)));
    await client.time([
      [other, times['otherBefore']!],
      [whole, times['whole']!],
    ]);
    await world.install(VALUES);
    await client.time([
      [other, times['otherAfter']!],
      [asking, times['asking']!],
    ]);
  }
  client.close();
  const row = (name: string, values: readonly number[]): string[] => [
    name,
    ms(median(values)),
    ms(quantile(values, 0.9)),
  ];
  const compare = (name: string, values: readonly number[], base: readonly number[]): string[] => {
    const [own, others] = [median(values), median(base)];
    return [name, `${own < others ? '−' : '+'}${ms(Math.abs(own - others))}, ${ratio(own / others)}`, ''];
  };
  const { asking: injected, otherAfter, otherBefore, whole: written } = times;
  const difference = compare('added by the label, compared with the same pod written by hand', injected!, written!);
  scene.report.quote('admission of an injected pod, compared with the same pod written by hand', difference[1]!);
  scene.report.table(
    `creating a pod, until the API server answers: ${rounds} rounds of ${PODS} of each, one after the other`,
    ['', 'median', 'nine of ten within'],
    [
      row('another pod, no policies', otherBefore!),
      row('another pod, with the policies', otherAfter!),
      compare('added by the policies', otherAfter!, otherBefore!),
      row('sidecar written by hand, no policies', written!),
      row('sidecar injected by the label, with the policies', injected!),
      difference,
    ],
  );
}

async function isInjected(world: ChartWorld): Promise<boolean> {
  return await world.create(podOf(), NAMESPACE).then(
    (pod) => sidecarOf(pod) !== undefined,
    () => true, // one of the policies is still there
  );
}

/** One connection, which stays: kubectl takes longer to start than any of this. */
class Client {
  readonly #agent: Agent;
  readonly #url: string;

  private constructor(agent: Agent, url: string) {
    this.#agent = agent;
    this.#url = url;
  }

  static async start({ api }: ChartWorld): Promise<Client> {
    const [ca, cert, key] = await Promise.all(
      [api.caFile, api.admin.cert, api.admin.key].map((file) => readFile(file)),
    );
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: ca!, cert: cert!, key: key! });
    return new Client(agent, `${api.url}/api/v1/namespaces/${NAMESPACE}/pods`);
  }

  /** In turn, so that whatever slows the machine down slows all of them. */
  async time(pods: readonly (readonly [Pod, number[]])[]): Promise<void> {
    for (let index = -WARM_UP; index < PODS; index += 1) {
      for (const [pod, times] of pods) {
        const startedAt = performance.now();
        await this.#send('POST', '', pod);
        if (index >= 0) times.push(performance.now() - startedAt);
      }
    }
    await this.#send('DELETE', '?gracePeriodSeconds=0');
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(method: string, query: string, { metadata, spec }: Partial<Pod> = {}): Promise<void> {
    const sent = request(`${this.#url}${query}`, {
      method,
      agent: this.#agent,
      headers: { 'content-type': 'application/json' },
    });
    const body = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, generateName: 'orders-' }, spec };
    sent.end(method === 'POST' ? JSON.stringify(body) : undefined);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const answer = await text(response);
    if (response.statusCode! >= 300) throw new Error(`${method} answers ${response.statusCode}: ${answer}`);
  }
}
