import { get } from 'node:http';
import { SIDECAR_PORT } from './layout.ts';

const ANSWER_WITHIN_MS = 3_000;

/** Undefined where the sidecar does not answer. */
export function ask(path: string): Promise<{ readonly status: number; readonly body: string } | undefined> {
  const { promise, resolve } = Promise.withResolvers<{ status: number; body: string } | undefined>();
  const options = { host: '127.0.0.1', port: SIDECAR_PORT, path, agent: false, timeout: ANSWER_WITHIN_MS };
  const request = get(options, (response) => {
    let body = '';
    response.on('data', (chunk) => (body += String(chunk)));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    response.on('error', () => resolve(undefined));
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => resolve(undefined));
  request.on('close', () => resolve(undefined));
  return promise;
}
