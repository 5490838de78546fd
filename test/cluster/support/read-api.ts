import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request, type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';

/** Between two looks at what lasts longer: more of them would keep a CPU busy that others need. */
export const LOOK_MS = 200;
const TIMEOUT_MS = 10_000;
/**
 * A handshake for each look would cost more than the look. Other certificates get other connections. Idle ones are closed
 * long before the API server does it (90 s), which a look could just meet.
 */
const agent = new Agent({ keepAlive: true, timeout: TIMEOUT_MS });

/**
 * What `kubectl get --raw` prints, or undefined where there is nothing (404). Tests look many times a second, and a kubectl
 * for each look would keep a CPU busy.
 */
export async function readApi(kubeconfig: string, path: string): Promise<string | undefined> {
  const { status, body } = await ask(kubeconfig, path);
  if (status === 404) return undefined;
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
  return body;
}

/** The object as it is stored. @throws with the message of the API server, as `kubectl create` prints it */
export async function createObject<T>(kubeconfig: string, path: string, object: object): Promise<T> {
  const { status, body } = await ask(kubeconfig, path, object);
  if (status !== 201) throw new Error((JSON.parse(body) as { message: string }).message);
  return JSON.parse(body) as T;
}

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

async function ask(kubeconfig: string, path: string, object?: object): Promise<Answer> {
  const config = new KubeConfig(); // afresh: tests rotate certificates
  config.loadFromFile(kubeconfig);
  const options: RequestOptions = { signal: AbortSignal.timeout(TIMEOUT_MS), method: object ? 'POST' : 'GET' };
  await config.applyToHTTPSOptions(options);
  // Not with the agent of the library, which remembers the first certificates for ever.
  const sent = request(new URL(path, config.getCurrentCluster()!.server), { ...options, agent });
  sent.setHeader('Content-Type', 'application/json');
  const [response] = (await once(sent.end(object && JSON.stringify(object)), 'response')) as [IncomingMessage];
  return { status: response.statusCode, body: await text(response) };
}

/** The same for one object, or a list of them. */
export async function readObject<T>(kubeconfig: string, path: string): Promise<T | undefined> {
  const body = await readApi(kubeconfig, path);
  return body === undefined ? undefined : (JSON.parse(body) as T);
}
