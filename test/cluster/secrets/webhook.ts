import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { certificateFor } from '../../support/certificate.ts';
import { undoAfter, type Cleanup } from '../../support/cleanup.ts';
import type { SecretsWorld } from './world.ts';

interface Status {
  /** Without one the API server takes 400. */
  readonly code?: number;
  readonly message: string;
  readonly details?: { readonly retryAfterSeconds: number };
}

/** Somebody who has a say in every write of a Secret in the namespace: the API server passes on what it answers. */
export interface Webhook {
  /** What to refuse with; undefined allows everything. */
  status: Status | undefined;
}

export async function startWebhook(t: Cleanup, { api, namespace }: SecretsWorld): Promise<Webhook> {
  const webhook: Webhook = { status: undefined };
  const certificate = await certificateFor(['127.0.0.1']);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { request: asked } = JSON.parse(await text(request)) as { readonly request: { readonly uid: string } };
    const review = { uid: asked.uid, allowed: webhook.status === undefined, status: webhook.status };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: review }));
  };
  const server = createServer(certificate, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undoAfter(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await api.kubectl(['create', '-f', '-'], {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: `webhook-${namespace}` },
    webhooks: [
      {
        name: 'say.example.com',
        clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: Buffer.from(certificate.cert).toString('base64') },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'], operations: ['CREATE', 'UPDATE'] }],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  });
  return webhook;
}
